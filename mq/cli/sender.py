"""Sends records and tells what became of each: acknowledged at an offset, or failed.

Nothing is reported before all in-sync replicas have acknowledged it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from typing import Final

from mq.cli.cluster import CONNECT_TIMEOUT_S
from mq.cli.envelope import Draft
from mq.client.admin import reach
from mq.client.endpoint import Endpoint
from mq.client.producer import Producer, QueueFull, Sending
from mq.errors import MqError

__all__ = ["OnSent", "Sender"]

OnSent = Callable[["Sent"], None]
"""Called on another thread with a record that was acknowledged."""

FINISH_TIMEOUT_S: Final = 130.0
"""Longer than the producer tries by itself, so that it is the one to give up."""


class Sent(Sending):
    """One record on its way, and whom to tell."""

    __slots__ = ("_on_sent", "_sender")

    def __init__(self, topic: str, sender: Sender, on_sent: OnSent | None) -> None:
        super().__init__(topic)
        self._sender = sender
        self._on_sent = on_sent

    def settled(self) -> None:
        if self.error is not None:
            self._sender.failures.append(self.error)
        elif self._on_sent is not None:
            self._on_sent(self)


class Sender:
    """Send any number of records to ``topics``, then :meth:`finish`.

    ``failures`` are those so far.
    """

    def __init__(self, bootstrap: str, topics: Iterable[str]) -> None:
        self.failures: list[MqError] = []
        self._room = threading.Event()
        endpoint = Endpoint(bootstrap, client_id="mq-cli")
        self._producer = Producer(
            endpoint,
            message_bytes_max=reach(endpoint, CONNECT_TIMEOUT_S, topics),
            after_deliveries=self._room.set,
            on_fatal=self.failures.append,
        )

    def send(self, topic: str, draft: Draft, on_sent: OnSent | None = None) -> None:
        """Send a record. Waits while too many are on their way."""
        sending = Sent(topic, self, on_sent)
        while True:
            self._room.clear()
            try:
                self._producer.send(
                    sending,
                    draft.value,
                    draft.key,
                    draft.headers,
                    draft.partition,
                    draft.timestamp or 0,
                )
            except QueueFull:
                self._room.wait(1.0)
            except MqError as error:
                self.failures.append(error)
                return
            else:
                return

    def finish(self) -> None:
        """Wait until every record is acknowledged or has failed."""
        self._producer.close(FINISH_TIMEOUT_S)

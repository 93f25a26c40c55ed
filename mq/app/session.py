"""A connection to a Kafka for as long as somebody uses it: address, lease, producer.

With an event loop for ``async with app`` and ``app.run()``, without one for ``app.sync()``.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

from mq import embedded
from mq.app.codecs import Codec
from mq.app.publishing import Publisher
from mq.app.topics import PROVENANCE_BYTES
from mq.client.admin import reach
from mq.client.endpoint import Endpoint
from mq.client.mailbox import Mailbox
from mq.errors import MqError

__all__ = ["Connected", "connect"]


class Connected:
    """Where we are connected to; :meth:`close` gives it back."""

    def __init__(
        self, endpoint: Endpoint, lease: embedded.Lease | None, message_bytes_max: int
    ) -> None:
        self.endpoint = endpoint
        self._lease = lease
        self._message_bytes_max = message_bytes_max
        self._publisher: Publisher | None = None

    def publisher(
        self,
        codec: Codec,
        mailbox: Mailbox | None,
        on_fatal: Callable[[MqError], object] = lambda _: None,
    ) -> Publisher:
        """The producer of this connection."""
        self._publisher = Publisher(
            self.endpoint,
            codec,
            message_bytes_max=self._message_bytes_max,
            mailbox=mailbox,
            on_fatal=on_fatal,
        )
        return self._publisher

    def close(self, timeout: float) -> None:
        """Send what waits, then let the broker go. Blocks.

        Raises:
            BrokerUnreachable: something could not be sent.
        """
        try:
            if self._publisher is not None:
                self._publisher.close(timeout)
        finally:
            if self._lease is not None:
                self._lease.close()


def connect(
    bootstrap: str | None,
    client_id: str,
    settings: Mapping[str, Any],
    within_s: float,
    topics: Collection[str],
) -> Connected:
    """Find the Kafka to use, start the embedded one if it is to be that, and see it answer. Blocks.

    ``topics`` are those whose records may have to go on with their provenance.

    Raises:
        ConfigurationError: none may be used without being configured, as in production.
        BrokerUnreachable: no answer came within ``within_s`` seconds.
    """
    found = embedded.resolve(bootstrap)
    lease = None
    address = found.address
    if found.data is not None:
        lease = embedded.attach(found.data)
        address = lease.bootstrap
    assert address is not None
    endpoint = Endpoint(address, client_id, settings)
    try:
        largest = reach(endpoint, within_s, topics)
    except BaseException:
        if lease is not None:
            lease.close()
        raise
    return Connected(endpoint, lease, largest + PROVENANCE_BYTES)

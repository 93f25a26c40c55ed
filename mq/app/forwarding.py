"""A record on its way to another topic, for as long as it takes.

Used where nothing may be lost: the record it comes from is finished only when this one is stored.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, Final, Literal, Protocol, TypeAlias

from mq.app.publishing import Arrival, Content, Publisher
from mq.app.timers import Timers
from mq.client.consumer import RawMessage
from mq.errors import ErrorCode, KafkaError
from mq.record import Headers

__all__ = ["Forwarding", "HeadersFor", "Keep", "headers_of"]

logger = logging.getLogger("mq.app")

PAUSE_S: Final = 0.5
PAUSE_S_MAX: Final = 30.0

Keep: TypeAlias = Literal["all", "message", "type"]
HeadersFor: TypeAlias = Callable[[Keep], Headers]
"""The headers of the forwarded record, with more or less of what is known about its failure."""


class Owner(Protocol):
    """Whose record it is."""

    raw: RawMessage

    @property
    def number(self) -> int:
        """The partition to go to: the same number everywhere."""

    @property
    def is_given_up(self) -> bool:
        """Whether the record belongs to someone else by now, who will deal with it."""

    def forwarded(self) -> None:
        """The record is where it should go, or no longer ours."""

    def not_forwarded(self) -> None:
        """It is not there yet; it will be tried again."""


class Forwarding(Arrival):
    """Publishes the record of ``owner`` to ``topic`` until it is there.

    A record that is too large there is sent alone, then sheds what was added to it: the traceback,
    then the message. After any other failure it is tried again, with growing pauses.
    """

    __slots__ = ("_alone", "_headers", "_keep", "_owner", "_pause_s", "_timers")

    def __init__(
        self,
        owner: Owner,
        topic: str,
        headers: HeadersFor,
        publisher: Publisher,
        timers: Timers,
    ) -> None:
        super().__init__(topic, publisher)
        self._owner = owner
        self._headers = headers
        self._timers = timers
        self._keep: Keep = "all"
        self._alone = False
        self._pause_s = PAUSE_S

    def begin(self) -> None:
        """Send it, or send it again."""
        if self._owner.is_given_up:
            self._owner.forwarded()
            return
        self.error = None
        raw = self._owner.raw
        headers = self._headers(self._keep)
        content = Content(raw.value(), raw.key(), headers, self._owner.number)
        self.publisher.post(self, content, alone=self._alone)

    def arrive(self) -> None:
        owner, error = self._owner, self.error
        if error is None or owner.is_given_up:
            owner.forwarded()
            return
        too_large = isinstance(error, KafkaError) and error.code == ErrorCode.MESSAGE_TOO_LARGE
        if too_large and not self._alone:
            self._alone = True  # perhaps others in its batch were to blame
            self.begin()
            return
        if too_large and self._keep != "type":
            self._keep = "message" if self._keep == "all" else "type"
            self.begin()
            return
        logger.error("%s stays unfinished: it cannot go to %s: %s", owner, self.topic, error)
        owner.not_forwarded()
        self._timers.after(self._pause_s, self.begin)
        self._pause_s = min(self._pause_s * 2, PAUSE_S_MAX)


def headers_of(raw: RawMessage) -> list[tuple[str, bytes | None]]:
    """The headers as they came; librdkafka gives bytes, though its types say otherwise."""
    headers: Any = raw.headers()
    return headers or []

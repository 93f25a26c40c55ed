"""What a handler can ask for beside its payload, and what it can return."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Self

from mq.record import Headers, last_header

__all__ = ["Message", "Send", "Tombstone"]


class Message:
    """The record behind a payload: annotate a handler's parameter with this class to get it.

    A record that is tried again is the same message: ``topic``, ``partition``, ``offset`` and
    ``timestamp`` tell of its first place, and only ``attempt`` has changed.

    Attributes:
        topic: where it was published.
        partition: its partition there.
        offset: its offset there.
        timestamp: when it was published, in milliseconds since the epoch.
        key: its key, as bytes.
        value: its value, as bytes.
        headers: all headers in their order; a name may occur more than once.
        attempt: the number of this attempt, from 1.
        id: the message's name, the same through retries and redrives; derive from it what must
            happen once.
        group: the consumer group that this handler belongs to.
    """

    __slots__ = (
        "attempt",
        "group",
        "headers",
        "id",
        "key",
        "offset",
        "partition",
        "timestamp",
        "topic",
        "value",
    )

    def __init__(
        self,
        topic: str,
        partition: int,
        offset: int,
        timestamp: int,
        key: bytes | None,
        value: bytes | None,
        headers: Headers,
        attempt: int,
        id: str,  # noqa: A002 - what it is called
        group: str,
    ) -> None:
        self.topic = topic
        self.partition = partition
        self.offset = offset
        self.timestamp = timestamp
        self.key = key
        self.value = value
        self.headers = headers
        self.attempt = attempt
        self.id = id
        self.group = group

    def header(self, name: str) -> bytes | None:
        """The last value of header ``name``, or None."""
        return last_header(self.headers, name)

    @classmethod
    def fake(cls, **fields: Any) -> Self:
        """A message for tests that call a handler as the plain function it is.

        Every attribute can be given; the others have harmless values.
        """
        given = {
            "topic": "test",
            "partition": 0,
            "offset": 0,
            "timestamp": 0,
            "key": None,
            "value": None,
            "headers": (),
            "attempt": 1,
            "id": "00000000-0000-7000-8000-000000000000",
            "group": "test",
        }
        return cls(**{**given, **fields})

    def __repr__(self) -> str:
        place = f"{self.topic}-{self.partition}@{self.offset}"
        return f"<Message {self.id} at {place}, attempt {self.attempt}>"


class _Unset:
    def __repr__(self) -> str:
        return "..."


KEEP: Final = _Unset()
"""The key of the message that is being handled."""


@dataclass(frozen=True, slots=True)
class Send:
    """A handler's return value with a will of its own.

    Args:
        value: what to send; None for a null value.
        topic: where to, instead of the handler's ``sends``.
        key: the key, instead of the incoming message's; None for no key.
        headers: headers to add.
    """

    value: Any
    topic: str | None = None
    key: Any = KEEP
    headers: Any = ()


class Tombstone:
    """Return it to send a null value: what a compacted topic deletes a key by."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "Tombstone()"

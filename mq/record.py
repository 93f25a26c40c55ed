"""What travels through a topic, as everyone above the wire sees it.

These are plain values. They know nothing of batches, compression or sockets.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

__all__ = ["Headers", "Record", "TopicPartition"]

Headers = tuple[tuple[str, bytes | None], ...]
"""Headers of a record in their order; Kafka allows a name to appear more than once."""


class TopicPartition(NamedTuple):
    """One partition of one topic."""

    topic: str
    partition: int

    def __str__(self) -> str:
        return f"{self.topic}-{self.partition}"


@dataclass(frozen=True, slots=True)
class Record:
    """A record as read from a partition. ``timestamp`` is in milliseconds since the epoch."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Headers = ()

    @property
    def topic_partition(self) -> TopicPartition:
        return TopicPartition(self.topic, self.partition)

    def header(self, name: str) -> bytes | None:
        """The last value of header ``name``, as Kafka's own ``lastHeader`` reads it, or None."""
        return last_header(self.headers, name)


def last_header(headers: Iterable[tuple[str, bytes | None]], name: str) -> bytes | None:
    """The value of the last header called ``name``, or None if there is none."""
    found: bytes | None = None
    for key, value in headers:
        if key == name:
            found = value
    return found

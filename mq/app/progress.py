"""How far a partition is done: what was begun, what is finished, and what may be committed.

A committed offset says "everything below is dealt with". Handlers finish out of order, so the
offset that may be committed is the first one that was begun and is not finished, or, when nothing
is open, the position: the offset after the last that was read. Offsets need not be dense:
compaction and transaction markers leave gaps, which cost nothing here because only offsets that
were really read are tracked.

Beside the offset a commit carries a note, a short text that Kafka keeps with it
(``offset.metadata.max.bytes``, 4,096 by default). The note is a list of named fields, so that what
is finished above the committed offset, or who was at work, can join it; readers skip fields they do
not know, and a note of someone else's reads as no fields at all.

This module knows neither Kafka's clients nor time: when to commit is its caller's decision.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Final

__all__ = ["NOTE_BYTES_MAX", "Progress", "read_note", "write_note"]

NOTE_BYTES_MAX: Final = 4096
"""Kafka's default limit of the text beside a committed offset."""

_NOTE_FORMAT: Final = "mq1"


class Progress:
    """The open and finished offsets of one partition since it was assigned.

    ``position`` is the offset to read next when the partition is assigned.
    """

    __slots__ = ("_done", "_open", "position")

    def __init__(self, position: int) -> None:
        self.position = position
        self._open: deque[int] = deque()  # begun, ascending; the first one is never finished
        self._done: set[int] = set()  # finished, but not the first of the open ones

    def begin(self, offset: int) -> bool:
        """Note that ``offset`` was read; false if it was read before and must not run again."""
        if offset < self.position:
            return False
        self.position = offset + 1
        self._open.append(offset)
        return True

    def reach(self, offset: int) -> bool:
        """Note that nothing lies below ``offset``: the end of the partition, or a gap.

        Returns whether the committable offset moved by it.
        """
        if offset <= self.position:
            return False
        self.position = offset
        return not self._open

    def finish(self, offset: int) -> bool:
        """Note that ``offset`` is dealt with; true if the committable offset moved.

        Each offset is begun once and finished once.
        """
        waiting, done = self._open, self._done
        if offset != waiting[0]:
            done.add(offset)
            return False
        waiting.popleft()
        while done and waiting and waiting[0] in done:
            done.remove(waiting.popleft())
        return True

    @property
    def committable(self) -> int:
        """Everything below this offset is dealt with. It never falls."""
        return self._open[0] if self._open else self.position

    @property
    def open_count(self) -> int:
        """How many offsets were begun and are not finished."""
        return len(self._open) - len(self._done)

    def finished_above(self) -> list[int]:
        """The finished offsets above the committable one, ascending."""
        return sorted(self._done)


def write_note(fields: Mapping[str, str]) -> str:
    """The note that stands beside a committed offset.

    Names are letters, digits and dashes; values must not contain ``;``. A note that would be longer
    than Kafka keeps is emptied: losing it costs repeats, a refused commit costs more.
    """
    note = ";".join([_NOTE_FORMAT, *(f"{name}={value}" for name, value in fields.items())])
    return note if len(note.encode()) <= NOTE_BYTES_MAX else _NOTE_FORMAT


def read_note(note: str | None) -> dict[str, str]:
    """The fields of a note; none if there is no note or someone else wrote it."""
    head, *fields = (note or "").split(";")
    if head != _NOTE_FORMAT:
        return {}
    pairs = (field.partition("=") for field in fields)
    return {name: value for name, found, value in pairs if found}

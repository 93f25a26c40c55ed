"""What the journal holds after a crash, of each partition.

The files are read group by group, and no group is kept: of each entry it is remembered where its
batches lie. What counts of a file is its newest use, as told by the first group in it. A torn group
ends it, unless a later one follows: groups are synced one by one, so that no crash leaves a torn
one before a whole one. Then the newest file is damaged (the other one may be about to be used
anew), and reading goes on behind the damage; whether anything is missing is seen where entries are
put behind their logs.

Of a name that had several topic ids in the journal only the last one counts: the others belong to
topics that were deleted.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple
from uuid import UUID

from mq.log.entries import (
    BLOCK_BYTES,
    HEAD_BYTES,
    EntryHead,
    GroupHead,
    decode_entries,
    decode_head,
    is_whole,
    padded,
)
from mq.log.files import File, Files
from mq.log.journal import JOURNAL_FILES
from mq.record import TopicPartition

__all__ = ["Backlog", "Found", "Piece", "newest_generation", "read"]


class Piece(NamedTuple):
    """An entry that was found: its offsets, and where its batches lie."""

    first_offset: int
    end_offset: int
    file: int
    position: int
    size: int


class Backlog:
    """What the journal holds of one partition, in the order in which it was written.

    Attributes:
        synced_end: what is missing below, before the entries or between them, had been synced.
    """

    __slots__ = ("_found", "_numbers", "synced_end", "topic_id")

    def __init__(self, found: Found, topic_id: UUID) -> None:
        self.topic_id = topic_id
        self._found = found
        self.synced_end = 0
        self._numbers = array("q")  # there may be hundreds of thousands of entries

    @property
    def first_offset(self) -> int:
        """Where the oldest entry begins; -1 without any."""
        return self._numbers[0] if self._numbers else -1

    @property
    def is_all(self) -> bool:
        """Whether this may be all that there ever was of the partition.

        Behind a gap lies what its own files were synced for, and then their names were as well. In
        a damaged journal a gap tells nothing.
        """
        return self.first_offset == 0 and (self._found.damaged or not self.synced_end)

    def add(self, piece: Piece) -> None:
        """Add the next entry."""
        if piece.first_offset > (self._numbers[1 - len(piece)] if self._numbers else 0):
            self.synced_end = piece.first_offset
        self._numbers.extend(piece)

    def __iter__(self) -> Iterator[Piece]:
        numbers, width = self._numbers, len(Piece._fields)
        for start in range(0, len(numbers), width):
            yield Piece(*numbers[start : start + width])

    def read(self, piece: Piece) -> bytes:
        """The batches of an entry."""
        return self._found.sources[piece.file].read(piece.position, piece.size)


@dataclass(slots=True)
class Found:
    """What the files of a journal hold.

    Attributes:
        generation: the newest one, 0 if there is none.
        backlogs: of each partition, under the last topic id that its name had.
        damaged: whether something in the middle is unreadable. No crash does that.
        sources: the files.
    """

    generation: int = 0
    backlogs: dict[TopicPartition, Backlog] = field(default_factory=dict)
    damaged: bool = False
    sources: list[_Source] = field(default_factory=list)


def newest_generation(files: Files, directory: Path) -> int:
    """The newest generation in the directory, 0 if there is none; nothing more is read."""
    groups = [source.group_at(0) for source in _sources(files, directory)]
    return max((group[0].generation for group in groups if group is not None), default=0)


def read(files: Files, directory: Path) -> Found:
    """Find all entries that may be needed still; their batches stay on the disk.

    Raises:
        OSError: the disk refuses.
    """
    found = Found(sources=_sources(files, directory))
    uses = []
    for number, source in enumerate(found.sources):
        for _, first, _ in source.groups():
            uses.append((first.generation, number))
            break
    if not uses:
        return found
    found.generation, newest = max(uses)
    *_, (_, last, _) = found.sources[newest].groups()
    for generation, number in sorted(uses):
        if generation >= last.oldest:
            has_gap = _collect(found, number)
            # The first write of a next use may have torn the other file in any place.
            found.damaged |= has_gap and number == newest
    return found


def _collect(found: Found, number: int) -> bool:
    """Add the entries of a file; whether a group is missing before another one."""
    expected, has_gap = 0, False
    for position, head, data in found.sources[number].groups():
        has_gap |= head.sequence != expected
        expected = head.sequence + 1
        for entry in decode_entries(head, data):
            _add(found, entry, number, position)
    return has_gap


def _add(found: Found, entry: EntryHead, number: int, position: int) -> None:
    backlog = found.backlogs.get(entry.name)
    if backlog is None or backlog.topic_id != entry.topic_id:
        backlog = found.backlogs[entry.name] = Backlog(found, entry.topic_id)
    backlog.add(
        Piece(entry.first_offset, entry.end_offset, number, position + entry.position, entry.size)
    )


@dataclass(frozen=True, slots=True)
class _Source:
    """One file of the journal."""

    files: Files
    file: File
    size: int

    def read(self, position: int, size: int) -> bytes:
        return self.files.pread(self.file, size, position)

    def groups(self) -> Iterator[tuple[int, GroupHead, bytes]]:
        """Position, head and bytes of each group of the file's newest use."""
        last: GroupHead | None = None
        position = 0
        while position < self.size:
            group = self.group_at(position)
            if group is None or (last is not None and not last.is_before(group[0])):
                position += BLOCK_BYTES
                continue
            last = group[0]
            yield position, *group
            position += padded(last.length)

    def group_at(self, position: int) -> tuple[GroupHead, bytes] | None:
        """Head and bytes of the group there, if there is a whole one."""
        head = decode_head(self.read(position, HEAD_BYTES))
        if head is None:
            return None
        data = self.read(position, head.length)
        return (head, data) if is_whole(head, data) else None


def _sources(files: Files, directory: Path) -> list[_Source]:
    paths = [directory / name for name in JOURNAL_FILES]
    return [
        _Source(files, files.open(path), files.size(path)) for path in paths if files.exists(path)
    ]

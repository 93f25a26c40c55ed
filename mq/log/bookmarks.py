"""How far a start after a crash need not read: what an active segment was like at some offset.

The indexes of an active segment, and what its producers have done, are in memory only, and a crash
takes them. A bookmark holds them as of one offset, in a file ``<offset>.bookmark`` that Kafka does
not know and does not touch. Whoever loads the log goes on from there, if all below had been synced.

A bookmark is never synced: it is believed only if it is whole, and if the log agrees with it.
Without one everything is found in the log.

The newest one may be ahead of the recovery point that is written down, and is of no use to a crash
then. So the one before is kept until it is not.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

import google_crc32c

from mq.log.files import Buffer, Files
from mq.log.producers import Producers

__all__ = ["KIND", "Bookmark", "Bookmarks", "CorruptBookmarkError"]

KIND: Final = "bookmark"

# A bookmark is due when the segment has grown by so many index intervals, and by this part of its
# size: so all of them together are a small part of the log, too.
_INTERVALS: Final = 1024
_PART: Final = 16

_VERSION: Final = 0
_HEAD: Final = struct.Struct(">hI")  # version, CRC-32C of all that follows
# Base offset, end offset, position, latest timestamp and its offset, bytes since the last entry of
# the indexes; then how many bytes the two indexes and the transaction index have.
_FIELDS: Final = struct.Struct(">qqqqqqIII")


class CorruptBookmarkError(ValueError):
    """The bytes are no bookmark. Do without."""


class Bookmark(NamedTuple):
    """A segment that begins at ``base_offset``, up to ``end_offset``, which lies at ``position``.

    Attributes:
        latest: as of ``GrowingIndexes``, as is ``bytes_since_entry``.
        offsets, times, aborted: the bytes of the indexes.
        producers: the bytes of a snapshot.
    """

    base_offset: int
    end_offset: int
    position: int
    latest: tuple[int, int]
    bytes_since_entry: int
    offsets: Buffer
    times: Buffer
    aborted: Buffer
    producers: Buffer

    def state(self) -> tuple[Producers, int]:
        """The producers, and as of which offset."""
        return Producers.decode(bytes(self.producers)), self.end_offset

    def encode(self) -> bytes:
        """The bytes of the file."""
        parts = self.offsets, self.times, self.aborted
        fields = _FIELDS.pack(
            self.base_offset,
            self.end_offset,
            self.position,
            *self.latest,
            self.bytes_since_entry,
            *map(len, parts),
        )
        body = b"".join((fields, *parts, self.producers))
        return _HEAD.pack(_VERSION, google_crc32c.value(body)) + body

    @classmethod
    def decode(cls, data: bytes) -> Bookmark:
        """What the file holds.

        Raises:
            CorruptBookmarkError: it is cut short, damaged, or of an unknown version.
        """
        if len(data) < _HEAD.size + _FIELDS.size:
            raise CorruptBookmarkError(f"a bookmark of {len(data)} bytes is too short")
        version, crc = _HEAD.unpack_from(data)
        if version != _VERSION or google_crc32c.value(data[_HEAD.size :]) != crc:
            raise CorruptBookmarkError("the bookmark is damaged, or of an unknown version")
        base, end, place, latest, latest_at, since, *sizes = _FIELDS.unpack_from(data, _HEAD.size)
        parts: list[bytes] = []
        start = _HEAD.size + _FIELDS.size
        for size in sizes:
            parts.append(data[start : start + size])
            start += size
        offsets, times, aborted = parts
        producers = data[start:]
        return cls(base, end, place, (latest, latest_at), since, offsets, times, aborted, producers)


class Bookmarks:
    """The bookmarks of one partition.

    Attributes:
        due_at: the size of the active segment at which another one is due.
    """

    __slots__ = ("_files", "_offsets", "_path", "due_at")

    def __init__(self, files: Files, path: Path, offsets: Sequence[int]) -> None:
        """Those in the directory ``path``, rising; ``wait`` is to be called before all else."""
        self._files = files
        self._path = path
        self._offsets = list(offsets)
        self.due_at = 0

    def wait(self, size: int, interval: int) -> None:
        """Nothing is due before a segment of ``size`` bytes, indexed so often, has grown."""
        self.due_at = size + max(_INTERVALS * interval, size // _PART, 1)

    def may_write(self, checkpointed_offset: int) -> bool:
        """Whether a crash could make use of the newest one by now."""
        return not self._offsets or self._offsets[-1] <= checkpointed_offset

    def write(self, bookmark: Bookmark) -> None:
        """Add one; only the one before is kept beside it. Nothing is synced.

        Raises:
            OSError: it may be there in part.
        """
        old, self._offsets = self._offsets[:-1], self._offsets[-1:]
        for offset in old:
            self._files.unlink(self._file(offset))
        self._offsets.append(bookmark.end_offset)
        self._files.write(self._file(bookmark.end_offset), bookmark.encode())

    def _file(self, offset: int) -> Path:
        return self._path / f"{offset:020d}.{KIND}"

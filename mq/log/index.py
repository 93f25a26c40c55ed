"""Kafka's indexes of a segment, as values over bytes: where an offset lies, when a time was.

The offset index (``.index``) holds, about every ``index.interval.bytes``, the last offset of a
batch and the position where that batch starts. The time index (``.timeindex``) holds, at the same
places, the highest timestamp so far and the last offset of the batch that carries it, if that
timestamp is higher than the one before. The transaction index (``.txnindex``) holds aborted
transactions. Offsets in the first two are relative to the segment's base offset, so that they fit
into 32 bits.

An index is only a hint of where to begin reading: a lookup may land too early, and whoever reads on
from there finds what he wants. An index that lands too late is broken, and readers can tell (see
``Segment.find``): it is then built anew from the log, which alone is the truth.

Nothing here knows of files. A growing index is kept over a bytearray, a finished one over a map.
"""

from __future__ import annotations

import struct
from bisect import bisect_left, bisect_right
from operator import attrgetter, itemgetter
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from mq.log.files import Buffer

__all__ = [
    "NO_TIMESTAMP",
    "RELATIVE_OFFSET_MAX",
    "AbortedIndex",
    "AbortedTransaction",
    "GrowingIndexes",
    "OffsetIndex",
    "TimeIndex",
]

NO_TIMESTAMP: Final = -1
RELATIVE_OFFSET_MAX: Final = 2**31 - 1

_OFFSET_ENTRY: Final = struct.Struct(">ii")
_TIME_ENTRY: Final = struct.Struct(">qi")
_ABORTED: Final = struct.Struct(">hqqqq")
_ABORTED_VERSION: Final = 0


class OffsetIndex:
    """Offset to position: 8 bytes an entry, both columns rising."""

    ENTRY_SIZE: Final = _OFFSET_ENTRY.size

    __slots__ = ("base_offset", "data")

    def __init__(self, base_offset: int, data: Buffer | None = None) -> None:
        self.base_offset = base_offset
        self.data: Buffer = bytearray() if data is None else data

    def __len__(self) -> int:
        return len(self.data) // _OFFSET_ENTRY.size

    def __getitem__(self, number: int) -> tuple[int, int]:
        """The last offset and the position of the batch that entry ``number`` is about."""
        relative, position = _OFFSET_ENTRY.unpack_from(self.data, number * _OFFSET_ENTRY.size)
        return self.base_offset + relative, position

    def append(self, last_offset: int, position: int) -> None:
        """Add an entry; both numbers are higher than those of the entry before."""
        assert isinstance(self.data, bytearray)
        self.data += _OFFSET_ENTRY.pack(last_offset - self.base_offset, position)

    def lookup(self, offset: int) -> tuple[int, int] | None:
        """The last entry at or below ``offset``; None where there is none: read from the start."""
        place = bisect_right(self, offset, key=itemgetter(0))
        return self[place - 1] if place else None

    def offset_from(self, position: int) -> int | None:
        """An offset that no batch which begins before ``position`` reaches; None if none is known.

        The first batch that is known to begin there, or further on, ends behind all of them.
        """
        place = bisect_left(self, position, key=itemgetter(1))
        return self[place][0] if place < len(self) else None

    def batch_before(self, position: int) -> int:
        """The last place at or below ``position`` where a batch is known to begin; 0 if none is."""
        place = bisect_right(self, position, key=itemgetter(1))
        return self[place - 1][1] if place else 0

    def fits(self, size: int) -> bool:
        """Whether this can be the index of a segment of ``size`` bytes, as far as its end tells."""
        if len(self.data) % _OFFSET_ENTRY.size:
            return False
        if not len(self):
            return True
        offset, position = self[len(self) - 1]
        return offset >= self.base_offset and 0 < position < size


class TimeIndex:
    """Timestamp to offset: 12 bytes an entry, timestamps rising, offsets never falling."""

    ENTRY_SIZE: Final = _TIME_ENTRY.size

    __slots__ = ("base_offset", "data")

    def __init__(self, base_offset: int, data: Buffer | None = None) -> None:
        self.base_offset = base_offset
        self.data: Buffer = bytearray() if data is None else data

    def __len__(self) -> int:
        return len(self.data) // _TIME_ENTRY.size

    def __getitem__(self, number: int) -> tuple[int, int]:
        """The timestamp (ms) and the offset of entry ``number``."""
        timestamp, relative = _TIME_ENTRY.unpack_from(self.data, number * _TIME_ENTRY.size)
        return timestamp, self.base_offset + relative

    @property
    def last(self) -> tuple[int, int]:
        """The last entry: the highest timestamp and its offset; ``NO_TIMESTAMP`` if empty."""
        return self[len(self) - 1] if len(self) else (NO_TIMESTAMP, self.base_offset)

    def append_if_later(self, timestamp: int, offset: int) -> None:
        """Add an entry unless a timestamp as high is there already."""
        if timestamp > self.last[0]:
            assert isinstance(self.data, bytearray)
            self.data += _TIME_ENTRY.pack(timestamp, offset - self.base_offset)

    def lookup(self, timestamp: int) -> tuple[int, int] | None:
        """The last entry at or below ``timestamp``: batches before that offset's are all older.

        Returns:
            None where there is no such entry: look from the start.
        """
        place = bisect_right(self, timestamp, key=itemgetter(0))
        return self[place - 1] if place else None

    def fits(self) -> bool:
        """Whether this can be a time index, as far as its ends tell."""
        if len(self.data) % _TIME_ENTRY.size:
            return False
        if not len(self):
            return True
        timestamp, offset = self.last
        return timestamp >= self[0][0] and offset >= self.base_offset


class GrowingIndexes:
    """Both indexes of a segment while batches are added to it, live or in a scan.

    Attributes:
        latest: the highest timestamp so far, and the last offset of the first batch that has it.
        bytes_since_entry: what was added since the last entry, its own batch included.
    """

    __slots__ = ("bytes_since_entry", "latest", "offsets", "times")

    def __init__(self, base_offset: int) -> None:
        self.offsets = OffsetIndex(base_offset)
        self.times = TimeIndex(base_offset)
        self.latest = NO_TIMESTAMP, base_offset
        self.bytes_since_entry = 0

    def add(
        self, position: int, last_offset: int, max_timestamp: int, length: int, interval: int
    ) -> None:
        """Count a batch of ``length`` bytes; index it if more than ``interval`` bytes went by."""
        if max_timestamp > self.latest[0]:
            self.latest = max_timestamp, last_offset
        if self.bytes_since_entry > interval:
            self.offsets.append(last_offset, position)
            self.times.append_if_later(*self.latest)
            self.bytes_since_entry = 0
        self.bytes_since_entry += length

    def finish(self) -> None:
        """Force the last entry of the time index, so that it tells the highest timestamp."""
        self.times.append_if_later(*self.latest)

    def is_full(self, size_max: int) -> bool:
        """Whether one more entry (and, in the time index, the last one) might not fit."""
        return (
            len(self.offsets.data) + OffsetIndex.ENTRY_SIZE > size_max
            or len(self.times.data) + 2 * TimeIndex.ENTRY_SIZE > size_max
        )


class AbortedTransaction(NamedTuple):
    """An entry of the transaction index: 34 bytes, in the order of their last offsets.

    ``last_stable_offset`` is that of the partition when the abort marker was written.
    """

    producer_id: int
    first_offset: int
    last_offset: int
    last_stable_offset: int

    def encode(self) -> bytes:
        """The entry as Kafka writes it."""
        return _ABORTED.pack(_ABORTED_VERSION, *self)

    @classmethod
    def decode(cls, data: Buffer, position: int = 0) -> AbortedTransaction:
        """Read the entry at ``position``.

        Raises:
            ValueError: it is cut short or of a version that Kafka has not had.
        """
        if len(data) - position < _ABORTED.size:
            raise ValueError("an entry of the transaction index is cut short")
        version, *fields = _ABORTED.unpack_from(data, position)
        if version != _ABORTED_VERSION:
            raise ValueError(f"an entry of the transaction index has the version {version}")
        return cls(*fields)


class AbortedIndex:
    """The aborted transactions whose markers lie in a segment, in the order of the markers."""

    ENTRY_SIZE: Final = _ABORTED.size

    __slots__ = ("data",)

    def __init__(self, data: Buffer | None = None) -> None:
        self.data: Buffer = bytearray() if data is None else data

    def __len__(self) -> int:
        return len(self.data) // _ABORTED.size

    def __getitem__(self, number: int) -> AbortedTransaction:
        """Entry ``number``."""
        return AbortedTransaction.decode(self.data, number * _ABORTED.size)

    def append(self, aborted: AbortedTransaction) -> None:
        """Add an entry; its marker lies behind that of the entry before."""
        assert isinstance(self.data, bytearray)
        self.data += aborted.encode()

    def fits(self, base_offset: int) -> bool:
        """Whether this can be the index of a segment that begins at ``base_offset``."""
        if len(self.data) % _ABORTED.size:
            return False
        before = base_offset - 1
        for version, _, first, last, stable in _ABORTED.iter_unpack(self.data):
            if version != _ABORTED_VERSION or not (0 <= first < last and before < last):
                return False
            if not 0 <= stable <= last + 1:
                return False
            before = last
        return True

    def collect(self, start: int, end: int, found: list[AbortedTransaction]) -> bool:
        """Add the transactions to ``found`` that reach into the offsets ``start`` to ``end``.

        Returns:
            Whether these are all: when a marker was written where nothing below ``end`` was open
            any more, no later one is about anything there.
        """
        place = bisect_left(self, start, key=attrgetter("last_offset"))
        for number in range(place, len(self)):
            aborted = self[number]
            if aborted.first_offset < end:
                found.append(aborted)
            if aborted.last_stable_offset >= end:
                return True
        return False

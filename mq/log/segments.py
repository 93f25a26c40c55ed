"""The segments of a partition in their order, the active one at the end.

Segments lie end to end: each reaches up to where the next one begins, though compaction may have
left gaps between the batches in them. Whatever asks for a place in the log (by offset, by time)
comes here and is led to the segment that has it; whatever changes the list (growing, rolling,
deleting the oldest) happens here, and readers that hold a slice of what is gone keep it.

Knows the log as bytes and batches. Which offsets may be seen, what is on stable storage and what
producers wrote is the partition's to know. Errors of the disk come out as they are (OSError).
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import islice, pairwise
from operator import attrgetter
from pathlib import Path
from typing import Final

from mq.log.aborted import rebuild
from mq.log.config import LogConfig
from mq.log.files import Buffer, File, Files, OpenFiles
from mq.log.index import AbortedTransaction
from mq.log.retention import Extent
from mq.log.segment import DELETED, LOOKUP_BYTES, SWAP, Segment, file_name
from mq.log.slices import Slice, Tail, cut
from mq.log.timestamps import Found, find_latest, find_timestamp
from mq.log.uncleaned import Sealed
from mq.wire.batch import BatchHeader

__all__ = ["HOT_BYTES", "UNLIMITED", "Segments"]

# What was appended that recently is certainly in the page cache: sending it cannot block.
HOT_BYTES: Final = 8 * 1024 * 1024

UNLIMITED: Final = 2**63 - 1
"""An end above all offsets."""

# So many batches without a record are passed over at once, which takes about a millisecond.
EMPTIED_MAX: Final = 1000


class Segments:
    """The segments in one directory. At least one, the active one, is always there."""

    def __init__(
        self, files: Files, open_files: OpenFiles, path: Path, segments: list[Segment]
    ) -> None:
        """Take over what was loaded; the last segment is active."""
        self._files = files
        self._open_files = open_files
        self._path = path
        self._segments = segments
        self._tail = Tail()
        self._hot_from = self.active.size
        self._torn = False  # whether a write that failed left bytes behind the log's end

    def __len__(self) -> int:
        return len(self._segments)

    def __iter__(self) -> Iterator[Segment]:
        return iter(self._segments)

    @property
    def active(self) -> Segment:
        """The segment that grows."""
        return self._segments[-1]

    @property
    def first_offset(self) -> int:
        """Where the oldest segment begins."""
        return self._segments[0].base_offset

    @property
    def size(self) -> int:
        """Bytes of log."""
        return sum(segment.size for segment in self._segments)

    def base_offset(self, place: int) -> int:
        """Where the segment at this place of the list begins."""
        return self._segments[place].base_offset

    # --- growing ---------------------------------------------------------------------------------

    def write(self, buffers: Sequence[Buffer]) -> None:
        """Write behind the last batch, all or nothing; :meth:`add` makes it part of the log.

        Raises:
            OSError: nothing was written, as far as anybody will see.
        """
        self.mend()
        file, end = self.active.file, self.active.size
        try:
            self._files.pwrite(file, buffers, end)
        except OSError as error:
            self._torn = True
            try:
                self.mend()
            except OSError:
                pass  # done before the next write; a restart would find and cut it as well
            raise error

    def mend(self) -> None:
        """Cut off what a write that failed may have left behind the log's end.

        Raises:
            OSError: it is still there.
        """
        if self._torn:
            self._files.truncate(self.active.file, self.active.size)
            self._torn = False

    def add(
        self,
        base_offset: int,
        last_offset: int,
        max_timestamp: int,
        length: int,
        now_ms: int,
        interval: int,
    ) -> None:
        """Count a batch that was written; arguments as those of ``Segment.add``."""
        self._tail.add(base_offset, self.active.size)
        self.active.add(last_offset, max_timestamp, length, now_ms, interval)

    def is_full_for(
        self, length: int, last_offset: int, max_timestamp: int, config: LogConfig, now_ms: int
    ) -> bool:
        """Whether a batch must go into a new segment."""
        return self.active.is_full_for(length, last_offset, max_timestamp, config, now_ms)

    def roll(self, base_offset: int, producers: Buffer) -> list[File]:
        """Seal the active segment and begin one at ``base_offset``, with a snapshot of producers.

        Returns:
            The new files that await a sync; beside them the name of the new log does.

        Raises:
            OSError: the active segment is still the old one.
        """
        old = self.active
        self.mend()
        indexes = old.write_indexes()
        snapshot = self._files.write(self._path / file_name(base_offset, "snapshot"), producers)
        new = Segment.create(self._files, self._open_files, self._path, base_offset)
        old.seal()
        self._segments.append(new)
        self._tail = Tail()
        self._hot_from = 0
        return [*indexes, snapshot]

    # --- reading ---------------------------------------------------------------------------------

    def read(self, offset: int, max_bytes: int, end: int = UNLIMITED) -> Slice | None:
        """The batches from the one that holds ``offset`` on, out of one segment.

        Args:
            max_bytes: how many bytes at most, but always the first batch whole.
            end: no batch that reaches this offset, which is in the log.

        Raises:
            KafkaError: CORRUPT_MESSAGE, the log is damaged.
        """
        if offset >= self.active.base_offset:
            return self._read_active(offset, max_bytes, end)
        emptied = None
        place = bisect_right(self._segments, offset, key=attrgetter("base_offset")) - 1
        for segment, following in pairwise(self._segments[place:]):
            if (first := segment.find(offset)) is None:
                continue
            stop = segment.size if end >= following.base_offset else segment.position_of(end)
            emptied = emptied or _cut_sealed(segment, first, stop, max_bytes)
            if (found := _pass_emptied(segment, first)) is not None:
                return _cut_sealed(segment, found, stop, max_bytes) or emptied
            offset = following.base_offset
        return self._read_active(offset, max_bytes, end) or emptied

    def _read_active(self, offset: int, max_bytes: int, end: int) -> Slice | None:
        active = self.active
        first = self._tail.find_with_end(offset, active.size)
        if first is None:
            found = active.find(offset)
            if found is None:
                return None
            first = found[0], found[0] + found[1].length
        if end == UNLIMITED:
            stop = active.size
        elif (stop := self._tail.find(end)) < 0:
            stop = active.position_of(end)
        hot = first[0] >= max(self._hot_from, active.size - HOT_BYTES)
        return cut(active.file, *first, stop, max_bytes, hot=hot, index=active.offsets)

    def aborted(self, start: int, end: int) -> list[tuple[int, int]]:
        """Producer id and first offset of the aborted transactions in a stretch of the log."""
        found = self.collect_aborted(start, end)
        return [(aborted.producer_id, aborted.first_offset) for aborted in found]

    def collect_aborted(self, start: int, end: int) -> list[AbortedTransaction]:
        """The aborted transactions that reach into a stretch of the log."""
        place = bisect_right(self._segments, start, key=attrgetter("base_offset")) - 1
        found: list[AbortedTransaction] = []
        for at in range(max(place, 0), len(self._segments)):
            index = self._segments[at].aborted
            if index is None:
                index = rebuild(self._files, self._segments[: at + 1])
            if index.collect(start, end, found):
                break
        return found

    def aborted_in(self, offset: int, found: Slice) -> list[tuple[int, int]]:
        """As :meth:`aborted`, for what was read at ``offset``; some may lie behind it."""
        if offset >= self.active.base_offset and not self.active.aborted:
            return []  # as nearly always
        return self.aborted(offset, self._end_of(offset, found))

    def _end_of(self, offset: int, found: Slice) -> int:
        """An offset that nothing in a slice reaches which was read at ``offset``."""
        stop = found.position + found.size
        place = bisect_right(self._segments, offset, key=attrgetter("base_offset")) - 1
        for segment, following in pairwise(self._segments[max(place, 0) :]):
            if segment.path("log") == found.keep.path:
                end = segment.end_of(stop)
                return following.base_offset if end is None else end
        end = self.active.end_of(stop)
        return UNLIMITED if end is None else end

    def find_timestamp(self, timestamp: int, start: int) -> Found:
        """The first record of ``timestamp`` (ms) or later, from the offset ``start`` on.

        Raises:
            KafkaError: CORRUPT_MESSAGE, the log is damaged.
        """
        return find_timestamp(self._segments, timestamp, start)

    def find_latest(self, start: int) -> Found:
        """The first record with the highest timestamp; None if no record has a timestamp.

        Raises:
            KafkaError: CORRUPT_MESSAGE, the log is damaged.
        """
        return find_latest(self._segments, start)

    # --- deleting --------------------------------------------------------------------------------

    def extents(self, end_offset: int) -> list[Extent]:
        """What retention wants to know of each segment of a log that ends at ``end_offset``.

        Raises:
            KafkaError: KAFKA_STORAGE_ERROR.
        """
        ends = [*(segment.base_offset for segment in self._segments[1:]), end_offset]
        return [
            Extent(end, segment.size, partial(getattr, segment, "latest_ms"))
            for segment, end in zip(self._segments, ends, strict=True)
        ]

    def count_below(self, offset: int) -> int:
        """How many sealed segments end at or below ``offset``."""
        place = bisect_right(self._segments, offset, key=attrgetter("base_offset")) - 1
        return max(place, 0)

    def retire_oldest(self, count: int) -> list[Path]:
        """Give up that many of the oldest segments; the names of the files that may go."""
        old, self._segments = self._segments[:count], self._segments[count:]
        return self._retire(old, old)

    def _retire(self, segments: Sequence[Segment], snapshots: Sequence[Segment]) -> list[Path]:
        retired = [path for segment in segments for path in segment.retire()]
        for segment in snapshots:
            path = segment.path("snapshot")
            if self._files.exists(path):
                retired.append(path.with_name(path.name + DELETED))
                self._files.rename(path, retired[-1])
        return retired

    # --- compaction ------------------------------------------------------------------------------

    def sealed(self) -> list[Sealed]:
        """What compaction wants to know of each segment, the active one included."""
        return [
            Sealed(
                segment.base_offset,
                segment.size,
                partial(getattr, segment, "first_ms"),
                partial(getattr, segment, "latest_ms"),
            )
            for segment in self._segments
        ]

    def replace(self, bases: Sequence[int], size: int) -> list[Path] | None:
        """Put a segment of ``size`` bytes, whose files end in ``.swap``, in the place of others.

        Returns:
            The names of the files that may go; None if the others are not all there any more.

        Raises:
            OSError: it was done in part, and a restart will do the rest.
        """
        first = bisect_left(self._segments, bases[0], key=attrgetter("base_offset"))
        old = self._segments[:-1][first : first + len(bases)]
        if [segment.base_offset for segment in old] != list(bases):
            return None
        new = Segment(self._files, self._open_files, self._path, bases[0], size)
        new.suffix = SWAP
        retired = self._retire(old, old[1:])
        self._segments[first : first + len(bases)] = [new]
        return retired

    def settle(self) -> None:
        """Give a segment that has taken the place of others its proper names.

        Raises:
            OSError: some have them, and a restart will do the rest.
        """
        for segment in self._segments:
            if segment.suffix:
                segment.settle()

    def forget(self) -> None:
        """The directory is about to go: keep no file open for readers to come."""
        for segment in self._segments:
            segment.forget()

    def finish(self, producers: Buffer, end_offset: int) -> list[Path]:
        """Write the active segment's indexes and a snapshot of the producers.

        Returns:
            What is to be synced: these, and the log.
        """
        self.mend()
        snapshot = self._files.write(self._path / file_name(end_offset, "snapshot"), producers)
        written = (*self.active.write_indexes(), snapshot)
        return [self.active.path("log"), *(file.path for file in written)]


def _pass_emptied(
    segment: Segment, first: tuple[int, BatchHeader]
) -> tuple[int, BatchHeader] | None:
    """The first batch from ``first`` on that has a record; None if the segment has none.

    Compaction leaves batches without any. librdkafka takes an answer of nothing else for one that
    was too small: it asks for twice as much, and in the end reports an error.
    """
    if first[1].count:
        return first
    found = first
    for found in islice(segment.scan(first[0], chunk=LOOKUP_BYTES), EMPTIED_MAX):
        if found[1].count:
            return found
    return None if found[0] + found[1].length >= segment.size else found


def _cut_sealed(
    segment: Segment, first: tuple[int, BatchHeader], stop: int, max_bytes: int
) -> Slice | None:
    position, header = first
    first_end = position + header.length
    return cut(segment.file, position, first_end, stop, max_bytes, hot=False, index=segment.offsets)

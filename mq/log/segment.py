"""A segment: a stretch of a partition's log in one file, with the indexes that find a place in it.

A segment named after its base offset is a ``.log`` of record batches end to end, an ``.index``, a
``.timeindex`` and a ``.txnindex``. The last segment of a partition is active: it keeps its indexes
in memory, and grows. All others are sealed. Files, and the indexes of sealed segments, are opened
when somebody needs them (see ``files.OpenFiles``).

The log is the truth, the indexes only hints. They are written when a segment is sealed or closed,
and built anew from the log where they are missing or where a lookup finds that they lie.

A segment knows positions and batch headers. It knows nothing of producers, high watermarks or
durability: what is synced when is the partition's to say.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Final
from weakref import ref

from mq.errors import ErrorCode, KafkaError
from mq.log.bookmarks import Bookmark
from mq.log.config import LogConfig
from mq.log.files import Buffer, File, Files, OpenFiles
from mq.log.index import (
    NO_TIMESTAMP,
    RELATIVE_OFFSET_MAX,
    AbortedIndex,
    AbortedTransaction,
    GrowingIndexes,
    OffsetIndex,
    TimeIndex,
)
from mq.log.scan import SCAN_BYTES, Span, scan
from mq.wire.batch import HEADER_BYTES, BatchHeader, read_header

__all__ = ["DELETED", "INDEX_KINDS", "KINDS", "SWAP", "Segment", "file_name"]

INDEX_KINDS: Final = ("index", "timeindex", "txnindex")
KINDS: Final = ("log", *INDEX_KINDS)

DELETED: Final = ".deleted"
"""What the names of files end in that nobody needs any more: a start removes them."""
SWAP: Final = ".swap"
"""What the names of a segment's files end in while it takes the place of others."""

# How much is read at once by a lookup, which passes one index interval.
LOOKUP_BYTES: Final = 8 * 1024

# What an index that is built anew is spaced by, whatever the topic says now (index.interval.bytes).
INTERVAL_BYTES: Final = LogConfig().index_interval_bytes


def file_name(offset: int, kind: str) -> str:
    """The name of a file about ``offset``: 20 digits and the kind."""
    return f"{offset:020d}.{kind}"


class Segment:
    """One segment. Offsets are absolute, positions count bytes from the start of the log file.

    Attributes:
        base_offset: no batch in it is below.
        size: bytes of whole batches; what the file may hold beyond is not part of the log.
        suffix: what the names of its files end in, for the time being.
    """

    __slots__ = (
        "_aborted",
        "_aborted_fits",
        "_begun_ms",
        "_directory",
        "_file",
        "_files",
        "_first_timestamp",
        "_growing",
        "_is_damaged",
        "_jitter",
        "_latest",
        "_open_files",
        "base_offset",
        "size",
        "suffix",
    )

    def __init__(
        self, files: Files, open_files: OpenFiles, directory: Path, base_offset: int, size: int
    ) -> None:
        """A sealed segment of ``size`` bytes; nothing is opened yet."""
        self.base_offset = base_offset
        self.size = size
        self.suffix = ""
        self._files = files
        self._open_files = open_files
        self._directory = directory
        self._file: ref[File] | None = None
        self._growing: GrowingIndexes | None = None
        self._aborted: AbortedIndex | None = None
        self._aborted_fits = False  # whether the file was looked through
        self._latest: tuple[int, int] | None = None
        self._is_damaged = False  # so that a damaged log is not read again and again
        self._first_timestamp = NO_TIMESTAMP
        self._begun_ms = 0
        self._jitter = random.random()  # the share of segment.jitter.ms by which it ends earlier

    @classmethod
    def create(
        cls, files: Files, open_files: OpenFiles, directory: Path, base_offset: int
    ) -> Segment:
        """An empty active segment with its log file. Its name is not durable yet."""
        segment = cls(files, open_files, directory, base_offset, 0)
        segment.activate(0)
        segment.clear()
        files.truncate(segment.file, 0)  # an earlier attempt may have left something
        return segment

    def path(self, kind: str) -> Path:
        """The segment's file of this kind."""
        name = file_name(self.base_offset, kind)
        return self._directory / (name + self.suffix if kind in KINDS else name)

    @property
    def file(self) -> File:
        """The log file, open; it stays so as long as somebody holds it."""
        file = self._file() if self._file is not None else None
        if file is None:
            file = self._open_files.get(self.path("log"))
            self._file = ref(file)
        return file

    # --- growing ---------------------------------------------------------------------------------

    def activate(self, now_ms: int) -> None:
        """Make the log file if there is none; ``now_ms`` counts as the time of the first append."""
        self._file = ref(self._open_files.get(self.path("log"), create=True))
        self._begun_ms = now_ms

    def clear(self) -> None:
        """Count no batch, and begin with empty indexes in memory; the file stays as it is."""
        self.size = 0
        self._growing = GrowingIndexes(self.base_offset)
        self._aborted = AbortedIndex()
        self._first_timestamp = NO_TIMESTAMP

    def add(
        self,
        last_offset: int,
        max_timestamp: int,
        length: int,
        now_ms: int,
        interval: int = INTERVAL_BYTES,
    ) -> None:
        """Count a batch that lies at ``size``; index it if ``interval`` bytes went by."""
        assert self._growing is not None
        if not self.size:
            self._first_timestamp = max_timestamp
            self._begun_ms = now_ms
        self._growing.add(self.size, last_offset, max_timestamp, length, interval)
        self.size += length

    def abort(self, transaction: AbortedTransaction) -> None:
        """Remember a transaction that the batch added last has aborted."""
        assert self._aborted is not None
        self._aborted.append(transaction)

    def is_full_for(
        self, length: int, last_offset: int, max_timestamp: int, config: LogConfig, now_ms: int
    ) -> bool:
        """Whether a batch must go into a new segment (as Kafka's ``LogSegment.shouldRoll``)."""
        if not self.size:
            return False
        assert self._growing is not None
        return (
            self.size + length > config.segment_bytes
            or self.is_old(max_timestamp if self._first_timestamp >= 0 else now_ms, config)
            or last_offset - self.base_offset > RELATIVE_OFFSET_MAX
            or self._growing.is_full(config.segment_index_bytes)
        )

    def is_old(self, now_ms: int, config: LogConfig) -> bool:
        """Whether the segment was begun so long before ``now_ms`` that it should end."""
        begun = self._first_timestamp if self._first_timestamp >= 0 else self._begun_ms
        jitter = int(self._jitter * min(config.segment_jitter_ms, config.segment_ms))
        return self.size > 0 and now_ms - begun > config.segment_ms_max - jitter

    def write_indexes(self) -> list[File]:
        """Write the indexes, the last entry of the times forced; the caller syncs the files.

        A transaction index is written even if it is empty, which Kafka does not do: where it is
        missing it was lost.
        """
        growing = self._growing
        assert growing is not None
        growing.finish()
        for kind in INDEX_KINDS:
            self._open_files.forget(self.path(kind))
        written = [
            self._files.write(self.path("index"), growing.offsets.data),
            self._files.write(self.path("timeindex"), growing.times.data),
        ]
        if self._aborted is not None:
            written.append(self._files.write(self.path("txnindex"), self._aborted.data))
        return written

    def seal(self) -> None:
        """Let go of what only an active segment holds; its indexes have been written."""
        self._latest = self.latest
        self._growing = self._aborted = None

    def restore(self) -> int | None:
        """Take over the indexes of a segment that was closed in order, and check its end.

        Returns:
            The offset after its last batch; None if the indexes do not agree with the log, which
            then has to be scanned from its start.
        """
        stored = [self._files.read(self.path(kind)) for kind in INDEX_KINDS]
        if stored[0] is None or stored[1] is None or stored[2] is None:
            return None
        aborted = AbortedIndex(bytearray(stored[2]))
        if not aborted.fits(self.base_offset):
            return None
        growing = GrowingIndexes(self.base_offset)
        growing.offsets = OffsetIndex(self.base_offset, bytearray(stored[0]))
        growing.times = TimeIndex(self.base_offset, bytearray(stored[1]))
        growing.latest = growing.times.last
        end_offset = self._check_end(growing, self.size, verify=True)
        if end_offset is not None:
            self._take_over(growing, aborted, self.size)
        return end_offset

    def resume(self, mark: Bookmark) -> bool:
        """Be the segment that a bookmark tells of, if the log agrees with it; whether it does."""
        growing = GrowingIndexes(self.base_offset)
        growing.offsets = OffsetIndex(self.base_offset, bytearray(mark.offsets))
        growing.times = TimeIndex(self.base_offset, bytearray(mark.times))
        growing.latest = mark.latest
        aborted = AbortedIndex(bytearray(mark.aborted))
        if (
            mark.base_offset != self.base_offset
            or mark.position > self.size
            or not aborted.fits(self.base_offset)
            or self._check_end(growing, mark.position, verify=False) != mark.end_offset
        ):
            return False
        self._take_over(growing, aborted, mark.position)
        growing.bytes_since_entry = mark.bytes_since_entry
        return True

    def bookmark(self, end_offset: int, producers: Buffer) -> Bookmark:
        """What to know of the active segment, which ends at ``end_offset``, to go on from there."""
        growing = self._growing
        assert growing is not None
        aborted = b"" if self._aborted is None else self._aborted.data
        return Bookmark(
            self.base_offset,
            end_offset,
            self.size,
            growing.latest,
            growing.bytes_since_entry,
            growing.offsets.data,
            growing.times.data,
            aborted,
            producers,
        )

    def _check_end(self, growing: GrowingIndexes, size: int, *, verify: bool) -> int | None:
        """The offset at ``size``; None if the log does not lead there from the last entry."""
        offsets = growing.offsets
        if not (offsets.fits(size) and growing.times.fits()):
            return None
        offset, begin = offsets[len(offsets) - 1] if len(offsets) else (None, 0)
        end, end_offset = begin, self.base_offset
        span = Span(self.base_offset, begin, size)
        for position, header in scan(self._files, self.file, span, verify=verify):
            if position == begin and offset not in (None, header.last_offset):
                return None
            if header.max_timestamp > growing.latest[0]:
                return None  # the last entry was not forced: this index is an older one
            end, end_offset = position + header.length, header.last_offset + 1
        growing.bytes_since_entry = size - begin
        return end_offset if end == size else None

    def _take_over(self, growing: GrowingIndexes, aborted: AbortedIndex, size: int) -> None:
        self._growing, self._aborted = growing, aborted
        self.size = size
        if size:
            self._first_timestamp = read_header(self.read(0, HEADER_BYTES)).max_timestamp

    # --- finding ---------------------------------------------------------------------------------

    @property
    def offsets(self) -> OffsetIndex:
        """The offset index, built anew if there is none that fits."""
        if self._growing is not None:
            return self._growing.offsets
        index = OffsetIndex(self.base_offset, self._open_files.map(self.path("index")))
        if index.fits(self.size) and (len(index) or self._files.exists(self.path("index"))):
            return index
        return self.rebuild().offsets

    @property
    def times(self) -> TimeIndex:
        """The time index, built anew if there is none that fits."""
        if self._growing is not None:
            return self._growing.times
        index = TimeIndex(self.base_offset, self._open_files.map(self.path("timeindex")))
        if index.fits() and (len(index) or self._latest is not None or not self.size):
            return index
        return self.rebuild().times

    @property
    def aborted(self) -> AbortedIndex | None:
        """The transactions that were aborted here; None if only the log can tell."""
        if self._aborted is not None:
            return self._aborted
        path = self.path("txnindex")
        index = AbortedIndex(self._open_files.map(path))
        if not self._aborted_fits:
            if not index.fits(self.base_offset) or not (len(index) or self._files.exists(path)):
                return None
            self._aborted_fits = True
        if not len(index):
            self._aborted = index  # as nearly always: to be known without another look
        return index

    def write_aborted(self, index: AbortedIndex) -> None:
        """Replace the transaction index of a sealed segment."""
        self._open_files.forget(self.path("txnindex"))
        self._files.write(self.path("txnindex"), index.data)

    def end_of(self, position: int) -> int | None:
        """An offset that nothing below ``position`` reaches, if the indexes know one."""
        return self.offsets.offset_from(position)

    @property
    def latest(self) -> tuple[int, int]:
        """The highest timestamp, and the last offset of the first batch that has it."""
        if self._growing is not None:
            return self._growing.latest
        if self._latest is None:
            latest = self.times.last
            if latest[0] != NO_TIMESTAMP and not self._has_time(*latest):
                latest = self.rebuild().latest
            self._latest = latest
        return self._latest

    @property
    def latest_ms(self) -> int:
        """The highest timestamp; where records have none, when the log was last written to.

        That goes for a damaged log, too: it grows old like any other.
        """
        timestamp = NO_TIMESTAMP
        if not self._is_damaged:
            try:
                timestamp = self.latest[0]
            except KafkaError as error:
                if error.code != ErrorCode.CORRUPT_MESSAGE:
                    raise
                self._is_damaged = True
        return timestamp if timestamp >= 0 else self._files.modified_ms(self.path("log"))

    @property
    def first_ms(self) -> int:
        """The timestamp of the first batch; ``NO_TIMESTAMP`` if there is none."""
        if self._first_timestamp == NO_TIMESTAMP and self.size:
            self._first_timestamp = read_header(self.read(0, HEADER_BYTES)).max_timestamp
        return self._first_timestamp

    def find(self, offset: int) -> tuple[int, BatchHeader] | None:
        """The place and header of the first batch that ends at ``offset`` or above.

        Raises:
            KafkaError: CORRUPT_MESSAGE, the log is damaged before that batch.
        """
        entry = self.offsets.lookup(offset)
        end = start = entry[1] if entry else 0
        for position, header in self.scan(start, chunk=LOOKUP_BYTES):
            if entry and position == start and header.last_offset != entry[0]:
                break
            if header.last_offset >= offset:
                return position, header
            end = position + header.length
        if entry and end == start:  # no such batch there: the index lies, or the log is damaged
            self.rebuild(whole=True)
            return self.find(offset)
        if end != self.size:
            raise self._damaged(end)
        return None

    def position_of(self, offset: int) -> int:
        """Where the batches that hold ``offset`` or above begin."""
        found = self.find(offset)
        return found[0] if found else self.size

    def find_time(self, timestamp: int) -> Iterator[tuple[int, BatchHeader]]:
        """Place and header of each batch that has a record of ``timestamp`` or later."""
        entry = self.times.lookup(timestamp)
        if entry and not self._has_time(*entry):
            entry = self.rebuild(whole=True).times.lookup(timestamp)
        start = self.position_of(entry[1]) if entry else 0
        for position, header in self.scan(start, chunk=LOOKUP_BYTES):
            if header.max_timestamp >= timestamp:
                yield position, header

    def _has_time(self, timestamp: int, last_offset: int) -> bool:
        """Whether an entry of the time index tells the truth."""
        found = self.find(last_offset)
        return found is not None and (found[1].max_timestamp, found[1].last_offset) == (
            timestamp,
            last_offset,
        )

    def scan(
        self, position: int = 0, *, verify: bool = False, chunk: int = SCAN_BYTES
    ) -> Iterator[tuple[int, BatchHeader]]:
        """Place and header of each batch from ``position`` on, up to ``size``; see ``scan``."""
        span = Span(self.base_offset, position, self.size)
        return scan(self._files, self.file, span, verify=verify, chunk=chunk)

    def read(self, position: int, length: int) -> bytes:
        """The bytes at ``position``."""
        return self._files.pread(self.file, length, position)

    def rebuild(self, *, whole: bool = False) -> GrowingIndexes:
        """Build both indexes from the log, and write them if the segment is sealed.

        Args:
            whole: only if the log can be read to its end; a damaged one keeps the indexes that it
                has, which may lead past the damage.

        Raises:
            KafkaError: CORRUPT_MESSAGE, it cannot.
        """
        growing, end = GrowingIndexes(self.base_offset), 0
        for position, header in self.scan():
            end = position + header.length
            growing.add(
                position, header.last_offset, header.max_timestamp, header.length, INTERVAL_BYTES
            )
        if whole and end != self.size:
            raise self._damaged(end)
        was_active, self._growing = self._growing is not None, growing
        if not was_active:
            self.write_indexes()
            self._latest, self._growing = growing.latest, None
        return growing

    def _damaged(self, position: int) -> KafkaError:
        text = f"{self.path('log').name} holds no batch at {position}"
        return KafkaError(ErrorCode.CORRUPT_MESSAGE, text)

    def retire(self) -> list[Path]:
        """Give the files names that no one looks for; what they are called now.

        Those who read them keep them open. To unlink what is large takes a while, and can be done
        elsewhere.
        """
        self.forget()
        retired = []
        for kind in KINDS:
            target = self._directory / (file_name(self.base_offset, kind) + DELETED)
            try:
                self._files.rename(self.path(kind), target)
            except FileNotFoundError:  # an index that was lost
                continue
            retired.append(target)
        return retired

    def settle(self) -> None:
        """Have the files called as those of any segment."""
        self.forget()
        names = [(self.path(kind), kind) for kind in KINDS]
        self.suffix = ""
        for old, kind in names:
            self._files.rename(old, self.path(kind))

    def delete(self) -> None:
        """Remove the segment's files; those who read them keep them open."""
        self.forget()
        for kind in KINDS:
            self._files.unlink(self.path(kind))

    def forget(self) -> None:
        """The files are about to go: keep none of them open for readers to come."""
        self._file = None
        for kind in KINDS:
            self._open_files.forget(self.path(kind))

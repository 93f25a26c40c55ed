"""Compaction as a process: reads segments, writes what stays of them, and hands them over.

``python -m mq.log.compaction`` takes jobs from its standard input, one JSON value a line, and
reports on its standard output. It is a process of its own so that the broker's event loop never
waits for it, and so that its memory goes back to the system when it ends. It ends when its input
does, even in the midst of work, so it never outlives the broker.

A job is one pass over one partition (see ``cleaner``). Neighbouring segments are merged where they
fit into one. What a group of segments becomes is written under names that end in ``.cleaned``,
synced, renamed to ``.swap``, and reported; then the owner, who alone knows the partition, puts it
in the place of the old segments, or refuses since the log has changed meanwhile. A crash at any
moment leaves the old segments or the new one: leftovers that are only ``.cleaned`` are removed by a
start, a ``.swap`` replaces what it was made of (see ``recovery``).

Trusts nothing that it reads: a batch whose checksum is wrong ends the job, and the log stays as it
was.
"""

from __future__ import annotations

import os
import queue
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final, TypeAlias

import msgspec

from mq.errors import ErrorCode, KafkaError
from mq.log.cleaner import KEYS_MAX, Cleaner, OffsetMap, Rules, Transactions, fill
from mq.log.files import Buffer, File, Files
from mq.log.index import AbortedTransaction, GrowingIndexes
from mq.log.scan import SCAN_BYTES
from mq.log.segment import KINDS, file_name
from mq.log.uncleaned import Sizes, group
from mq.wire.batch import HEADER_BYTES, BatchHeader, check, read_header

__all__ = [
    "CLEANED",
    "GO",
    "STOP",
    "SWAP",
    "Done",
    "Failed",
    "Job",
    "Report",
    "Swap",
    "attempt",
    "compact",
]

CLEANED: Final = ".cleaned"
SWAP: Final = ".swap"

GO: Final = b"go\n"
"""The owner's answer to a swap: done, go on."""
STOP: Final = b"stop\n"
"""The owner's answer to a swap that cannot be done."""

_NICENESS: Final = 10


class Job(msgspec.Struct, frozen=True):
    """One pass over one partition.

    Attributes:
        segments: base offsets and sizes of the sealed segments from the first on, up to ``end``.
        dirty_from: the clean part of the log ends here.
        aborted: the aborted transactions that reach below ``end``, as in a transaction index.
        producers: see ``cleaner.Rules``.
    """

    directory: str
    segments: list[tuple[int, int]]
    end: int
    dirty_from: int
    aborted: list[tuple[int, int, int, int]]
    producers: dict[int, tuple[int, int]]
    now_ms: int
    delete_retention_ms: int
    segment_bytes: int
    index_bytes: int
    index_interval_bytes: int
    keys_max: int = KEYS_MAX


class Swap(msgspec.Struct, frozen=True, tag="swap"):
    """The segments with these base offsets are to be replaced by ``<first of them>.*.swap``."""

    bases: list[int]
    size: int


class Done(msgspec.Struct, frozen=True, tag="done"):
    """The pass is over; the log is clean up to ``cleaned_to``."""

    cleaned_to: int


class Failed(msgspec.Struct, frozen=True, tag="failed"):
    """The pass ended early; what was swapped stays, nothing is clean that was not."""

    reason: str


Report: TypeAlias = Swap | Done | Failed


def compact(files: Files, job: Job, swap: Callable[[Swap], bool]) -> Done:
    """Do one pass.

    Args:
        swap: told of each new segment; returns whether it took its place.

    Raises:
        KafkaError: CORRUPT_MESSAGE or another reason why a batch cannot be opened.
        OSError: the disk refuses.
    """
    directory = Path(job.directory)
    _remove_leftovers(files, directory)
    sealed = [_Sealed(files, directory, base, size) for base, size in job.segments]
    newest = _find_newest(sealed, job)
    ends = [*(segment.base_offset for segment in sealed[1:]), job.end]
    count = sum(segment.base_offset < newest.end_offset for segment in sealed)
    groups = group(
        [segment.sizes() for segment in sealed[:count]],
        ends[count - 1] if count else 0,
        segment_bytes=job.segment_bytes,
        index_bytes=job.index_bytes,
    )
    group_ends = {*(first.base_offset for first, *_ in groups[1:]), *ends[count - 1 : count]}
    transactions = Transactions(_aborted(job))
    rules = Rules(job.now_ms, job.delete_retention_ms, job.producers, group_ends)
    cleaner = Cleaner(newest, transactions, rules)
    for sizes in groups:
        members, sealed = sealed[: len(sizes)], sealed[len(sizes) :]
        transactions.aborted = []
        made = _clean(files, members, cleaner, transactions, job.index_interval_bytes)
        if made is not None and not swap(made):
            _remove_leftovers(files, directory)
            return Done(job.dirty_from)
    return Done(newest.end_offset)


def _aborted(job: Job) -> list[AbortedTransaction]:
    return [AbortedTransaction(*fields) for fields in job.aborted]


def _remove_leftovers(files: Files, directory: Path) -> None:
    """Remove what a pass that was cut short has left.

    A start takes a ``.cleaned`` to mean that no ``.swap`` behind it has begun to take its place.
    """
    leftovers = [name for name in files.names(directory) if name.endswith((CLEANED, SWAP))]
    for name in leftovers:
        files.unlink(directory / name)
    if leftovers:
        files.sync_directory(directory)


def _find_newest(sealed: list[_Sealed], job: Job) -> OffsetMap:
    """The first half of a pass: the keys of the dirty part, as many as may be remembered."""
    newest = OffsetMap(job.dirty_from, job.keys_max)
    transactions = Transactions(_aborted(job))
    ends = [*(segment.base_offset for segment in sealed[1:]), job.end]
    for segment, end in zip(sealed, ends, strict=True):
        if end <= job.dirty_from:
            continue
        for header, data in segment.batches():
            if header.last_offset < job.dirty_from:
                continue
            if not fill(newest, transactions, header, data, job.dirty_from):
                return newest
        newest.end_offset = end
    return newest


def _clean(
    files: Files,
    members: list[_Sealed],
    cleaner: Cleaner,
    transactions: Transactions,
    interval: int,
) -> Swap | None:
    """The second half, for one group of segments; None if it stays as it is."""
    first = members[0]
    output = _Output(files, first.directory, first.base_offset, interval)
    is_changed = len(members) > 1
    for segment in members:
        for header, data in segment.batches():
            kept = cleaner.clean(header, data)
            is_changed = is_changed or kept is not data
            if kept:
                output.add(kept)
    if not is_changed:
        output.discard()
        return None
    output.finish(transactions.aborted, files.modified_ms(members[-1].path("log")))
    return Swap([segment.base_offset for segment in members], output.size)


def attempt(files: Files, job: Job, swap: Callable[[Swap], bool]) -> Done | Failed:
    """Do one pass; one that fails leaves nothing behind, for the disk may be full.

    Args:
        swap: as that of :func:`compact`; raises nothing.
    """
    try:
        return compact(files, job, swap)
    except (KafkaError, OSError) as error:
        with suppress(OSError):  # then the next pass does it
            _remove_leftovers(files, Path(job.directory))
        return Failed(str(error))


class _Sealed:
    """A sealed segment to be read from its start to its end."""

    def __init__(self, files: Files, directory: Path, base_offset: int, size: int) -> None:
        self.directory = directory
        self.base_offset = base_offset
        self._files = files
        self._size = size

    def path(self, kind: str) -> Path:
        return self.directory / file_name(self.base_offset, kind)

    def sizes(self) -> Sizes:
        indexes = [self.path(kind) for kind in ("index", "timeindex")]
        index = max(self._files.size(path) if self._files.exists(path) else 0 for path in indexes)
        return Sizes(self.base_offset, self._size, index)

    def batches(self) -> Iterator[tuple[BatchHeader, bytes]]:
        """Every batch, its checksum verified.

        Raises:
            KafkaError: CORRUPT_MESSAGE.
        """
        file = self._files.open(self.path("log"))
        position = start = 0
        data = b""
        while position < self._size:
            if position + HEADER_BYTES > start + len(data):
                start, data = position, self._read(file, position, SCAN_BYTES)
            length = read_header(data, position - start).length
            if position + length > start + len(data):
                start, data = position, self._read(file, position, max(SCAN_BYTES, length))
            header = check(data, position - start)
            if header.base_offset < self.base_offset:
                raise KafkaError(ErrorCode.CORRUPT_MESSAGE, "a batch is out of place")
            yield header, data[position - start : position - start + length]
            position += length

    def _read(self, file: File, position: int, length: int) -> bytes:
        return self._files.pread(file, min(length, self._size - position), position)


class _Output:
    """The segment that a group becomes, under names that are not yet those of a segment.

    Attributes:
        size: bytes of batches.
    """

    def __init__(self, files: Files, directory: Path, base_offset: int, interval: int) -> None:
        self.size = 0
        self._files = files
        self._directory = directory
        self._base_offset = base_offset
        self._interval = interval
        self._indexes = GrowingIndexes(base_offset)
        self._log = files.write(self._path("log", CLEANED), b"")
        self._waiting: list[Buffer] = []
        self._waiting_bytes = 0

    def _path(self, kind: str, suffix: str) -> Path:
        return self._directory / (file_name(self._base_offset, kind) + suffix)

    def add(self, batch: bytes) -> None:
        """Write a batch behind the last one."""
        header = read_header(batch)
        self._indexes.add(
            self.size, header.last_offset, header.max_timestamp, header.length, self._interval
        )
        self.size += header.length
        self._waiting.append(batch)
        self._waiting_bytes += len(batch)
        if self._waiting_bytes >= SCAN_BYTES:
            self._write()

    def _write(self) -> None:
        if self._waiting:
            self._files.pwrite(self._log, self._waiting, self.size - self._waiting_bytes)
            self._waiting, self._waiting_bytes = [], 0

    def discard(self) -> None:
        """It is not wanted."""
        self._files.unlink(self._path("log", CLEANED))

    def finish(self, aborted: list[AbortedTransaction], modified_ms: int) -> None:
        """Make all of it durable, under names that end in ``.swap``.

        Args:
            aborted: what the transaction index is to hold.
            modified_ms: when the records were written, as far as the old files tell.
        """
        self._write()
        self._indexes.finish()
        contents = {
            "index": self._indexes.offsets.data,
            "timeindex": self._indexes.times.data,
            "txnindex": b"".join(each.encode() for each in aborted),
        }
        written = [self._log]
        for kind, data in contents.items():
            written.append(self._files.write(self._path(kind, CLEANED), data))
        self._files.set_modified(self._log, modified_ms)
        for file in written:
            self._files.sync(file)
        for kind in reversed(KINDS):  # the log comes last: without it there is no swap
            self._files.rename(self._path(kind, CLEANED), self._path(kind, SWAP))
        self._files.sync_directory(self._directory)


# --- the process ---------------------------------------------------------------------------------


def main() -> None:
    """Do jobs until the input ends."""
    os.nice(_NICENESS)
    lines: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    threading.Thread(target=_read_lines, args=(lines,), daemon=True).start()

    def report(what: Report) -> None:
        sys.stdout.buffer.write(msgspec.json.encode(what) + b"\n")
        sys.stdout.buffer.flush()

    def swap(made: Swap) -> bool:
        report(made)
        return lines.get() == GO

    while True:
        job = msgspec.json.decode(lines.get(), type=Job)
        report(attempt(Files(), job, swap))


def _read_lines(lines: queue.SimpleQueue[bytes]) -> None:
    """Pass on the input; end the process with it, whatever it is doing: nobody waits any more."""
    for line in sys.stdin.buffer:
        lines.put(line)
    os._exit(0)


if __name__ == "__main__":
    main()

"""What compaction keeps of a log: for every key the newest record, and what others still need.

As Kafka does it, a pass has two halves. First the dirty stretch of the log is read into an
:class:`OffsetMap`: key to newest offset. Then every batch from the start of the log on goes through
a :class:`Cleaner`, which keeps, shortens or drops it. Offsets never change: a batch keeps its first
and its last, whatever is left in it.

Some things outlive their use for a while. A tombstone (a key without value) stays until readers had
time to see it: the first pass that keeps it writes down until when, the *delete horizon*, in the
batch itself (KIP-534). The marker of a transaction stays as long as any of its records does, and
then as long as a tombstone. The last batch of a producer stays, if need be without a record, so
that its sequence is known after a restart; and so does the batch that ends a segment, so that
segments lie end to end and a start after a crash can tell a compacted log from one with a hole.
Records of aborted transactions go at once; records without a key go too.

Pure. Files, and which part of which log is cleaned when, are others' to know.
"""

from __future__ import annotations

import hashlib
import struct
from collections import deque
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from mq.log.config import LONG_MAX
from mq.log.index import AbortedTransaction
from mq.wire.batch import BatchHeader, BatchRecord, decode_batch, rewrite

__all__ = ["KEYS_MAX", "Cleaner", "OffsetMap", "Rules", "Transactions", "fill"]

KEYS_MAX: Final = 500_000
"""How many keys one pass remembers, to bound its memory: a key of up to 32 bytes costs at most 160
bytes (measured), so that the map stays below 80 MB. A dirty stretch with more keys takes more
passes, each of which reads the whole log up to there."""

# A longer key is remembered by a digest of one byte more, which no shorter key can equal.
_KEY_BYTES_MAX: Final = 32

_CONTROL_KEY: Final = struct.Struct(">hh")  # version, type
_ABORT: Final = 0
_COMMIT: Final = 1


class OffsetMap:
    """The newest offset of every key in a stretch of a log.

    Attributes:
        end_offset: everything in the dirty stretch below it has been looked at.
    """

    __slots__ = ("_keys_max", "_offsets", "end_offset")

    def __init__(self, start: int, keys_max: int = KEYS_MAX) -> None:
        self.end_offset = start
        self._keys_max = keys_max
        self._offsets: dict[bytes, int] = {}

    def __len__(self) -> int:
        return len(self._offsets)

    @property
    def is_full(self) -> bool:
        """Whether no further batch should be added."""
        return len(self._offsets) >= self._keys_max

    def put(self, key: bytes, offset: int) -> None:
        """A record of ``key`` lies at ``offset``, above all that were put before."""
        self._offsets[_shortened(key)] = offset

    def is_newest(self, record: BatchRecord) -> bool:
        """Whether no newer record of its key is known; one without a key never is the newest."""
        if record.key is None:
            return False
        return record.offset >= self._offsets.get(_shortened(record.key), -1)


def _shortened(key: bytes) -> bytes:
    if len(key) <= _KEY_BYTES_MAX:
        return key
    return hashlib.blake2b(key, digest_size=_KEY_BYTES_MAX + 1).digest()


class Transactions:
    """Follows the transactions of a log, batch by batch, and tells what of them may go.

    Attributes:
        aborted: the aborted transactions of which a batch was met, in the order of their markers:
            the entries of the transaction index of what is left.
    """

    def __init__(self, aborted: Iterable[AbortedTransaction]) -> None:
        """Take the aborted transactions that reach into the log which is about to be read."""
        self.aborted: list[AbortedTransaction] = []
        self._coming = deque(sorted(set(aborted), key=lambda each: each.first_offset))
        self._aborting: dict[int, AbortedTransaction] = {}  # by producer id
        self._met: set[int] = set()  # producers with a batch in the transaction that is open

    def may_discard(self, header: BatchHeader, records: Iterable[BatchRecord]) -> bool:
        """Whether a batch is of an aborted transaction, or a marker of which nothing is left."""
        while self._coming and self._coming[0].first_offset <= header.last_offset:
            coming = self._coming.popleft()
            if coming.last_offset >= header.base_offset:  # else it had ended before
                self._aborting[coming.producer_id] = coming
        if header.is_control:
            return self._end(header, records)
        if not header.is_transactional:
            return False
        self._met.add(header.producer_id)
        return header.producer_id in self._aborting

    def _end(self, marker: BatchHeader, records: Iterable[BatchRecord]) -> bool:
        record = next(iter(records), None)
        if record is None:
            return True  # emptied by an earlier pass
        kind = _kind(record)
        if kind not in (_ABORT, _COMMIT):
            return False
        was_met = marker.producer_id in self._met
        self._met.discard(marker.producer_id)
        if kind == _ABORT:
            aborted = self._aborting.pop(marker.producer_id, None)
            if aborted is not None and was_met:
                self.aborted.append(aborted)
        return not was_met


def _kind(record: BatchRecord) -> int:
    """The type of a control record."""
    key = record.key or b""
    kind: int = _CONTROL_KEY.unpack_from(key)[1] if len(key) >= _CONTROL_KEY.size else -1
    return kind


def fill(
    newest: OffsetMap, transactions: Transactions, header: BatchHeader, data: bytes, start: int
) -> bool:
    """Add the keys of a batch, from the offset ``start`` on, unless there is no room.

    Returns:
        Whether there was.

    Raises:
        KafkaError: the batch cannot be opened.
    """
    if newest.is_full:
        return False
    records = decode_batch(data) if header.is_control else ()
    if not transactions.may_discard(header, records) and not header.is_control:
        for record in decode_batch(data):
            if record.key is not None and record.offset >= start:
                newest.put(record.key, record.offset)
    newest.end_offset = max(newest.end_offset, header.last_offset + 1)
    return True


@dataclass(frozen=True, slots=True)
class Rules:
    """What a pass goes by.

    Attributes:
        now_ms: the time.
        delete_retention_ms: how long a tombstone stays from the first pass that keeps it.
        producers: for each producer that is known in this log its epoch, and the last offset of its
            last batch of records; -1 if the epoch has seen no more than markers.
        segment_ends: offsets at which segments end: what ends there stays, though perhaps empty.
    """

    now_ms: int
    delete_retention_ms: int
    producers: Mapping[int, tuple[int, int]]
    segment_ends: Collection[int]


class Cleaner:
    """Decides about every batch of a log in its order."""

    def __init__(self, newest: OffsetMap, transactions: Transactions, rules: Rules) -> None:
        self._newest = newest
        self._transactions = transactions
        self._rules = rules

    def clean(self, header: BatchHeader, data: bytes) -> bytes:
        """What stays of a batch: ``data`` itself if that is all, nothing if nothing does.

        Raises:
            KafkaError: the batch cannot be opened.
        """
        records = decode_batch(data)
        discard = self._transactions.may_discard(header, records)
        kept = self._kept(header, records, discard=discard)
        if not kept:
            return self._emptied(header, data)
        ends_nothing = discard and header.is_control
        has_tombstone = not header.is_control and any(each.value is None for each in kept)
        horizon = None
        if (ends_nothing or has_tombstone) and header.delete_horizon_ms is None:
            horizon = min(self._rules.now_ms + self._rules.delete_retention_ms, LONG_MAX)
        elif len(kept) == len(records):
            return data
        return rewrite(header, kept, delete_horizon_ms=horizon)

    def _kept(
        self, header: BatchHeader, records: list[BatchRecord], *, discard: bool
    ) -> list[BatchRecord]:
        horizon = header.delete_horizon_ms
        is_over = horizon is not None and horizon <= self._rules.now_ms
        if header.is_control:
            return [] if discard and is_over else records
        if discard:
            return []
        newest = self._newest
        return [
            record
            for record in records
            if record.offset >= newest.end_offset
            or (newest.is_newest(record) and not (is_over and record.value is None))
        ]

    def _emptied(self, header: BatchHeader, data: bytes) -> bytes:
        """A batch of which no record stays: its header, if somebody needs that."""
        if not (self._is_last_of_producer(header) or self._ends_segment(header)):
            return b""
        return data if not header.count else rewrite(header, [])

    def _is_last_of_producer(self, header: BatchHeader) -> bool:
        last = self._rules.producers.get(header.producer_id)
        if last is None or header.producer_id < 0:
            return False
        epoch, last_offset = last
        if last_offset >= 0:
            return header.last_offset == last_offset
        return header.is_control and header.producer_epoch == epoch

    def _ends_segment(self, header: BatchHeader) -> bool:
        return header.last_offset + 1 in self._rules.segment_ends

"""Idempotent producers: which batch of whom may come next (KIP-98).

A producer numbers its records per partition; a batch carries the sequence of its first record. For
each producer id this machine remembers the epoch and the last five batches (as many requests as a
producer may have in flight), and so tells the next batch from a repetition, a gap and a fenced
predecessor. ``check`` decides and changes nothing; ``apply`` records a batch that is in the log,
live and in recovery alike.

A snapshot is Kafka's own (``<offset>.snapshot``, version 1): an entry of 46 bytes for a batch.
Kafka writes one entry per producer, the last batch. Here a producer has an entry for each
remembered batch, oldest first, so that a restart forgets none of the five: a reader that keeps one
entry per producer, as Kafka does, ends with the newest. The timestamp of an entry is when the
broker stored the batch, so that old records do not make their producer look expired.

A producer has at most one transaction open in a partition: from its first transactional batch to
the marker that ends it. A marker may carry a higher epoch (KIP-890), and then the sequences begin
anew. What open transactions mean for readers is told in ``transactions``.

Knows nothing of files, time or coordinators.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from operator import itemgetter
from typing import Final, NamedTuple

import google_crc32c

from mq.errors import ErrorCode, KafkaError
from mq.wire.batch import BatchHeader

__all__ = [
    "NO_OFFSET",
    "NO_PRODUCER_ID",
    "BatchMetadata",
    "CorruptSnapshotError",
    "ProducerState",
    "Producers",
]

NO_PRODUCER_ID: Final = -1
NO_PRODUCER_EPOCH: Final = -1
NO_SEQUENCE: Final = -1
NO_OFFSET: Final = -1

# As many as a producer may have in flight (max.in.flight.requests.per.connection <= 5).
BATCHES_REMEMBERED: Final = 5

_SEQUENCES: Final = 2**31  # after the highest int32 comes 0

_SNAPSHOT_VERSION: Final = 1
_SNAPSHOT_HEAD: Final = struct.Struct(">hI")  # version, CRC-32C of all that follows
_SNAPSHOT_COUNT: Final = struct.Struct(">i")
# producer id, epoch, last sequence, last offset, offset delta, timestamp, coordinator epoch,
# first offset of the current transaction
_SNAPSHOT_ENTRY: Final = struct.Struct(">qhiqiqiq")


class CorruptSnapshotError(ValueError):
    """The bytes are no snapshot. Use an older one and replay more of the log."""


class BatchMetadata(NamedTuple):
    """What is remembered of a batch; ``timestamp`` (ms) is when it was stored."""

    last_sequence: int
    last_offset: int
    offset_delta: int
    timestamp: int

    @property
    def first_sequence(self) -> int:
        """The sequence of the batch's first record."""
        return (self.last_sequence - self.offset_delta) % _SEQUENCES

    @property
    def first_offset(self) -> int:
        """The offset of the batch's first record."""
        return self.last_offset - self.offset_delta


class ProducerState:
    """One producer id: its epoch and its last batches, oldest first."""

    __slots__ = ("batches", "coordinator_epoch", "epoch", "timestamp", "transaction_first_offset")

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch
        self.batches: list[BatchMetadata] = []
        self.timestamp = -1
        self.coordinator_epoch = -1
        self.transaction_first_offset = NO_OFFSET

    @property
    def last_sequence(self) -> int:
        """The last sequence stored in this epoch, ``NO_SEQUENCE`` if there is none."""
        return self.batches[-1].last_sequence if self.batches else NO_SEQUENCE

    def enter(self, epoch: int) -> None:
        """What comes is of ``epoch``: in a new one the sequences begin anew."""
        if epoch != self.epoch:
            self.epoch = epoch
            self.batches = []


class Producers:
    """All producers of one partition."""

    def __init__(self) -> None:
        self._states: dict[int, ProducerState] = {}
        self._open: dict[int, int] = {}  # first offsets of open transactions, rising

    def __len__(self) -> int:
        return len(self._states)

    def __iter__(self) -> Iterator[tuple[int, ProducerState]]:
        """Producer ids with their states, in the order in which they came."""
        return iter(self._states.items())

    def get(self, producer_id: int) -> ProducerState | None:
        """What is known of a producer."""
        return self._states.get(producer_id)

    @property
    def first_open_offset(self) -> int | None:
        """Where the oldest open transaction begins, None if there is none."""
        return next(iter(self._open.values()), None)

    @property
    def open_producers(self) -> tuple[int, ...]:
        """Those who have a transaction open, in the order in which these began."""
        return tuple(self._open)

    def check(self, header: BatchHeader, *, from_zero: bool = False) -> BatchMetadata | None:
        """Decide about a batch that a client sent.

        Args:
            from_zero: even an unknown producer has to begin with sequence 0, for it has an epoch to
                itself in this partition (KIP-890): anything else lost its predecessor.

        Returns:
            None if the batch is next; the stored batch if this one is a repetition of it.

        Raises:
            KafkaError: INVALID_PRODUCER_EPOCH, a newer instance of the producer has written;
                OUT_OF_ORDER_SEQUENCE_NUMBER, a batch before this one is missing;
                INVALID_TXN_STATE, its transaction is open and the batch is not part of it.
        """
        state = self._states.get(header.producer_id)
        if state is None:
            # Forgotten or new, nobody can tell: any first sequence will do.
            if from_zero and header.base_sequence:
                raise _out_of_order(header, 0)
            return None
        if header.producer_epoch < state.epoch:
            raise KafkaError(
                ErrorCode.INVALID_PRODUCER_EPOCH,
                f"producer {header.producer_id} writes with epoch {header.producer_epoch}, but "
                f"{state.epoch} has begun",
            )
        expected = 0
        if header.producer_epoch == state.epoch:
            expected = (state.last_sequence + 1) % _SEQUENCES  # 0 if nothing is stored yet
            if header.base_sequence != expected:
                for batch in state.batches:
                    if batch[0] == header.last_sequence and batch[2] == header.last_offset_delta:
                        return batch
        if header.base_sequence != expected:
            raise _out_of_order(header, expected)
        if state.transaction_first_offset != NO_OFFSET and not header.is_transactional:
            raise KafkaError(
                ErrorCode.INVALID_TXN_STATE,
                f"producer {header.producer_id} has a transaction open in this partition",
            )
        return None

    def apply(self, header: BatchHeader, base_offset: int, timestamp: int) -> None:
        """Record a batch of records that is in the log at ``base_offset``.

        ``timestamp`` (ms) is when it was stored. What a coordinator writes has no sequences.
        """
        producer_id = header.producer_id
        state = self._states.get(producer_id)
        if state is None:
            state = self._states[producer_id] = ProducerState(header.producer_epoch)
        else:
            state.enter(header.producer_epoch)
        delta = header.last_offset_delta
        batches = state.batches
        batches.append(BatchMetadata(header.last_sequence, base_offset + delta, delta, timestamp))
        if len(batches) > BATCHES_REMEMBERED:
            del batches[0]
        state.timestamp = timestamp
        # Compaction leaves empty batches of transactions that have ended long ago.
        if (
            header.is_transactional
            and header.count > 0
            and state.transaction_first_offset == NO_OFFSET
        ):
            state.transaction_first_offset = self._open[producer_id] = base_offset

    def check_end(self, producer_id: int, epoch: int, coordinator_epoch: int) -> None:
        """Decide about a marker that a coordinator wants to write.

        Raises:
            KafkaError: INVALID_PRODUCER_EPOCH or TRANSACTION_COORDINATOR_FENCED, a newer instance
                of either has written.
        """
        state = self._states.get(producer_id)
        if state is not None and epoch < state.epoch:
            raise KafkaError(ErrorCode.INVALID_PRODUCER_EPOCH)
        if state is not None and coordinator_epoch < state.coordinator_epoch:
            raise KafkaError(ErrorCode.TRANSACTION_COORDINATOR_FENCED)

    def end(self, producer_id: int, epoch: int, coordinator_epoch: int, timestamp: int) -> int:
        """Record a marker that is in the log.

        Returns:
            Where the transaction that it ends began, ``NO_OFFSET`` if there was none.
        """
        state = self._states.get(producer_id)
        if state is None:
            state = self._states[producer_id] = ProducerState(epoch)
        else:
            state.enter(epoch)
        state.coordinator_epoch = coordinator_epoch
        state.timestamp = timestamp
        state.transaction_first_offset = NO_OFFSET
        return self._open.pop(producer_id, NO_OFFSET)

    def expire(self, now_ms: int, expiration_ms: int) -> int:
        """Forget producers that stored nothing for so long (producer.id.expiration.ms).

        Returns:
            How many were forgotten. Those with a transaction open are never among them.
        """
        expired = [
            producer_id
            for producer_id, state in self._states.items()
            if now_ms - state.timestamp >= expiration_ms
            and state.transaction_first_offset == NO_OFFSET
        ]
        for producer_id in expired:
            del self._states[producer_id]
        return len(expired)

    def encode(self) -> bytes:
        """All states as the bytes of a snapshot file."""
        entries: list[bytes] = []
        for producer_id, state in self._states.items():
            none_yet = BatchMetadata(NO_SEQUENCE, NO_OFFSET, 0, state.timestamp)
            transaction = state.coordinator_epoch, state.transaction_first_offset
            entries += (
                _SNAPSHOT_ENTRY.pack(producer_id, state.epoch, *batch, *transaction)
                for batch in state.batches or (none_yet,)
            )
        body = _SNAPSHOT_COUNT.pack(len(entries)) + b"".join(entries)
        return _SNAPSHOT_HEAD.pack(_SNAPSHOT_VERSION, google_crc32c.value(body)) + body

    @classmethod
    def decode(cls, data: bytes) -> Producers:
        """The states that a snapshot file holds.

        Raises:
            CorruptSnapshotError: the file is cut short, damaged, or of an unknown version.
        """
        producers = cls()
        for producer_id, epoch, *batch, coordinator_epoch, first_offset in _entries(data):
            state = producers._states.get(producer_id)
            if state is None or state.epoch != epoch:
                state = producers._states[producer_id] = ProducerState(epoch)
            metadata = BatchMetadata(*batch)
            if metadata.last_offset != NO_OFFSET:
                state.batches = [*state.batches, metadata][-BATCHES_REMEMBERED:]
            state.timestamp = metadata.timestamp
            state.coordinator_epoch = coordinator_epoch
            state.transaction_first_offset = first_offset
            if first_offset != NO_OFFSET:
                producers._open[producer_id] = first_offset
        producers._open = dict(sorted(producers._open.items(), key=itemgetter(1)))
        return producers


def _out_of_order(header: BatchHeader, expected: int) -> KafkaError:
    return KafkaError(
        ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER,
        f"producer {header.producer_id}, epoch {header.producer_epoch}: sequence "
        f"{header.base_sequence} comes, {expected} was expected",
    )


def _entries(data: bytes) -> Iterator[tuple[int, ...]]:
    """The entries of a snapshot after its checks."""
    start = _SNAPSHOT_HEAD.size + _SNAPSHOT_COUNT.size
    if len(data) < start:
        raise CorruptSnapshotError(f"a snapshot of {len(data)} bytes is too short")
    version, crc = _SNAPSHOT_HEAD.unpack_from(data)
    if version != _SNAPSHOT_VERSION:
        raise CorruptSnapshotError(f"the snapshot has the unknown version {version}")
    if google_crc32c.value(data[_SNAPSHOT_HEAD.size :]) != crc:
        raise CorruptSnapshotError("the snapshot's checksum is wrong")
    (count,) = _SNAPSHOT_COUNT.unpack_from(data, _SNAPSHOT_HEAD.size)
    if len(data) != start + count * _SNAPSHOT_ENTRY.size:
        raise CorruptSnapshotError(f"the snapshot has not the size of {count} entries")
    return _SNAPSHOT_ENTRY.iter_unpack(data[start:])

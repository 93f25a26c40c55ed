"""Transactions in one partition: what ends one, and what a reader of committed records may see.

A transaction's batches lie in the log among those of others, and a marker, a control batch that the
broker writes (KIP-98), tells whether they count. Until it is there nobody can tell, so a reader of
committed records stops at the first batch of the oldest open transaction: the last stable offset.
Like everything else that readers see it stays below the high watermark, and so does the end of a
transaction: one whose marker a crash could take back is as good as open.

Batches of aborted transactions stay where they are. Readers drop them by a list that comes with
what they fetch; it is kept in the transaction index of the segment that holds the marker.

Which producer has a transaction open is known to ``producers``. Why one was aborted, and what else
belongs to it, is the coordinator's to know. Pure.
"""

from __future__ import annotations

import struct
from collections import deque
from typing import Final, NamedTuple

from mq.log.index import AbortedTransaction
from mq.log.producers import NO_OFFSET, Producers
from mq.wire.batch import (
    CONTROL,
    TRANSACTIONAL,
    BatchHeader,
    BatchRecord,
    Producer,
    decode_batch,
    encode_batch,
    read_header,
)

__all__ = ["Marker", "Transactions"]

_KEY: Final = struct.Struct(">hh")  # version, type
_VALUE: Final = struct.Struct(">hi")  # version, coordinator epoch
_VERSION: Final = 0
_ABORT: Final = 0
_COMMIT: Final = 1
_NO_SEQUENCE: Final = -1


class Marker(NamedTuple):
    """The end of a transaction.

    Attributes:
        producer_epoch: the epoch in which the producer may go on; with KIP-890 one that nobody has
            written in yet.
        coordinator_epoch: no coordinator of an older epoch may write after this one.
    """

    producer_id: int
    producer_epoch: int
    coordinator_epoch: int
    commit: bool

    def encode(self, now_ms: int) -> bytes:
        """The control batch."""
        key = _KEY.pack(_VERSION, _COMMIT if self.commit else _ABORT)
        record = BatchRecord(key, _VALUE.pack(_VERSION, self.coordinator_epoch), timestamp=now_ms)
        return encode_batch(
            [record],
            attributes=TRANSACTIONAL | CONTROL,
            producer=Producer(self.producer_id, self.producer_epoch, _NO_SEQUENCE),
        )

    @classmethod
    def decode(cls, batch: bytes, position: int = 0) -> Marker | None:
        """What the control batch at ``position`` says.

        None if it ends no transaction: it is of another type, or compaction has emptied it because
        nothing is left of its transaction.

        Raises:
            KafkaError: it cannot be read.
        """
        header = read_header(batch, position)
        for record in decode_batch(batch, position):
            key, value = record.key or b"", record.value or b""
            if len(key) < _KEY.size or len(value) < _VALUE.size:
                return None
            kind, epoch = _KEY.unpack_from(key)[1], _VALUE.unpack_from(value)[1]
            if kind in (_ABORT, _COMMIT):
                return cls(header.producer_id, header.producer_epoch, epoch, kind == _COMMIT)
        return None


class Transactions:
    """Learns of every batch of a partition's producers, live and in recovery alike."""

    def __init__(self, producers: Producers) -> None:
        """Go on from what a snapshot says."""
        self._producers = producers
        self._ended: deque[tuple[int, int]] = deque()  # first offset and marker, the markers rising

    def learn(
        self, header: BatchHeader, base_offset: int, batch: bytes | None, now_ms: int
    ) -> AbortedTransaction | None:
        """A batch of a producer is in the log at ``base_offset``.

        Args:
            batch: all of it, if it is a control batch; else nobody looks.
            now_ms: when it was stored.

        Returns:
            The transaction that it aborts, to be remembered in the index; None if it aborts none.
        """
        if not header.is_control:
            self._producers.apply(header, base_offset, now_ms)
            return None
        assert batch is not None
        marker = Marker.decode(batch)
        if marker is None:
            return None
        first = self._producers.end(
            marker.producer_id, marker.producer_epoch, marker.coordinator_epoch, now_ms
        )
        if first == NO_OFFSET:
            return None
        self._ended.append((first, base_offset))
        if marker.commit:
            return None
        still_open = self._producers.first_open_offset
        stable = base_offset + 1 if still_open is None else still_open
        return AbortedTransaction(marker.producer_id, first, base_offset, stable)

    def stable_offset(self, high_watermark: int) -> int:
        """Where readers of committed records stop, given where all readers do."""
        ended = self._ended
        while ended and ended[0][1] < high_watermark:
            ended.popleft()
        stable = min((first for first, _ in ended), default=high_watermark)
        still_open = self._producers.first_open_offset
        if still_open is not None and still_open < stable:
            stable = still_open
        return min(stable, high_watermark)

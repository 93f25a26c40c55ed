"""A partition's log: append, read, and what is known to be on stable storage.

Offsets, from low to high: ``log_start_offset`` (records below are deleted), ``high_watermark``
(consumers see what is below), ``log_end_offset`` (the next record gets it). With durability
``sync`` the high watermark is the offset below which everything is synced, so that no consumer
ever saw what a crash can take back; with ``os`` it is the log end, as in a Kafka of one broker.

One thread owns a partition and calls everything here, except :meth:`Partition.sync`, which any
thread may call beside it. An append that fails leaves the partition as it was.

Knows nothing of topics' other partitions, requests or waiting. How a partition comes into memory is
told in ``loader``.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from mq.errors import ErrorCode, KafkaError
from mq.log import checkpoints
from mq.log.config import LogConfig
from mq.log.files import Files
from mq.log.placement import Appended, place
from mq.log.producers import NO_PRODUCER_ID
from mq.log.segments import UNLIMITED, Segments
from mq.log.slices import Slice
from mq.log.storage import Loaded, Storage, storage_error, storage_errors
from mq.log.timestamps import Found, Timestamped
from mq.log.transactions import Marker, Transactions
from mq.log.unsynced import Taken, Unsynced
from mq.log.validation import admit
from mq.record import TopicPartition
from mq.wire.batch import NO_TIMESTAMP, BatchHeader, Buffer, sound_bytes
from mq.wire.batch import batches as batches_in

__all__ = ["EPOCHS_FILE", "METADATA_FILE", "Appended", "Partition"]

METADATA_FILE: Final = "partition.metadata"
EPOCHS_FILE: Final = "leader-epoch-checkpoint"

PRODUCER_ID_EXPIRATION_MS: Final = 24 * 60 * 60 * 1000  # producer.id.expiration.ms of Kafka


logger = logging.getLogger(__name__)


class Partition:
    """One partition. See the module for who may call what.

    Attributes:
        topic, index, topic_id: which one it is; the zero id stands for one that was lost.
        config: the topic's settings; the owner replaces it when they change.
        durable: whether the high watermark waits for syncs, whatever it is that is synced.
        recovered: what was found when the partition was opened.
        checkpointed_offset: the recovery point that is written down in the data directory.
        cleaned_offset: compaction has been through what lies below; see ``uncleaned``.
    """

    def __init__(
        self, storage: Storage, path: Path, name: TopicPartition, config: LogConfig, loaded: Loaded
    ) -> None:
        self.topic, self.index = name
        self.topic_id = loaded.topic_id
        self.path = path
        self.config = config
        self.producers = loaded.producers
        self._transactions = Transactions(loaded.producers)
        self.epochs = loaded.epochs
        self.recovered = loaded.recovered
        self.log_start_offset = loaded.log_start_offset
        self.log_end_offset = loaded.log_end_offset
        self.high_watermark = loaded.log_end_offset
        self.durable = storage.durable
        self.checkpointed_offset = 0
        self.cleaned_offset = 0
        self.deleted = False
        self._storage = storage
        self._files = storage.files
        self._segments = Segments(storage.files, storage.open_files, path, loaded.segments)
        self._unsynced = loaded.unsynced
        self._bookmarks = loaded.bookmarks
        self._bookmarks.wait(self._segments.active.size, config.index_interval_bytes)
        # The log end that indexes and a snapshot on the disk stand for, while nothing is rolled.
        self._closed_at = loaded.log_end_offset if loaded.recovered.clean else -1

    def __repr__(self) -> str:
        return (
            f"Partition({self.topic}-{self.index}, {self.log_start_offset}..{self.log_end_offset})"
        )

    @property
    def topic_partition(self) -> TopicPartition:
        """The partition's name."""
        return TopicPartition(self.topic, self.index)

    @property
    def leader_epoch(self) -> int:
        """The epoch that new batches are written in."""
        return self.epochs.latest

    @property
    def active_offset(self) -> int:
        """Where the active segment begins; what is read below ends with its segment."""
        return self._segments.active.base_offset

    @property
    def first_offset(self) -> int:
        """Where the oldest segment begins, at or below the log start."""
        return self._segments.first_offset

    @property
    def segments(self) -> Segments:
        """The segments, for :mod:`mq.log.upkeep`."""
        return self._segments

    @property
    def files(self) -> Files:
        """The disk."""
        return self._files

    @property
    def size(self) -> int:
        """Bytes of log."""
        return self._segments.size

    # --- append ----------------------------------------------------------------------------------

    def append(
        self, batches: Buffer, *, now_ms: int, client: bool = True, transaction_version: int = 0
    ) -> Appended:
        """Write batches at the end of the log; nothing is synced.

        Args:
            batches: from a client one batch, which is checked; from the broker itself any number,
                which are trusted.
            now_ms: the broker's clock.
            client: who wrote them.
            transaction_version: by which protocol the coordinator has made the partition part of
                the open transaction that the batch is of; 0 if it has not.

        Raises:
            KafkaError: the batch is refused (see ``validation.admit`` and ``Producers.check``), is
                of a transaction that is not open here (INVALID_TXN_STATE), or could not be written
                (KAFKA_STORAGE_ERROR); the partition is as before.
        """
        if not client:
            return self._write(batches, [header for _, header in batches_in(batches)], now_ms)
        header = admit(batches, self.config, now_ms)
        if header.producer_id != NO_PRODUCER_ID:
            stored = self.producers.check(header, from_zero=transaction_version >= 2)
            if stored is not None:
                append_time = stored.timestamp if self.config.log_append_time else NO_TIMESTAMP
                first, last = stored.first_offset, stored.last_offset
                return Appended(first, last, append_time, self.log_start_offset, True)
        if header.is_transactional and not transaction_version:
            raise KafkaError(ErrorCode.INVALID_TXN_STATE, "no transaction is open here")
        return self._write(batches, [header], now_ms)

    def append_marker(self, marker: Marker, *, now_ms: int) -> Appended:
        """Write the end of a transaction; nothing is synced.

        Raises:
            KafkaError: see ``Producers.check_end``; KAFKA_STORAGE_ERROR.
        """
        self.producers.check_end(
            marker.producer_id, marker.producer_epoch, marker.coordinator_epoch
        )
        return self.append(marker.encode(now_ms), now_ms=now_ms, client=False)

    def _write(self, batches: Buffer, headers: Sequence[BatchHeader], now_ms: int) -> Appended:
        append_time = now_ms if self.config.log_append_time else NO_TIMESTAMP
        base_offset = self.log_end_offset
        buffers, end_offset, latest = place(
            batches, headers, base_offset, self.epochs.latest, append_time
        )
        if self._segments.is_full_for(len(batches), end_offset - 1, latest, self.config, now_ms):
            self.roll()
        try:
            self._unsynced.make_room()
            self._segments.write(buffers)
        except OSError as error:
            self._closed_at = -1  # who knows what the file looks like
            raise storage_error(f"append to {self.topic}-{self.index}", error) from error
        self._record(batches, headers, append_time, now_ms)
        if self.durable:
            self._unsynced.write(self._segments.active.file, end_offset, buffers, len(batches))
            if self._segments.active.size >= self._bookmarks.due_at:
                self._bookmark()
        else:
            self.high_watermark = end_offset
        return Appended(base_offset, end_offset - 1, append_time, self.log_start_offset, False)

    def _record(
        self, batches: Buffer, headers: Sequence[BatchHeader], append_time: int, now_ms: int
    ) -> None:
        """Take note of batches that are in the file."""
        offset, position = self.log_end_offset, 0
        interval = self.config.index_interval_bytes
        for header in headers:
            last_offset = offset + header.last_offset_delta
            timestamp = header.max_timestamp if append_time == NO_TIMESTAMP else append_time
            self._segments.add(offset, last_offset, timestamp, header.length, now_ms, interval)
            if header.producer_id != NO_PRODUCER_ID:
                batch = bytes(batches[position:]) if header.is_control else None
                aborted = self._transactions.learn(header, offset, batch, now_ms)
                if aborted is not None:
                    self._segments.active.abort(aborted)
            offset, position = last_offset + 1, position + header.length
        self.log_end_offset = offset

    def _bookmark(self) -> None:
        """Let a start after a crash go on from here; where there is no bookmark it reads more."""
        active = self._segments.active
        self._bookmarks.wait(active.size, self.config.index_interval_bytes)
        if self._bookmarks.may_write(self.checkpointed_offset):
            mark = active.bookmark(self.log_end_offset, self.producers.encode())
            try:
                self._bookmarks.write(mark)
            except OSError as error:
                logger.warning("no bookmark for %s: %s", self.topic_partition, error)

    def roll(self) -> None:
        """Seal the active segment and begin the next one; the next sync makes both durable.

        Raises:
            KafkaError: KAFKA_STORAGE_ERROR; the active segment is still the old one.
        """
        base = self.log_end_offset
        with storage_errors(f"roll {self.topic}-{self.index}"):
            self._unsynced.make_room()
            self._unsynced.sync_names(self._files, self.path)
            sealed = self._segments.active.file
            written = self._segments.roll(base, self.producers.encode())
        self._unsynced.roll((sealed, *written, self._segments.active.file), self.path, base)
        self._bookmarks.wait(0, self.config.index_interval_bytes)
        self._closed_at = -1

    # --- sync ------------------------------------------------------------------------------------

    @property
    def recovery_point(self) -> int:
        """Everything below is on stable storage in the partition's own files."""
        return self._unsynced.recovery_point

    def take(self) -> Taken:
        """What was appended since the last time, for whoever commits groups; on one thread only."""
        return self._unsynced.take()

    def sync(self) -> int:
        """Make the partition's own files durable; any thread may call this.

        With durability ``os`` that goes for sealed segments, and leaves the active one to the
        operating system.

        Returns:
            The offset below which everything is on stable storage now.

        Raises:
            SyncFailed: it failed, and will from now on: stop, and recover by a restart.
        """
        return self._unsynced.sync(self._files)

    def synced(self, offset: int) -> bool:
        """Everything below ``offset`` is synced; whether that raised the high watermark."""
        if not self.durable or offset <= self.high_watermark:
            return False
        self.high_watermark = offset
        return True

    # --- read ------------------------------------------------------------------------------------

    def read(self, offset: int, max_bytes: int, *, upto: int | None = None) -> Slice | None:
        """The batches from the one that holds ``offset`` on, out of one segment.

        Args:
            max_bytes: how many bytes at most, but always the first batch whole.
            upto: no batch that reaches this offset; the high watermark if not given.

        Returns:
            None if there is nothing below ``upto``.

        Raises:
            KafkaError: OFFSET_OUT_OF_RANGE; CORRUPT_MESSAGE or KAFKA_STORAGE_ERROR if the disk does
                not give what was written.
        """
        if not self.log_start_offset <= offset <= self.log_end_offset:
            raise KafkaError(
                ErrorCode.OFFSET_OUT_OF_RANGE,
                f"{self.topic}-{self.index} has {self.log_start_offset} to {self.log_end_offset}, "
                f"not {offset}",
            )
        end = self.high_watermark if upto is None else min(upto, self.log_end_offset)
        if offset >= end:
            return None
        if end == self.log_end_offset:
            end = UNLIMITED
        try:
            return self._segments.read(offset, max_bytes, end)
        except OSError as error:
            raise storage_error(f"read {self.topic}-{self.index}", error) from error

    @property
    def last_stable_offset(self) -> int:
        """Where readers of committed records stop: no transaction that began below is open."""
        stable = self._transactions.stable_offset(self.high_watermark)
        return max(stable, self.log_start_offset)

    def aborted_transactions(self, start: int, end: int) -> list[tuple[int, int]]:
        """Producer id and first offset of the aborted transactions in a stretch of the log.

        Raises:
            KafkaError: CORRUPT_MESSAGE or KAFKA_STORAGE_ERROR, the log does not tell.
        """
        with storage_errors(f"read {self.topic}-{self.index}"):
            return self._segments.aborted(start, end)

    def aborted_in(self, offset: int, found: Slice) -> list[tuple[int, int]]:
        """As ``aborted_transactions``, for what was ``read`` at ``offset``; perhaps some more."""
        with storage_errors(f"read {self.topic}-{self.index}"):
            return self._segments.aborted_in(offset, found)

    def read_batches(self, offset: int, max_bytes: int) -> bytes:
        """Whole batches from ``offset`` on, synced or not; none at the end of the log.

        What lies below the recovery point was read by no start, so all checksums are checked here.

        Raises:
            KafkaError: as ``read``; CORRUPT_MESSAGE if the first batch is damaged.
        """
        found = self.read(offset, max_bytes, upto=self.log_end_offset)
        if found is None:
            return b""
        data = self._files.pread(found.keep, found.size, found.position)
        return data[: sound_bytes(data)]

    # --- offsets by time and by epoch ------------------------------------------------------------

    def offset_for_timestamp(self, timestamp: int, start: int = 0) -> Found:
        """The first visible record of ``timestamp`` (ms) or later, from the offset ``start`` on.

        It may be in a compressed batch, that is still to be opened; see ``timestamps``.

        Raises:
            KafkaError: as ``read``.
        """
        with storage_errors(f"read {self.topic}-{self.index}"):
            start = max(start, self.log_start_offset)
            return self._visible(self._segments.find_timestamp(timestamp, start))

    def max_timestamp(self) -> Found:
        """The first record with the highest timestamp, if it is visible; see ``timestamps``.

        Raises:
            KafkaError: as ``read``.
        """
        with storage_errors(f"read {self.topic}-{self.index}"):
            return self._visible(self._segments.find_latest(self.log_start_offset))

    def _visible(self, found: Found) -> Found:
        """Nothing, if it is a record that is not synced yet; batches are synced as a whole."""
        if isinstance(found, Timestamped):
            return found if found.offset < self.high_watermark else None
        return found if found is not None and found.end_offset <= self.high_watermark else None

    def end_offset_for_epoch(self, epoch: int) -> tuple[int, int]:
        """The largest epoch not above ``epoch`` and where it ended; (-1, -1) if unknown."""
        return self.epochs.end_offset(epoch, self.log_end_offset)

    def epoch_at(self, offset: int) -> int:
        """The leader epoch in which ``offset`` was or will be written."""
        return self.epochs.epoch_at(offset)

    def begin_epoch(self) -> int:
        """Raise the leader epoch, durably: readers will check where they stand."""
        self.epochs.assign(self.epochs.latest + 1, self.log_end_offset)
        self.save_epochs()
        return self.epochs.latest

    def save_epochs(self) -> None:
        """Write the epochs durably.

        Raises:
            OSError: it failed.
        """
        data = checkpoints.encode_epochs(self.epochs.entries)
        self._files.replace(self.path / EPOCHS_FILE, data)

    # --- deletion --------------------------------------------------------------------------------

    def delete_records_before(self, offset: int) -> int:
        """Raise the log start to ``offset``, durably; the new log start (DeleteRecords).

        Raises:
            KafkaError: OFFSET_OUT_OF_RANGE above the high watermark; KAFKA_STORAGE_ERROR.
        """
        if not 0 <= offset <= self.high_watermark:
            raise KafkaError(
                ErrorCode.OFFSET_OUT_OF_RANGE,
                f"{self.topic}-{self.index} can delete up to {self.high_watermark}, not {offset}",
            )
        if offset > self.log_start_offset:
            with storage_errors(f"delete records of {self.topic}-{self.index}"):
                self._raise_log_start(offset)
        return self.log_start_offset

    def _raise_log_start(self, offset: int) -> None:
        before, self.log_start_offset = self.log_start_offset, offset
        try:
            self.checkpoint()
        except OSError:
            self.log_start_offset = before
            raise
        self.begin_at(offset)
        self.save_epochs()  # the second copy of the log start, should its checkpoint be lost

    def begin_at(self, log_start_offset: int) -> None:
        """Raise the log start, not durably."""
        self.log_start_offset = log_start_offset
        self.epochs.truncate_start(log_start_offset)

    def checkpoint(self) -> None:
        """Make durable where the log starts, is synced and is cleaned; any thread may.

        Raises:
            OSError: it failed.
        """
        self._storage.save_log_starts()

    def expire_producers(self, now_ms: int, expiration_ms: int = PRODUCER_ID_EXPIRATION_MS) -> int:
        """Forget producers that have been silent for so long; how many."""
        return self.producers.expire(now_ms, expiration_ms)

    # --- the end ---------------------------------------------------------------------------------

    def mark_deleted(self) -> None:
        """The directory is about to go: a sync under way may miss it, nobody opens its files."""
        self.deleted = True
        self._unsynced.abandon()
        self._segments.forget()

    def close(self) -> None:
        """Leave files that the next start need not scan: all synced, indexes and a snapshot.

        Raises:
            OSError: it failed; the next start must not take the stop for a clean one.
        """
        self.finish()
        self.sync()

    def finish(self) -> Unsynced:
        """As :meth:`close`, but for the sync, which the caller does.

        Raises:
            OSError: it failed.
        """
        end = self.log_end_offset
        if self._closed_at != end:
            written = self._segments.finish(self.producers.encode(), end)
            self._unsynced.leave(written, self.path, end)
            self._closed_at = end
        return self._unsynced

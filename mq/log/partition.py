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

import errno
from bisect import bisect_right
from collections.abc import Sequence
from itertools import pairwise
from operator import attrgetter
from pathlib import Path
from typing import Final

from mq.errors import ErrorCode, KafkaError
from mq.log import checkpoints, retention
from mq.log.config import LogConfig
from mq.log.files import Buffer
from mq.log.placement import Appended, place
from mq.log.producers import NO_PRODUCER_ID
from mq.log.segment import Segment, file_name
from mq.log.slices import Slice, Tail, cut
from mq.log.storage import Loaded, Storage, storage_error, storage_errors
from mq.log.timestamps import Timestamped, find_latest, find_timestamp
from mq.log.validation import admit
from mq.record import TopicPartition
from mq.wire.batch import NO_TIMESTAMP, BatchHeader
from mq.wire.batch import batches as batches_in

__all__ = ["EPOCHS_FILE", "METADATA_FILE", "Appended", "Partition"]

METADATA_FILE: Final = "partition.metadata"
EPOCHS_FILE: Final = "leader-epoch-checkpoint"

PRODUCER_ID_EXPIRATION_MS: Final = 24 * 60 * 60 * 1000  # producer.id.expiration.ms of Kafka

# What was appended that recently is certainly in the page cache: sending it cannot block.
HOT_BYTES: Final = 8 * 1024 * 1024


class Partition:
    """One partition. See the module for who may call what.

    Attributes:
        topic, index, topic_id: which one it is; the zero id stands for one that was lost.
        config: the topic's settings; the owner replaces it when they change.
        recovery_point: everything below is on stable storage.
        recovered: what was found when the partition was opened.
    """

    def __init__(
        self, storage: Storage, path: Path, name: TopicPartition, config: LogConfig, loaded: Loaded
    ) -> None:
        self.topic, self.index = name
        self.topic_id = loaded.topic_id
        self.path = path
        self.config = config
        self.producers = loaded.producers
        self.epochs = loaded.epochs
        self.recovered = loaded.recovered
        self.log_start_offset = loaded.log_start_offset
        self.log_end_offset = loaded.log_end_offset
        self.high_watermark = loaded.log_end_offset
        self.recovery_point = loaded.log_end_offset
        self.deleted = False
        self._storage = storage
        self._files = storage.files
        self._segments = loaded.segments
        self._unsynced = loaded.unsynced
        self._tail = Tail()
        self._hot_from = self._active.size
        self._sync_error: OSError | None = None
        self._torn = False  # whether an append that failed left bytes behind the log's end
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
    def first_offset(self) -> int:
        """Where the oldest segment begins, at or below the log start."""
        return self._segments[0].base_offset

    @property
    def size(self) -> int:
        """Bytes of log."""
        return sum(segment.size for segment in self._segments)

    @property
    def _active(self) -> Segment:
        return self._segments[-1]

    # --- append ----------------------------------------------------------------------------------

    def append(self, batches: bytes, *, now_ms: int, client: bool = True) -> Appended:
        """Write batches at the end of the log; nothing is synced.

        Args:
            batches: from a client one batch, which is checked; from the broker itself any number,
                which are trusted.
            now_ms: the broker's clock.
            client: who wrote them.

        Raises:
            KafkaError: the batch is refused (see ``validation.admit`` and ``Producers.check``), or
                could not be written (KAFKA_STORAGE_ERROR); the partition is as before.
        """
        if not client:
            return self._write(batches, [header for _, header in batches_in(batches)], now_ms)
        header = admit(batches, self.config, now_ms)
        if header.producer_id != NO_PRODUCER_ID:
            stored = self.producers.check(
                header.producer_id,
                header.producer_epoch,
                header.base_sequence,
                header.last_offset_delta,
            )
            if stored is not None:
                append_time = stored.timestamp if self.config.log_append_time else NO_TIMESTAMP
                first, last = stored.first_offset, stored.last_offset
                return Appended(first, last, append_time, self.log_start_offset, True)
        return self._write(batches, [header], now_ms)

    def _write(self, batches: bytes, headers: Sequence[BatchHeader], now_ms: int) -> Appended:
        append_time = now_ms if self.config.log_append_time else NO_TIMESTAMP
        base_offset = self.log_end_offset
        buffers, end_offset, latest = place(
            batches, headers, base_offset, self.epochs.latest, append_time
        )
        active = self._active
        if active.is_full_for(len(batches), end_offset - 1, latest, self.config, now_ms):
            active = self.roll()
        self._put(active, buffers)
        self._record(active, headers, append_time, now_ms)
        return Appended(base_offset, end_offset - 1, append_time, self.log_start_offset, False)

    def _put(self, active: Segment, buffers: list[Buffer]) -> None:
        """Write at the end of the active segment, all or nothing."""
        try:
            if self._torn:
                self._files.truncate(active.file, active.size)
                self._torn = False
            self._files.pwrite(active.file, buffers, active.size)
        except OSError as error:
            self._torn = True
            try:
                self._files.truncate(active.file, active.size)
                self._torn = False
            except OSError:
                pass  # done before the next append; a restart would find and cut it as well
            raise storage_error(f"append to {self.topic}-{self.index}", error) from error

    def _record(
        self, active: Segment, headers: Sequence[BatchHeader], append_time: int, now_ms: int
    ) -> None:
        """Take note of batches that are in the file."""
        offset = self.log_end_offset
        interval = self.config.index_interval_bytes
        for header in headers:
            last_offset = offset + header.last_offset_delta
            timestamp = header.max_timestamp if append_time == NO_TIMESTAMP else append_time
            self._tail.add(offset, active.size)
            active.add(last_offset, timestamp, header.length, now_ms, interval)
            if header.producer_id != NO_PRODUCER_ID:
                self.producers.apply(
                    header.producer_id,
                    header.producer_epoch,
                    header.base_sequence,
                    header.last_offset_delta,
                    last_offset,
                    now_ms,
                )
            offset = last_offset + 1
        self.log_end_offset = offset
        if not self._storage.durable:
            self.high_watermark = offset

    def roll(self) -> Segment:
        """Seal the active segment and begin the next one; the next sync makes both durable.

        Raises:
            KafkaError: KAFKA_STORAGE_ERROR; the active segment is still the old one.
        """
        old, base = self._active, self.log_end_offset
        snapshot = self.path / file_name(base, "snapshot")
        try:
            indexes = old.write_indexes()
            state = self._files.write(snapshot, self.producers.encode())
            new = Segment.create(self._files, self._storage.open_files, self.path, base)
        except OSError as error:
            raise storage_error(f"roll {self.topic}-{self.index}", error) from error
        self._unsynced.roll((*indexes, state), self.path, new.file, base)
        old.seal()
        self._closed_at = -1
        self._segments.append(new)
        self._tail = Tail()
        self._hot_from = 0
        return new

    # --- sync ------------------------------------------------------------------------------------

    def sync(self, *, sealed_only: bool = False) -> int:
        """Make durable what has been appended; any thread may call this.

        Args:
            sealed_only: leave the active segment to the operating system.

        Returns:
            The offset below which everything is on stable storage now.

        Raises:
            OSError: it failed, and nobody knows what is on the disk. It fails from then on, as a
                second try could succeed without having written anything: stop, and recover by a
                restart.
        """
        if self._sync_error is not None:
            raise self._sync_error
        # First the end, then what to sync: what is appended in between is synced too early only.
        end = self.log_end_offset
        pending = self._unsynced.pending
        if sealed_only:
            end = pending.sealed_end
        try:
            if not self.deleted:
                self._unsynced.sync(self._files, pending, sealed_only=sealed_only)
        except OSError as error:
            # The directory of a deleted partition was renamed under our hands.
            if not (self.deleted and isinstance(error, FileNotFoundError)):
                self._sync_error = error
                raise
        if end > self.recovery_point:
            self.recovery_point = end
        return end

    def synced(self, offset: int) -> bool:
        """Everything below ``offset`` is synced; whether that raised the high watermark."""
        if not self._storage.durable or offset <= self.high_watermark:
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
        try:
            segment = self._active
            if offset >= segment.base_offset:
                return self._read_active(segment, offset, max_bytes, end)
            return self._read_sealed(offset, max_bytes, end)
        except OSError as error:
            raise storage_error(f"read {self.topic}-{self.index}", error) from error

    def _read_active(self, active: Segment, offset: int, max_bytes: int, end: int) -> Slice | None:
        first = self._tail.find_with_end(offset, active.size)
        if first is None:
            found = active.find(offset)
            if found is None:
                return None
            first = found[0], found[0] + found[1].length
        if end == self.log_end_offset:
            stop = active.size
        elif (stop := self._tail.find(end)) < 0:
            stop = active.position_of(end)
        hot = first[0] >= max(self._hot_from, active.size - HOT_BYTES)
        return cut(active.file, *first, stop, max_bytes, hot=hot)

    def _read_sealed(self, offset: int, max_bytes: int, end: int) -> Slice | None:
        place = bisect_right(self._segments, offset, key=attrgetter("base_offset")) - 1
        for segment, following in pairwise(self._segments[place:]):
            if (found := segment.find(offset)) is not None:
                stop = segment.size if end >= following.base_offset else segment.position_of(end)
                first_end = found[0] + found[1].length
                return cut(segment.file, found[0], first_end, stop, max_bytes, hot=False)
        return self._read_active(self._active, offset, max_bytes, end)

    def read_batches(self, offset: int, max_bytes: int) -> bytes:
        """Whole batches from ``offset`` on, synced or not; none at the end of the log.

        Raises:
            KafkaError: as ``read``.
        """
        found = self.read(offset, max_bytes, upto=self.log_end_offset)
        if found is None:
            return b""
        data = self._files.pread(found.keep, found.size, found.position)
        whole = 0
        for position, header in batches_in(data):
            whole = position + header.length
        return data[:whole]

    # --- offsets by time and by epoch ------------------------------------------------------------

    def offset_for_timestamp(self, timestamp: int) -> Timestamped | None:
        """The first visible record of ``timestamp`` (ms) or later; see ``timestamps``.

        Raises:
            KafkaError: as ``read``.
        """
        with storage_errors(f"read {self.topic}-{self.index}"):
            return self._visible(find_timestamp(self._segments, timestamp, self.log_start_offset))

    def max_timestamp(self) -> Timestamped | None:
        """The first record with the highest timestamp, if it is visible; see ``timestamps``.

        Raises:
            KafkaError: as ``read``.
        """
        with storage_errors(f"read {self.topic}-{self.index}"):
            return self._visible(find_latest(self._segments, self.log_start_offset))

    def _visible(self, found: Timestamped | None) -> Timestamped | None:
        return found if found is not None and found.offset < self.high_watermark else None

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

    def expired_segments(self, now_ms: int) -> int:
        """How many of the oldest segments ``delete_old`` would delete now."""
        ends = [*(segment.base_offset for segment in self._segments[1:]), self.log_end_offset]
        with storage_errors(f"read {self.topic}-{self.index}"):
            extents = [
                retention.Extent(end, segment.size, segment.latest_ms)
                for segment, end in zip(self._segments, ends, strict=True)
            ]
        return retention.count_expired(
            extents,
            self.config,
            log_start_offset=self.log_start_offset,
            high_watermark=self.high_watermark,
            now_ms=now_ms,
        )

    def delete_old(self, now_ms: int) -> int:
        """Delete segments that retention no longer wants; how many.

        Raises:
            KafkaError: KAFKA_STORAGE_ERROR.
        """
        count = self.expired_segments(now_ms)
        if not count:
            return 0
        if count == len(self._segments):
            try:
                self.roll()
            except KafkaError:  # a full disk? then what is sealed has to do
                count -= 1
                if not count:
                    raise
        with storage_errors(f"delete segments of {self.topic}-{self.index}"):
            left = count
            while left:
                left -= self._delete_oldest(left)
        return count

    def _delete_oldest(self, count: int) -> int:
        """Delete up to ``count`` of the oldest segments; how many.

        The log start goes first: should a crash undo some deletions and not others, what is left
        under it is known to be old. If the disk is too full to write that, one segment goes all the
        same, and durably before the next one, so that no crash leaves a hole.
        """
        try:
            self._raise_log_start(max(self.log_start_offset, self._segments[count].base_offset))
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            count = 1
            self._set_log_start(max(self.log_start_offset, self._segments[1].base_offset))
        old, self._segments = self._segments[:count], self._segments[count:]
        for segment in old:
            segment.delete()
            self._files.unlink(self.path / file_name(segment.base_offset, "snapshot"))
        self._files.sync_directory(self.path)
        return count

    def _raise_log_start(self, offset: int) -> None:
        before, self.log_start_offset = self.log_start_offset, offset
        try:
            self._storage.save_log_starts()
        except OSError:
            self.log_start_offset = before
            raise
        self._set_log_start(offset)

    def _set_log_start(self, offset: int) -> None:
        self.log_start_offset = offset
        self.epochs.truncate_start(offset)

    def expire_producers(self, now_ms: int, expiration_ms: int = PRODUCER_ID_EXPIRATION_MS) -> int:
        """Forget producers that have been silent for so long; how many."""
        return self.producers.expire(now_ms, expiration_ms)

    # --- the end ---------------------------------------------------------------------------------

    def mark_deleted(self) -> None:
        """The directory is about to go: a sync under way may miss it, nobody opens its files."""
        self.deleted = True
        for segment in self._segments:
            segment.forget()

    def close(self) -> None:
        """Leave files that the next start need not scan: all synced, indexes and a snapshot.

        Raises:
            OSError: it failed; the next start must not take the stop for a clean one.
        """
        end = self.log_end_offset
        if self._torn:
            self._files.truncate(self._active.file, self._active.size)
        self.sync()
        if self._closed_at != end:
            snapshot = self.path / file_name(end, "snapshot")
            state = self._files.write(snapshot, self.producers.encode())
            for file in (*self._active.write_indexes(), state):
                self._files.sync(file)
            self._files.sync_directory(self.path)
            self._closed_at = end

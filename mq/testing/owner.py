"""An owner of a data directory, as the broker is one, without loop, threads and sockets.

It keeps the topics in the metadata log, as the broker does and with the broker's own catalog, and
has a ledger of what it promised to whom (:mod:`mq.testing.promises`). Group commits happen when it
is told to, on the spot. So a life of a data directory is a sequence of calls, the same in every
run, which may be cut off between any two steps of the disk.
"""

from __future__ import annotations

import errno
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Literal, TypeAlias
from uuid import UUID

from mq.broker.catalog import METADATA_TOPIC, Catalog, Topic
from mq.broker.partitions import Partitions
from mq.log.config import LogConfig
from mq.log.directory import DataDirectory
from mq.log.loader import LOST_TOPIC_ID
from mq.log.partition import Partition
from mq.log.upkeep import delete_old
from mq.record import TopicPartition
from mq.testing.disk import Disk
from mq.testing.promises import Promises, claim
from mq.wire.batch import BatchRecord, Producer, batches, decode_batch, encode_batch
from mq.wire.fields import Message
from mq.wire.state_record import decode_metadata, encode_metadata

__all__ = ["NOW_MS", "ROOT", "Durability", "Owner"]

NOW_MS: Final = 1_700_000_000_000
ROOT: Final = Path("/var/mq")
METADATA: Final = TopicPartition(METADATA_TOPIC, 0)
_METADATA_ID: Final = UUID(int=1)
_PRODUCER_ID: Final = 7

# Segments of a few batches, so that short lives roll.
CONFIG: Final = LogConfig(segment_bytes=1000, index_interval_bytes=200, retention_bytes=1500)
# Room for two groups in each file of the journal.
JOURNAL_BYTES: Final = 2 * 4096

_METADATA_CONFIG: Final = LogConfig(retention_ms=-1)

Durability: TypeAlias = Literal["sync", "os"]


class Owner:
    """One life on a disk; it begins by opening the directory, whatever the disk holds."""

    def __init__(self, disk: Disk, promises: Promises, durability: Durability = "sync") -> None:
        """Open and repair.

        Raises:
            ConfigurationError: the directory refuses to be opened.
        """
        self.disk = disk
        self.promises = promises
        self.durability = durability
        self.directory = DataDirectory.open(
            ROOT,
            now_ms=NOW_MS,
            durability=durability,
            files=disk,
            config=CONFIG,
            journal_bytes=JOURNAL_BYTES,
        )
        self.catalog = Catalog()
        self.partitions = Partitions(self.directory, self.catalog)
        self.metadata = self.directory.create_partition(
            METADATA.topic, METADATA.partition, _METADATA_ID, _METADATA_CONFIG
        )
        self.metadata.durable = True  # whatever the durability of the rest
        self._commit = self.directory.group_commit()
        for record in self._metadata_records():
            self.catalog.apply(record)
        self.partitions.reconcile()
        for partition in self.logs:
            partition.config = CONFIG

    def _metadata_records(self) -> list[Message]:
        found: list[Message] = []
        offset = self.metadata.log_start_offset
        while offset < self.metadata.log_end_offset:
            data = self.metadata.read_batches(offset, 1 << 20)
            for position, header in batches(data):
                offset = header.last_offset + 1
                values = (stored.value or b"" for stored in decode_batch(data, position))
                found += [record for record in map(decode_metadata, values) if record]
        return found

    @property
    def logs(self) -> list[Partition]:
        """All partitions but that of the metadata."""
        return [each for each in self.directory.partitions.values() if each is not self.metadata]

    # --- keeping promises ------------------------------------------------------------------------

    def check(self) -> None:
        """Whether what was found at the start is what had been promised.

        Raises:
            BrokenPromise: it is not.
        """
        self.promises.check(self.metadata)
        was_cut = self.metadata.recovered.truncated_bytes > 0  # then no directory is removed
        for partition in self.logs:
            gone = partition.topic_id in self.catalog.removed
            claim(was_cut or not gone, "{} belongs to a topic that was removed", partition)
            if partition.topic_id != LOST_TOPIC_ID:
                self.promises.check(partition)
        self._check_nothing_is_missing()

    def _check_nothing_is_missing(self) -> None:
        for ledger in self.promises.ledgers.values():
            name = TopicPartition(ledger.name, 0)
            gone = ledger.topic_id in self.catalog.removed
            known = ledger.topic_id in self.catalog.by_id or ledger.topic_id == _METADATA_ID
            claim(
                gone or known or not ledger.acknowledged,
                "nobody knows {} any more, and {} records of it were acknowledged",
                name,
                ledger.acknowledged,
            )
            claim(
                gone or not ledger.acknowledged or name in self.directory.partitions,
                "{} is not there, and {} records of it were acknowledged",
                name,
                ledger.acknowledged,
            )
        damaged = self.directory.damaged
        claim(not damaged, "a crash was taken for damage of {}", damaged)

    def renew(self) -> None:
        """Promise all that the start has found, since readers see it from now on."""
        for ledger in list(self.promises.ledgers.values()):
            if TopicPartition(ledger.name, 0) not in self.directory.partitions:
                del self.promises.ledgers[ledger.topic_id]
        for partition in self.directory.partitions.values():
            if partition is self.metadata or partition.topic_id in self.catalog.by_id:
                self.promises.renew(partition)

    # --- what a life is made of ------------------------------------------------------------------

    def topic(self, name: str) -> Topic:
        """The topic of this name, made now if there is none; that is not acknowledged yet."""
        topic = self.catalog.topics.get(name)
        if topic is None:
            number = len(self.catalog.removed) + len(self.catalog.topics) + 2
            self._change(self.catalog.create_topic(name, UUID(int=number), 1, {}))
            topic = self.catalog.topics[name]
        return topic

    def _change(self, records: Sequence[Message]) -> None:
        values = [BatchRecord(None, encode_metadata(record)) for record in records]
        self._append(self.metadata, encode_batch(values), client=False)
        for record in records:
            self.catalog.apply(record)

    def log(self, name: str) -> Partition:
        """The one partition of a topic, made if this is its first use."""
        partition = self.partitions.of(self.topic(name), 0)
        partition.config = CONFIG
        return partition

    def append(self, name: str, size: int = 100, count: int = 1) -> None:
        """Append a batch of the topic's one idempotent producer; nothing is promised."""
        partition = self.log(name)
        self._append(partition, self.next_batch(partition, size, count), client=True)

    def next_batch(self, partition: Partition, size: int = 100, count: int = 1) -> bytes:
        """The next batch of a topic's producer, whose sequences are the offsets."""
        number = partition.log_end_offset
        written = self.promises.version  # so that no two batches are alike, even at one offset
        value = f"{partition.topic}{number}:{written}".encode().ljust(size, b".")
        records = [BatchRecord(b"k", value, timestamp=NOW_MS + number)] * count
        return encode_batch(records, producer=Producer(_PRODUCER_ID, 0, number))

    def _append(self, partition: Partition, data: bytes, *, client: bool) -> None:
        appended = partition.append(data, now_ms=NOW_MS, client=client)
        self.promises.write(partition, data, appended.last_offset + 1)

    def commit(self) -> None:
        """One group commit of all that was appended, and its acknowledgements."""
        everything = self.directory.partitions.values()
        behind = [each for each in everything if each.high_watermark < each.log_end_offset]
        self._commit.run(behind, self._acknowledge)

    def _acknowledge(self, durable: list[tuple[Partition, int]]) -> None:
        for partition, offset in durable:
            partition.synced(offset)
            self.promises.acknowledge(partition, partition.high_watermark)

    def fill(self) -> None:
        """Let the next write to a log find the disk full."""
        self.disk.fail("pwrite", errno.ENOSPC, ending=".log", written=20)

    def prepare(self) -> None:
        """Make the files of the journal."""
        self.directory.prepare()

    def roll(self, name: str) -> None:
        """Begin a new segment."""
        partition = self.log(name)
        if partition.log_end_offset > partition.first_offset:
            partition.roll()

    def checkpoint(self) -> None:
        """Write the checkpoints."""
        self.directory.checkpoint()

    def delete_records(self, name: str) -> None:
        """Delete the older half of what is readable, and acknowledge that."""
        partition = self.log(name)
        wanted = (partition.log_start_offset + partition.high_watermark + 1) // 2
        self.promises.want_start(partition, wanted)
        partition.delete_records_before(wanted)
        self.promises.promise_start(partition)

    def retain(self, name: str) -> None:
        """Delete the segments that are too many."""
        partition = self.log(name)
        self.promises.want_start(partition, partition.high_watermark)
        delete_old(partition, NOW_MS)
        self.promises.promise_start(partition)

    def delete_topic(self, name: str) -> None:
        """Remove a topic: its record first, durably, then its files."""
        topic = self.catalog.topics.get(name)
        if topic is None:
            return
        existing = list(self.partitions.existing(topic))
        self._change(self.catalog.delete_topic(topic))
        self.commit()
        for partition in existing:
            self.directory.delete_partition(partition.topic_partition)

    def stop(self) -> None:
        """End in order, which acknowledges everything."""
        everything = list(self.directory.partitions.values())
        self.directory.close()
        for partition in everything:
            self.promises.acknowledge(partition, partition.log_end_offset)

    def kill(self) -> None:
        """End as a killed process does."""
        self.directory.abandon()

    def would_wait(self, word: str) -> bool:
        """Whether a step would have to wait for a checkpoint that is being written.

        Appending to a log that is there does not, nor does beginning a new segment.
        """
        never = word.startswith(("append", "roll"))
        exists = TopicPartition(word[-1], 0) in self.directory.partitions
        return self.directory._checkpointing.locked() and not (never and exists)

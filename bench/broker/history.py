"""A broker's directory with a long history: many GiB of log, a million committed offsets."""

from __future__ import annotations

import os
import random
import time
from pathlib import Path

from bench.broker.peers import Peer
from bench.broker.wire import KIB, Connection, batch_of, encoded, produce, records_in
from mq.wire.messages.offset_commit import (
    OffsetCommitRequest,
    OffsetCommitRequestPartition,
    OffsetCommitRequestTopic,
    OffsetCommitResponse,
)
from tools.mq_broker import MqBroker

GIB = 2**30
PARTITIONS = 8
BATCH_BYTES = 64 * KIB
RECORD_SIZE = 4 * KIB  # few records, for a log is long in bytes and in batches
DEPTH = 4
TIMES_PER_GIB = 256  # how many different times the records have
STEP_MS = 250  # between them
COMMIT_TOPIC = "committed"


class History:
    """What was written so far; the times of the records go evenly up to now.

    Attributes:
        topic: the long log.
        gib: how long it is.
        last_group: the group that committed last.
    """

    def __init__(self, broker: MqBroker) -> None:
        self.broker = broker
        self.topic = "history"
        self.gib = 0.0
        self.last_group: str | None = None
        self.records = 0  # in each partition
        self.first_ms = self.next_ms = time.time_ns() // 1_000_000 - 3_600_000

    @classmethod
    def begin(cls, broker: MqBroker) -> History:
        """Start the broker and make the topic."""
        broker.restart()
        history = cls(broker)
        Peer("mq", broker).create_topic(PARTITIONS, history.topic)
        return history

    def grow(self, gib: float) -> None:
        """Append evenly to all partitions until the log has so many GiB."""
        total = int((gib - self.gib) * GIB) // (PARTITIONS * BATCH_BYTES)
        per_time = max(1, GIB // TIMES_PER_GIB // (PARTITIONS * BATCH_BYTES))
        with Connection(self.broker.bootstrap) as connection:
            while total > 0:
                count = min(per_time, total)
                batch, records = batch_of(BATCH_BYTES, RECORD_SIZE, self.next_ms)
                request = encoded(produce(self.topic, dict.fromkeys(range(PARTITIONS), batch)))
                connection.pipeline((request for _ in range(count)), DEPTH)
                self.records += records * count
                self.next_ms += STEP_MS
                total -= count
            appended = records_in(connection, self.topic, PARTITIONS)
        assert appended == self.records * PARTITIONS, f"{appended} records were appended"
        self.gib = gib

    def commit(self, groups: int, partitions: int) -> None:
        """Have so many groups commit an offset for each of so many partitions."""
        Peer("mq", self.broker).create_topic(partitions, COMMIT_TOPIC)
        offsets = [OffsetCommitRequestPartition(index, 7, -1, "") for index in range(partitions)]
        topics = [OffsetCommitRequestTopic(COMMIT_TOPIC, partitions=offsets)]
        names = [f"group-{number}" for number in range(groups)]
        requests = (encoded(OffsetCommitRequest(name, topics=topics)) for name in names)
        with Connection(self.broker.bootstrap) as connection:
            last = OffsetCommitRequest(names[-1], topics=topics)
            answer = connection.ask(last, OffsetCommitResponse)
            assert not any(one.error_code for one in answer.topics[0].partitions)
            connection.pipeline(requests, depth=32)
        self.last_group = names[-1]

    def somewhere(self, chance: random.Random) -> tuple[int, int]:
        """A partition and an offset in it."""
        return chance.randrange(PARTITIONS), chance.randrange(self.records)

    def sometime(self, chance: random.Random) -> tuple[int, int]:
        """A partition and a time of one of its records, or between two."""
        last_ms = self.next_ms - STEP_MS
        return chance.randrange(PARTITIONS), chance.randrange(self.first_ms, last_ms)

    def drop_cache(self) -> None:
        """Have the kernel forget the directory's files, which have to be on disk for that."""
        for path in sorted(Path(self.broker.data).rglob("*")):
            if path.is_file():
                descriptor = os.open(path, os.O_RDONLY)
                os.fdatasync(descriptor)
                os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
                os.close(descriptor)

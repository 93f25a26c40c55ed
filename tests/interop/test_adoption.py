"""Partition directories change hands: Apache Kafka opens ours, and we open Kafka's.

The same topics are made on both sides; both brokers stop, each gets the files that the other wrote
(under its own topic id), and both start again. Then a client reads every record from its new home,
and an idempotent producer goes on there. What Kafka trusts after a stop in order (indexes, producer
snapshots, aborted transactions) is trusted here too: nothing is built anew.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from tools.apache_kafka import ApacheKafka
from tools.dump_log import faults
from tools.mq_broker import MqBroker

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("adoption")]

TIMEOUT_S = 60.0
CODECS = ("gzip", "snappy", "lz4", "zstd", "none")
SEGMENT = {"segment.bytes": "1048576"}  # the least that Kafka allows
TOPICS: dict[str, dict[str, str]] = {
    **{codec: {} for codec in CODECS},
    "segments": SEGMENT,
    "stamped": {"message.timestamp.type": "LogAppendTime"},
    "cut": {},
    "compacted": {**SEGMENT, "cleanup.policy": "compact", "min.cleanable.dirty.ratio": "0.01"},
    "transactions": SEGMENT,
}
COUNTS = {"segments": 3_000, "compacted": 5_000}  # 300 where nothing else is said
BUSY_CLEANER = {"log.cleaner.backoff.ms": "200"}
KEYS = 700  # of a compacted topic
TRANSACTIONS, RECORDS_EACH = 30, 100
REPAIR = re.compile(r"corrupt|recovering|rebuilding index|unflushed|could not find", re.IGNORECASE)
METADATA = "partition.metadata"  # says whose partition it is; all other files change hands

Broker = ApacheKafka | MqBroker
Records = list[tuple[int, bytes | None, bytes | None, int]]


@dataclass
class Side:
    """A broker and what was written to it."""

    broker: Broker
    written: dict[str, Records]


@pytest.fixture(scope="module")
def sides(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Side]]:
    """Both brokers on each other's files: "kafka" has what we wrote, "mq" what Kafka wrote."""
    ours = MqBroker.start(tmp_path_factory.mktemp("mq"))
    theirs = ApacheKafka.start(tmp_path_factory.mktemp("kafka"), settings=BUSY_CLEANER)
    try:
        for broker in (ours, theirs):
            fill(broker)
        lose_an_epoch(ours, "cut")
        for broker in (ours, theirs):
            await_compaction(broker)
        written_by_us, written_by_kafka = (
            {topic: read(broker, topic) for topic in TOPICS} for broker in (ours, theirs)
        )
        ours.stop()
        theirs.stop()
        assert faults(ours.data, compacted=["compacted"]) == []
        for topic in TOPICS:
            swap(ours.data / f"{topic}-0", theirs.data / f"{topic}-0")
        ours.restart()
        theirs.restart()
        yield {"kafka": Side(theirs, written_by_us), "mq": Side(ours, written_by_kafka)}
    finally:
        ours.close()
        theirs.close()


def fill(broker: Broker) -> None:
    """Make all topics and write to them."""
    admin = AdminClient({"bootstrap.servers": broker.bootstrap})
    wanted = [NewTopic(name, 1, config=config) for name, config in TOPICS.items()]
    for created in admin.create_topics(wanted).values():
        created.result(TIMEOUT_S)
    compressed = [codec for codec in CODECS if codec != "none"]
    for codec in compressed:
        write(broker, codec, [codec])
    others = [topic for topic in TOPICS if topic not in (*compressed, "transactions")]
    write(broker, "none", others)
    write_transactions(broker, "transactions")


def await_compaction(broker: Broker) -> None:
    """Return when the log is smaller than what was written to it."""
    written = sum(len(value_of(number)) for number in range(COUNTS["compacted"]))
    deadline = time.monotonic() + TIMEOUT_S
    while size_of(broker.data / "compacted-0") > 0.9 * written:
        assert time.monotonic() < deadline, "nothing is compacted"
        threading.Event().wait(0.05)


def size_of(partition: Path) -> int:
    """Bytes of log; a segment that is being replaced may be missing for a moment."""
    size = 0
    for log in partition.glob("*.log"):
        with suppress(FileNotFoundError):
            size += log.stat().st_size
    return size


def value_of(number: int) -> bytes:
    return b"%d " % number * 150


def write(broker: Broker, codec: str, topics: Sequence[str]) -> None:
    settings = {"enable.idempotence": True, "compression.type": codec, "batch.num.messages": 20}
    producer = Producer({"bootstrap.servers": broker.bootstrap, **settings, "log_level": 0})
    for topic in topics:
        for number in range(COUNTS.get(topic, 300)):
            producer.produce(topic, value_of(number), key=b"key%d" % (number % KEYS))
            producer.poll(0)
    assert producer.flush(TIMEOUT_S) == 0


def write_transactions(broker: Broker, topic: str) -> None:
    """Every third is aborted, after its records have reached the log."""
    settings = {"transactional.id": "writer", "batch.num.messages": 20, "log_level": 0}
    producer = Producer({"bootstrap.servers": broker.bootstrap, **settings})
    producer.init_transactions(TIMEOUT_S)
    for number in range(TRANSACTIONS):
        producer.begin_transaction()
        for each in range(RECORDS_EACH):
            producer.produce(topic, b"%d/%d " % (number, each) * 100)
        assert producer.flush(TIMEOUT_S) == 0
        if number % 3:
            producer.commit_transaction(TIMEOUT_S)
        else:
            producer.abort_transaction(TIMEOUT_S)


def lose_an_epoch(broker: MqBroker, topic: str) -> None:
    """A crash tears the tail of a log off, and the next life writes in another leader epoch."""
    broker.kill()
    [log] = (broker.data / f"{topic}-0").glob("*.log")
    with log.open("ab") as file:
        file.write(b"half a batch")
    broker.restart()
    write(broker, "none", [topic])


def swap(one: Path, other: Path) -> None:
    """Exchange all files of two partition directories but those that say whose they are."""
    aside = one.with_name("aside")
    for source, target in ((one, aside), (other, one), (aside, other)):
        target.mkdir(exist_ok=True)
        for file in source.iterdir():
            if file.name != METADATA:
                file.rename(target / file.name)
    aside.rmdir()


def read(broker: Broker, topic: str) -> Records:
    """Every committed record, with its offset and its time; the checksums are looked at."""
    settings = {"bootstrap.servers": broker.bootstrap, "group.id": "unused", "check.crcs": True}
    settings |= {"isolation.level": "read_committed", "enable.partition.eof": True}
    consumer = Consumer({**settings, "enable.auto.commit": False, "log_level": 0})
    consumer.assign([TopicPartition(topic, 0, 0)])
    found: Records = []
    while True:
        message = consumer.poll(TIMEOUT_S)
        assert message is not None, f"no more than {len(found)} records of {topic} came"
        if message.error() is None:
            at, time_ms = message.offset(), message.timestamp()[1]
            found.append((at, message.key(), message.value(), time_ms))
        elif message.error().code() == KafkaError._PARTITION_EOF:
            consumer.close()
            return found


@pytest.mark.parametrize("topic", TOPICS)
@pytest.mark.parametrize("adopter", ["kafka", "mq"])
def test_every_record_is_read_from_its_new_home(
    adopter: str, topic: str, sides: dict[str, Side]
) -> None:
    side = sides[adopter]
    written = side.written[topic]
    assert len(written) >= 300
    found = read(side.broker, topic)
    assert found[: len(written)] == written


@pytest.mark.parametrize("topic", TOPICS)
@pytest.mark.parametrize("adopter", ["kafka", "mq"])
def test_a_record_goes_behind_the_others(adopter: str, topic: str, sides: dict[str, Side]) -> None:
    side = sides[adopter]
    at: list[int] = []
    settings = {"bootstrap.servers": side.broker.bootstrap, "log_level": 0}
    producer = Producer({**settings, "enable.idempotence": True})
    producer.produce(
        topic, b"new", b"key", on_delivery=lambda _, message: at.append(message.offset())
    )
    assert producer.flush(TIMEOUT_S) == 0
    assert at[0] > side.written[topic][-1][0]
    assert read(side.broker, topic)[-1][:3] == (at[0], b"key", b"new")


def test_what_was_written_had_all_that_is_to_be_handed_over(sides: dict[str, Side]) -> None:
    for side in sides.values():
        assert len(side.written["compacted"]) < COUNTS["compacted"]
        assert len(side.written["transactions"]) == TRANSACTIONS * RECORDS_EACH * 2 // 3
        assert len(list((side.broker.data / "segments-0").glob("*.log"))) > 1
        assert list((side.broker.data / "transactions-0").glob("*.txnindex"))


def test_kafka_built_nothing_anew(sides: dict[str, Side]) -> None:
    """An index or a snapshot that it does not trust it makes again, and says so."""
    printed = (sides["kafka"].broker.directory / "kafka.log").read_text()
    second_life = printed.partition("Kafka Server started")[2]
    for topic in TOPICS:
        lines = [line for line in second_life.splitlines() if f"partition={topic}-0" in line]
        assert any("Loading producer state from snapshot file" in line for line in lines)
        assert [line for line in lines if REPAIR.search(line)] == []

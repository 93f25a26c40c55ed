"""A disk that is full, for real: clear errors, reads that go on, and work that resumes by itself.

What clients hear of it is KAFKA_STORAGE_ERROR, as from a Kafka whose log directory failed: a
retriable error, on which producers keep their batches and try again (an idempotent one loses,
doubles and reorders nothing). Unlike Kafka, which takes the directory offline until a restart, we
go on as soon as there is space.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, Message, Producer

from mq.errors import ErrorCode
from mq.wire.batch import BatchRecord, encode_batch
from mq.wire.messages.create_topics import CreatableTopic, CreateTopicsRequest
from mq.wire.messages.metadata import MetadataRequest
from mq.wire.messages.offset_commit import (
    OffsetCommitRequest,
    OffsetCommitRequestPartition,
    OffsetCommitRequestTopic,
)
from mq.wire.messages.offset_fetch import OffsetFetchRequest, OffsetFetchRequestTopic
from mq.wire.messages.produce import PartitionProduceData, ProduceRequest, TopicProduceData
from tools.dump_log import faults
from tools.mq_broker import MqBroker, MqBrokerError
from tools.small_disk import SmallDisk, SmallDiskError

pytestmark = pytest.mark.slow

DISK_MIB = 64
TIMEOUT_S = 60.0
TRIES_MAX = 2_000  # small records fit into what is left of a page; this many pages never are

Read = Callable[[str, str], list[Message]]


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    mount_point = tmp_path / "disk"
    mount_point.mkdir()
    try:
        disk = SmallDisk(mount_point, DISK_MIB)
    except SmallDiskError as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(f"not run: {error}")
    with disk:
        yield disk


@pytest.fixture
def broker(disk: SmallDisk, tmp_path: Path) -> Iterator[MqBroker]:
    with MqBroker.start(tmp_path / "broker", data=disk.path / "data") as broker:
        yield broker


class Client:
    """What the tests ask a broker, each in one request that is never repeated."""

    def __init__(self, broker: MqBroker, ask: Callable[..., Any]) -> None:
        self._broker = broker
        self._ask = ask

    def ask(self, request: Any, version: int) -> Any:
        return self._ask(self._broker.bootstrap, request, version)

    def create(self, topic: str) -> str:
        wanted = CreatableTopic(name=topic, num_partitions=1, replication_factor=1)
        told = self.ask(CreateTopicsRequest(topics=[wanted], timeout_ms=5000), 7).topics[0]
        return ErrorCode(told.error_code).name

    def topics(self) -> set[str]:
        return {topic.name for topic in self.ask(MetadataRequest(topics=None), 9).topics}

    def produce(self, topic: str, value: bytes) -> str:
        data = PartitionProduceData(index=0, records=encode_batch([BatchRecord(None, value)]))
        sent = [TopicProduceData(name=topic, partition_data=[data])]
        request = ProduceRequest(acks=-1, timeout_ms=5000, topic_data=sent)
        told = self.ask(request, 9).responses[0].partition_responses[0]
        return ErrorCode(told.error_code).name

    def commit(self, topic: str, offset: int) -> str:
        partition = OffsetCommitRequestPartition(committed_offset=offset)
        wanted = [OffsetCommitRequestTopic(name=topic, partitions=[partition])]
        told = self.ask(OffsetCommitRequest(group_id="readers", topics=wanted), 8).topics[0]
        return ErrorCode(told.partitions[0].error_code).name

    def committed(self, topic: str) -> int:
        wanted = [OffsetFetchRequestTopic(name=topic, partition_indexes=[0])]
        told = self.ask(OffsetFetchRequest(group_id="readers", topics=wanted), 7).topics[0]
        offset: int = told.partitions[0].committed_offset
        return offset


@pytest.fixture
def client(broker: MqBroker, ask: Callable[..., Any]) -> Client:
    client = Client(broker, ask)
    assert client.create("t") == "NONE"
    for number in range(10):
        assert client.produce("t", b"%d" % number) == "NONE"
    assert client.commit("t", 5) == "NONE"
    return client


def until_refused(act: Callable[[int], str], allowed: str = "NONE") -> tuple[int, str]:
    """How often something succeeded before it was refused, and how it was."""
    for number in range(TRIES_MAX):
        code = act(number)
        if code != allowed:
            return number, code
    raise AssertionError("the disk is not full")


def values(messages: list[Message]) -> list[bytes]:
    return [message.value() for message in messages]


def test_records_are_refused_and_reads_go_on_until_there_is_space(
    disk: SmallDisk, broker: MqBroker, client: Client, read_from: Read
) -> None:
    before = values(read_from(broker.bootstrap, "t"))
    disk.fill()
    assert client.produce("t", bytes(100_000)) == "KAFKA_STORAGE_ERROR"
    assert values(read_from(broker.bootstrap, "t")) == before
    disk.free()
    assert client.produce("t", b"after") == "NONE"
    assert values(read_from(broker.bootstrap, "t")) == [*before, b"after"]
    assert broker.stop() == 0
    assert faults(broker.data) == []


def test_an_idempotent_producer_waits_for_space_and_loses_nothing(
    disk: SmallDisk, broker: MqBroker, client: Client, read_from: Read
) -> None:
    settings = {"bootstrap.servers": broker.bootstrap, "enable.idempotence": True, "log_level": 0}
    producer = Producer({**settings, "retry.backoff.ms": 20, "retry.backoff.max.ms": 100})
    failures: list[object] = []
    sent = [b"%d " % number * 2_000 for number in range(500)]
    disk.fill()
    for value in sent:
        producer.produce("t", value, on_delivery=lambda error, _: failures.append(error))
    assert client.produce("t", bytes(100_000)) == "KAFKA_STORAGE_ERROR"
    assert producer.flush(1) > 0
    disk.free()
    assert producer.flush(TIMEOUT_S) == 0
    assert failures == [None] * len(sent)
    assert values(read_from(broker.bootstrap, "t"))[10:] == sent
    assert broker.stop() == 0
    assert faults(broker.data) == []


def test_a_group_never_runs_ahead_of_its_log(
    disk: SmallDisk, broker: MqBroker, client: Client
) -> None:
    disk.fill()
    count, code = until_refused(lambda number: client.commit("t", 100 + number))
    assert code == "NOT_COORDINATOR"  # as Kafka says it: look for the coordinator, then try again
    stored = 100 + count - 1 if count else 5
    assert client.committed("t") == stored
    broker.kill()
    disk.free()
    broker.restart()
    assert client.committed("t") == stored
    assert client.commit("t", 7) == "NONE"
    assert client.committed("t") == 7
    assert broker.stop() == 0
    assert faults(broker.data) == []


def test_a_topic_is_made_whole_or_not_at_all(
    disk: SmallDisk, broker: MqBroker, client: Client
) -> None:
    disk.fill()
    count, code = until_refused(lambda number: client.create(f"new-{number}"))
    assert code == "KAFKA_STORAGE_ERROR"
    made = {f"new-{number}" for number in range(count)}
    assert client.topics() >= made
    assert f"new-{count}" not in client.topics()
    broker.kill()
    disk.free()
    broker.restart()
    assert client.topics() >= made
    assert client.create(f"new-{count}") == "NONE"
    for topic in (*made, f"new-{count}"):
        assert client.produce(topic, b"x") == "NONE"
    assert broker.stop() == 0
    assert faults(broker.data) == []


def test_a_kill_on_a_full_disk_loses_nothing(
    disk: SmallDisk, broker: MqBroker, client: Client, read_from: Read
) -> None:
    disk.fill()
    count, _ = until_refused(lambda number: client.produce("t", b"%d" % number * 500))
    before = values(read_from(broker.bootstrap, "t"))
    assert len(before) == 10 + count
    broker.kill()
    disk.free()
    broker.restart()
    assert values(read_from(broker.bootstrap, "t")) == before
    assert client.produce("t", b"after") == "NONE"
    assert broker.stop() == 0
    assert faults(broker.data) == []


def test_a_start_on_a_full_disk_is_refused_with_a_sentence(
    disk: SmallDisk, broker: MqBroker, client: Client, read_from: Read
) -> None:
    before = values(read_from(broker.bootstrap, "t"))
    broker.kill()
    disk.fill()
    with pytest.raises(MqBrokerError, match="No space left on device"):
        broker.restart()
    disk.free()
    broker.restart()
    assert values(read_from(broker.bootstrap, "t")) == before


def test_a_stop_on_a_full_disk_says_so_and_loses_nothing(
    disk: SmallDisk, broker: MqBroker, client: Client, read_from: Read
) -> None:
    before = values(read_from(broker.bootstrap, "t"))
    disk.fill()
    assert broker.stop() == 1
    [sentence] = [line for line in broker.tail().splitlines() if "CRITICAL" in line]
    assert "No space left on device" in sentence
    disk.free()
    broker.restart()
    assert values(read_from(broker.bootstrap, "t")) == before
    assert broker.stop() == 0
    assert faults(broker.data) == []


def test_a_consumer_in_a_group_reads_on_and_commits_when_there_is_space(
    disk: SmallDisk, broker: MqBroker, client: Client
) -> None:
    settings = {"bootstrap.servers": broker.bootstrap, "group.id": "readers", "log_level": 0}
    consumer = Consumer({**settings, "enable.auto.commit": False})
    consumer.subscribe(["t"])
    message = consumer.poll(TIMEOUT_S)
    assert message is not None
    assert message.offset() == 5
    disk.fill()
    for offset in range(6, 10):
        message = consumer.poll(TIMEOUT_S)
        assert message is not None
        assert message.offset() == offset
    disk.free()
    consumer.commit(message, asynchronous=False)
    consumer.close()
    assert client.committed("t") == 10

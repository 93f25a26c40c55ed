"""A sync that fails in the real process: everybody hears of it, nobody tries again, and it ends.

`failing_syncs.c` is put in front of the C library and makes one sync fail, of the log or of the
journal. What the kernel still holds then is anybody's guess, so the broker stops with a sentence;
a start finds everything that was acknowledged, and producers go on as if nothing had been.
"""

from __future__ import annotations

import struct
import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import KafkaError, Message, Producer
from confluent_kafka.admin import AdminClient, NewTopic

from mq.errors import ErrorCode
from mq.record import TopicPartition
from mq.testing.history import History
from mq.wire.batch import BatchRecord, encode_batch
from mq.wire.messages.create_topics import CreatableTopic, CreateTopicsRequest
from mq.wire.messages.offset_commit import (
    OffsetCommitRequest,
    OffsetCommitRequestPartition,
    OffsetCommitRequestTopic,
)
from mq.wire.messages.produce import PartitionProduceData, ProduceRequest, TopicProduceData
from tools.dump_log import faults
from tools.mq_broker import MqBroker

pytestmark = pytest.mark.slow

SOURCE = Path(__file__).with_name("failing_syncs.c")
TIMEOUT_S = 60.0
PARTITIONS = 3
RECORDS = 3_000


@pytest.fixture(scope="session")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    library = tmp_path_factory.mktemp("shim") / "failing_syncs.so"
    subprocess.run(
        ["gcc", "-O1", "-Wall", "-Werror", "-shared", "-fPIC", "-o", library, SOURCE, "-ldl"],
        check=True,
    )
    return library


class FailingBroker(MqBroker):
    """A broker whose syncs can be made to fail."""

    remaining: Path

    def fail_after(self, syncs: int) -> None:
        """Let so many syncs succeed, then one fail; a negative number lets all succeed."""
        with self.remaining.open("r+b") as file:
            file.write(struct.pack("=q", syncs))


@pytest.fixture
def broker(
    shim: Path, tmp_path: Path, eventually: Callable[..., object]
) -> Iterator[FailingBroker]:
    remaining = tmp_path / "remaining"
    remaining.write_bytes(struct.pack("=q", -1))
    environment = {"LD_PRELOAD": str(shim), "FAILING_SYNCS": str(remaining)}
    FailingBroker.remaining = remaining
    with FailingBroker.start(tmp_path / "broker", environment=environment) as broker:
        admin = AdminClient({"bootstrap.servers": broker.bootstrap})
        admin.create_topics([NewTopic("t", PARTITIONS)])["t"].result(TIMEOUT_S)
        # Without a journal we would go on; what is to fail is a sync of what was sent.
        eventually(lambda: open_files(broker) >= {"journal.0", "journal.1"}, TIMEOUT_S)
        yield broker


def open_files(broker: MqBroker) -> set[str]:
    names = set()
    for link in Path(f"/proc/{broker.pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed meanwhile
            names.add(link.readlink().name)
    return names


def produced(ask: Callable[..., Any], broker: MqBroker) -> int:
    data = PartitionProduceData(index=0, records=encode_batch([BatchRecord(None, b"x")]))
    sent = [TopicProduceData(name="t", partition_data=[data])]
    request = ProduceRequest(acks=-1, timeout_ms=5000, topic_data=sent)
    code: int = ask(broker.bootstrap, request, 9).responses[0].partition_responses[0].error_code
    return code


def committed(ask: Callable[..., Any], broker: MqBroker) -> int:
    partition = OffsetCommitRequestPartition(committed_offset=1)
    wanted = [OffsetCommitRequestTopic(name="t", partitions=[partition])]
    told = ask(broker.bootstrap, OffsetCommitRequest(group_id="g", topics=wanted), 8)
    code: int = told.topics[0].partitions[0].error_code
    return code


def created(ask: Callable[..., Any], broker: MqBroker) -> int:
    wanted = [CreatableTopic(name="new", num_partitions=1, replication_factor=1)]
    told = ask(broker.bootstrap, CreateTopicsRequest(topics=wanted, timeout_ms=5000), 7)
    code: int = told.topics[0].error_code
    return code


@pytest.mark.parametrize(
    ("act", "code"),
    [
        (produced, ErrorCode.KAFKA_STORAGE_ERROR),
        (committed, ErrorCode.NOT_COORDINATOR),  # so Kafka tells members of a failed disk
        (created, ErrorCode.KAFKA_STORAGE_ERROR),
    ],
    ids=["produce", "commit", "create"],
)
def test_who_waits_is_told_and_the_process_ends_with_a_sentence(
    act: Callable[[Callable[..., Any], MqBroker], int],
    code: ErrorCode,
    broker: FailingBroker,
    ask: Callable[..., Any],
) -> None:
    assert produced(ask, broker) == 0
    assert committed(ask, broker) == 0
    broker.fail_after(0)
    assert act(ask, broker) == code
    assert broker.wait() == 1
    [sentence] = [line for line in broker.tail().splitlines() if "CRITICAL" in line]
    assert "could not be synced" in sentence
    assert "Input/output error" in sentence
    broker.restart()
    assert produced(ask, broker) == 0
    assert committed(ask, broker) == 0
    assert broker.stop() == 0
    assert faults(broker.data) == []


@pytest.mark.parametrize("syncs", [0, 1, 2, 7, 40])
def test_nothing_acknowledged_is_lost_whichever_sync_fails(
    syncs: int, broker: FailingBroker, read_from: Callable[[str, str], list[Message]]
) -> None:
    history = History()
    errors: list[KafkaError] = []

    def delivered(error: KafkaError | None, message: Message) -> None:
        if error is not None:
            errors.append(error)
        else:
            place = TopicPartition("t", message.partition())
            history.acknowledge(message.value(), place, message.offset())

    settings = {"bootstrap.servers": broker.bootstrap, "enable.idempotence": True, "log_level": 0}
    producer = Producer({**settings, "reconnect.backoff.max.ms": 100, "batch.num.messages": 20})
    broker.fail_after(syncs)
    for number in range(RECORDS):
        value = b"%d" % number
        history.sent("producer", value)
        producer.produce("t", value, partition=number % PARTITIONS, on_delivery=delivered)
        producer.poll(0)
    assert broker.wait() == 1
    broker.restart()
    assert producer.flush(TIMEOUT_S) == 0
    assert errors == []
    assert len(history.acknowledged) == RECORDS
    for message in read_from(broker.bootstrap, "t"):
        place = TopicPartition("t", message.partition())
        history.read(place, message.offset(), message.value())
        history.read_to(place, message.offset() + 1)
    assert history.anomalies() == []
    assert broker.stop() == 0
    assert faults(broker.data) == []

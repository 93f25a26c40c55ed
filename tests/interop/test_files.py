"""Kafka's own DumpLogSegments reads every file of a data directory and finds no fault."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient, NewPartitions, NewTopic

from tools.dump_log import dump, faults
from tools.mq_broker import MqBroker

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A data directory with a history: codecs, small segments, a group, topics, kills, a stop."""
    with MqBroker.start(tmp_path_factory.mktemp("files")) as broker:
        admin = AdminClient({"bootstrap.servers": broker.bootstrap})
        small = {"segment.bytes": "1048576"}  # the least that Kafka allows
        wanted = [NewTopic("events", 3, config=small), NewTopic("gone", 1), NewTopic("kept", 1)]
        for created in admin.create_topics(wanted).values():
            created.result(30)
        for codec in ("none", "gzip", "snappy", "lz4", "zstd"):
            write(broker.bootstrap, codec)
            broker.kill()
            broker.restart()
        consume_in_a_group(broker.bootstrap)
        admin.delete_topics(["gone"])["gone"].result(30)
        admin.create_partitions([NewPartitions("kept", 4)])["kept"].result(30)
        write(broker.bootstrap, "none")
        assert broker.stop() == 0
        yield broker.data


def write(bootstrap: str, codec: str) -> None:
    settings = {"enable.idempotence": True, "compression.type": codec, "linger.ms": 5}
    many_batches = {"batch.num.messages": 20}
    producer = Producer({"bootstrap.servers": bootstrap, **settings, **many_batches})
    for number in range(2_000):
        topic = ("events", "events", "kept", "gone")[number % 4]
        producer.produce(topic, random.randbytes(1_000).hex(), key=f"key{number % 97}")
    assert producer.flush(30) == 0


def consume_in_a_group(bootstrap: str) -> None:
    settings = {"group.id": "readers", "auto.offset.reset": "earliest"}
    consumer = Consumer({"bootstrap.servers": bootstrap, "enable.auto.commit": False, **settings})
    consumer.subscribe(["events"])
    for _ in range(500):
        message = consumer.poll(30)
        assert message is not None
        if message.offset() % 50 == 0:
            consumer.commit(message, asynchronous=False)
    consumer.close()


def of_topic(data: Path, topic: str, suffix: str) -> list[Path]:
    return sorted(path for path in data.glob(f"{topic}-*/*{suffix}") if path.stat().st_size)


def test_the_topics_have_several_segments_with_indexes(data: Path) -> None:
    assert len(of_topic(data, "events", ".log")) >= 6
    assert len(of_topic(data, "events", ".index")) >= 3


def test_kafka_finds_no_fault_in_any_file(data: Path) -> None:
    assert faults(data) == []
    printed = dump(of_topic(data, "events", ".log"))
    assert printed.count("| offset: ") > 5_000


def test_the_group_topics_records_are_read_as_kafkas(data: Path) -> None:
    logs = of_topic(data, "__consumer_offsets", ".log")
    printed = dump(logs, "--offsets-decoder")
    assert '"group":"readers","topic":"events"' in printed.replace(" ", "")


def test_the_metadata_logs_records_are_read_as_kafkas(data: Path) -> None:
    logs = of_topic(data, "__cluster_metadata", ".log")
    printed = dump(logs, "--cluster-metadata-decoder")
    for kind in ("TOPIC_RECORD", "PARTITION_RECORD", "CONFIG_RECORD", "REMOVE_TOPIC_RECORD"):
        assert kind in printed


def test_the_directorys_own_files_are_written_as_kafka_writes_them(data: Path) -> None:
    properties = dict(
        line.split("=", 1)
        for line in (data / "meta.properties").read_text().splitlines()
        if line and not line.startswith("#")
    )
    assert properties["version"] == "1"
    assert set(properties) >= {"cluster.id", "directory.id", "node.id"}
    assert (data / ".kafka_cleanshutdown").exists()
    metadata = (data / "events-0" / "partition.metadata").read_text()
    assert re.fullmatch(r"version: 0\ntopic_id: [\w-]{22}\n?", metadata)

"""What a broker knows after it ended, in order or not."""

from __future__ import annotations

import asyncio
import shutil

import pytest

from mq.broker.broker import Broker
from mq.broker.settings import Settings
from mq.errors import ConfigurationError, ErrorCode
from mq.log.directory import DataDirectory
from mq.wire.batch import BatchRecord, Producer, encode_batch
from mq.wire.messages.create_partitions import CreatePartitionsRequest, CreatePartitionsTopic
from mq.wire.messages.delete_topics import DeleteTopicsRequest
from mq.wire.messages.init_producer_id import InitProducerIdRequest
from mq.wire.messages.metadata import MetadataRequest
from mq.wire.messages.offset_commit import (
    OffsetCommitRequest,
    OffsetCommitRequestPartition,
    OffsetCommitRequestTopic,
)
from mq.wire.messages.offset_fetch import OffsetFetchRequest, OffsetFetchRequestTopic


@pytest.fixture(params=[True, False], ids=["stopped", "killed"])
def restart(request, start_broker, connect):
    """``restart(broker)`` ends it, in order or as a crash would, and gives one that follows it."""

    def again(broker):
        broker.stop(clean=request.param)
        following = start_broker()
        return following, connect(following)

    return again


def test_topics_records_and_settings_are_there_again(start_broker, connect, restart, wire):
    broker = start_broker()
    client = connect(broker)
    topic_id = client.create("t", partitions=2, retention_ms="5000")
    client.ask(CreatePartitionsRequest(topics=[CreatePartitionsTopic("t", 3, None)]), 3)
    client.produce("t", b"a", b"b", partition=1)
    client.produce("t", b"c", partition=2)
    cluster_id = broker.broker.cluster_id

    broker, client = restart(broker)
    response = client.ask(MetadataRequest(topics=None), 12)
    (topic,) = response.topics
    assert (topic.name, topic.topic_id, len(topic.partitions)) == ("t", topic_id, 3)
    assert response.cluster_id == cluster_id
    assert wire.values_in(client.fetch("t", partition=1).records) == [b"a", b"b"]
    assert client.produce("t", b"d", partition=1).base_offset == 2
    config = broker.call(lambda: broker.broker.partitions.by_name("t", 2).config)
    assert config.retention_ms == 5000


def test_a_deleted_topic_stays_deleted(start_broker, connect, restart, tmp_path):
    broker = start_broker()
    client = connect(broker)
    client.create("t")
    client.produce("t", b"a")
    client.ask(DeleteTopicsRequest(topic_names=["t"]), 4)

    broker, client = restart(broker)
    assert client.fetch("t").error_code == ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
    assert not list((tmp_path / "data").glob("t-*"))


def test_committed_offsets_are_there_again(start_broker, connect, restart):
    broker = start_broker()
    client = connect(broker)
    client.create("t")
    partition = OffsetCommitRequestPartition(
        partition_index=0, committed_offset=41, committed_metadata="here"
    )
    commit = OffsetCommitRequest(
        group_id="g", topics=[OffsetCommitRequestTopic(name="t", partitions=[partition])]
    )
    assert client.ask(commit, 8).topics[0].partitions[0].error_code == 0

    _, client = restart(broker)
    wanted = OffsetFetchRequestTopic(name="t", partition_indexes=[0, 1])
    fetched = client.ask(OffsetFetchRequest(group_id="g", topics=[wanted]), 7).topics[0]
    assert [(p.committed_offset, p.metadata) for p in fetched.partitions] == [
        (41, "here"),
        (-1, ""),
    ]


def test_producer_ids_are_never_given_twice(start_broker, connect, restart):
    broker = start_broker()
    client = connect(broker)
    ask = InitProducerIdRequest(transactional_id=None)
    before = {client.ask(ask, 4).producer_id for _ in range(3)}

    _, client = restart(broker)
    after = {client.ask(ask, 4).producer_id for _ in range(3)}
    assert len(before | after) == 6


def test_repetitions_are_recognized_after_a_restart(start_broker, connect, restart, wire):
    broker = start_broker()
    client = connect(broker)
    client.create("t")
    requests = [
        wire.produce_request("t", wire.batch(b"%d" % n, producer=Producer(7, 0, n)))
        for n in range(3)
    ]
    for request in requests:
        client.ask(request, 9)

    _, client = restart(broker)
    for number, request in enumerate(requests):
        answer = client.ask(request, 9).responses[0].partition_responses[0]
        assert (answer.error_code, answer.base_offset) == (0, number)
    assert wire.values_in(client.fetch("t").records) == [b"0", b"1", b"2"]


def test_directories_that_no_topic_claims_go(start_broker, connect, tmp_path):
    """What a crash leaves between the record of a deletion and the deletion of the files."""
    broker = start_broker()
    client = connect(broker)
    client.create("kept")
    client.produce("kept", b"a")
    client.create("t")
    client.produce("t", b"a")
    broker.call(lambda: broker.broker.catalog.delete_topic(broker.broker.catalog.topics["t"]))
    records = broker.call(
        lambda: broker.broker.catalog.delete_topic(broker.broker.catalog.topics["t"])
    )
    broker.call(lambda: setattr(broker.broker.partitions, "delete", lambda partition: None))
    broker.call(lambda: broker.broker._commit(records))
    broker.stop(clean=False)
    assert (tmp_path / "data" / "t-0").exists()

    client = connect(start_broker())
    assert not (tmp_path / "data" / "t-0").exists()
    assert client.fetch("kept").high_watermark == 1
    client.create("t")
    assert client.fetch("t").high_watermark == 0


def test_a_directory_that_is_lost_begins_empty(start_broker, connect, tmp_path):
    broker = start_broker()
    client = connect(broker)
    client.create("t", partitions=2)
    client.produce("t", b"a")
    broker.stop()
    for file in (tmp_path / "data" / "t-0").iterdir():
        file.unlink()
    (tmp_path / "data" / "t-0").rmdir()

    client = connect(start_broker())
    assert client.fetch("t").high_watermark == 0
    assert client.produce("t", b"b", partition=1).base_offset == 0


def test_durability_can_be_switched(start_broker, connect, wire):
    for number, durability in enumerate(["os", "sync", "os", "sync"]):
        broker = start_broker(durability=durability)
        client = connect(broker)
        if number == 0:
            client.create("t")
        assert client.produce("t", b"%d" % number).base_offset == number
        broker.stop(clean=number % 2 == 0)
    client = connect(start_broker())
    assert wire.values_in(client.fetch("t").records) == [b"0", b"1", b"2", b"3"]


@pytest.mark.parametrize("topic", ["__cluster_metadata", "__consumer_offsets"])
def test_state_that_cannot_be_understood_is_not_guessed_at(start_broker, tmp_path, topic):
    def spoil():
        owner = broker.broker
        log = owner.metadata_log
        if topic == "__consumer_offsets":
            log = owner.partitions.of(owner.offsets_topic(), 0)
        # a key of a known kind (an offset commit) that ends too early, no metadata record either
        owner.append(log, encode_batch([BatchRecord(b"\0\1\x7f", b"junk")]), client=False)

    broker = start_broker()
    broker.call(spoil)
    broker.stop()

    async def start():
        directory = DataDirectory.open(tmp_path / "data", now_ms=0)
        try:
            Broker(directory, asyncio.get_running_loop(), Settings(), print)
        finally:
            directory.abandon()

    with pytest.raises(ConfigurationError, match=f"{topic}-0 is damaged at offset"):
        asyncio.run(start())


def test_what_exists_is_synced_whatever_the_durability(start_broker, connect, eventually):
    """A topic that a crash forgets takes all its records with it."""
    broker = start_broker(durability="os")
    connect(broker).create("t")
    log = broker.broker.metadata_log
    eventually(lambda: log.recovery_point == log.log_end_offset)


def start_over(path):
    """Start a broker over a directory that is expected to be refused."""

    async def start():
        directory = DataDirectory.open(path, now_ms=0)
        try:
            Broker(directory, asyncio.get_running_loop(), Settings(), print)
        finally:
            directory.abandon()

    asyncio.run(start())


def flip_a_bit(path, position):
    data = bytearray(path.read_bytes())
    data[position] ^= 1
    path.write_bytes(data)


def test_a_damaged_metadata_log_deletes_nothing(start_broker, connect, wire, tmp_path, caplog):
    broker = start_broker()
    client = connect(broker)
    client.create("t")
    log = tmp_path / "data" / "__cluster_metadata-0" / "00000000000000000000.log"
    begin = log.stat().st_size
    client.create("lost")
    client.produce("lost", b"a")
    stored = tmp_path / "data" / "lost-0" / "00000000000000000000.log"
    before = stored.read_bytes()
    broker.stop(clean=False)
    flip_a_bit(log, begin + 70)

    for _ in range(2):  # nor does the start after that, which finds nothing to cut
        broker = start_broker()
        assert connect(broker).produce("t", b"b").error_code == 0
        assert f"keeping {stored.parent}" in caplog.text
        assert stored.read_bytes() == before
        broker.stop(clean=False)
        caplog.clear()

    client = connect(start_broker())
    client.create("lost")
    assert client.produce("lost", b"c").base_offset == 0
    (stray,) = (tmp_path / "data").glob("lost-0.*-stray")
    assert (stray / stored.name).read_bytes() == before


def test_damage_to_what_was_synced_is_refused_at_every_start(start_broker, connect, tmp_path):
    broker = start_broker()
    client = connect(broker)
    client.create("t")
    client.produce("t", b"a")
    broker.call(broker.broker._directory.checkpoint)
    broker.stop(clean=False)
    flip_a_bit(tmp_path / "data" / "__cluster_metadata-0" / "00000000000000000000.log", 70)
    for _ in range(2):
        with pytest.raises(ConfigurationError, match="__cluster_metadata-0 is damaged"):
            start_over(tmp_path / "data")
    assert (tmp_path / "data" / "t-0" / "00000000000000000000.log").stat().st_size > 0


@pytest.mark.parametrize("clean", [True, False])
def test_a_damaged_id_of_the_metadata_log_deletes_nothing(start_broker, connect, tmp_path, clean):
    broker = start_broker()
    client = connect(broker)
    client.create("t")
    client.produce("t", b"a")
    broker.stop(clean=clean)
    metadata = tmp_path / "data" / "__cluster_metadata-0" / "partition.metadata"
    assert metadata.read_bytes().endswith(b"AAAAQ")
    metadata.write_bytes(metadata.read_bytes()[:-5] + b"CAAAQ")  # one bit
    for _ in range(2):
        with pytest.raises(ConfigurationError, match=r"partition\.metadata is damaged.* remove"):
            start_over(tmp_path / "data")
    metadata.unlink()
    assert connect(start_broker()).produce("t", b"b").base_offset == 1


def test_records_without_a_metadata_log_are_refused(start_broker, connect, tmp_path):
    broker = start_broker()
    client = connect(broker)
    client.create("t")
    client.produce("t", b"a")
    broker.stop()
    shutil.rmtree(tmp_path / "data" / "__cluster_metadata-0")
    with pytest.raises(ConfigurationError, match="t-0 holds records of a topic"):
        start_over(tmp_path / "data")
    assert (tmp_path / "data" / "t-0" / "00000000000000000000.log").stat().st_size > 0


def test_the_directory_of_another_node_is_refused(start_broker, tmp_path):
    start_broker().stop()
    properties = tmp_path / "data" / "meta.properties"
    properties.write_text(properties.read_text().replace("node.id=1", "node.id=2"))
    with pytest.raises(ConfigurationError, match="belongs to another broker"):
        start_over(tmp_path / "data")

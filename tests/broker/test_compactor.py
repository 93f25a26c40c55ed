"""Compaction in a running broker: beside traffic, in a process of its own, whatever fails."""

from __future__ import annotations

import dataclasses
import os
import signal

import pytest
from confluent_kafka import Consumer, TopicPartition

import mq.log.upkeep
from mq.broker.settings import Settings
from mq.log.config import LogConfig
from mq.wire.batch import BatchRecord, encode_batch
from mq.wire.messages.offset_commit import (
    OffsetCommitRequest,
    OffsetCommitRequestPartition,
    OffsetCommitRequestTopic,
)
from mq.wire.messages.offset_fetch import OffsetFetchRequest, OffsetFetchRequestTopic

pytestmark = pytest.mark.slow

COMPACT = LogConfig(cleanup_policy=("compact",), segment_bytes=2000)
TIMEOUT_S = 20.0


def partition_of(broker, topic="t"):
    return broker.call(lambda: broker.broker.partitions.by_name(topic, 0))


def compact(broker, partition, eventually):
    """Have all that is sealed compacted."""
    compactor = broker.broker._housekeeping._compactor
    end = broker.call(lambda: partition.roll() or partition.log_end_offset)

    def is_clean():
        compactor.wake()
        return partition.cleaned_offset == end

    eventually(is_clean, 20)


def write(client, wire, keys, *, topic="t"):
    for number, key in enumerate(keys):
        record = BatchRecord(key, b"%d" % number, timestamp=1_700_000_000_000)
        told = client.ask(wire.produce_request(topic, encode_batch([record])), 9)
        assert told.responses[0].partition_responses[0].error_code == 0


def test_a_compacted_topic_shrinks_while_it_is_used(broker, client, wire, eventually):
    client.create("t", cleanup_policy="compact")
    partition = partition_of(broker)
    partition.config = COMPACT
    write(client, wire, [b"a", b"b"] * 100)
    before = partition.size
    compact(broker, partition, eventually)
    assert partition.size < before / 10
    assert wire.values_in(client.fetch("t", 0).records) == [b"198", b"199"]
    write(client, wire, [b"a"])
    assert wire.values_in(client.fetch("t", 199).records) == [b"199"]
    assert wire.values_in(client.fetch("t", 200).records) == [b"0"]


def test_librdkafka_reads_over_the_gaps(broker, client, wire, eventually):
    client.create("t", cleanup_policy="compact")
    partition = partition_of(broker)
    partition.config = COMPACT
    write(client, wire, [b"k%d" % (number % 7) for number in range(150)] + [b"z"])
    compact(broker, partition, eventually)
    write(client, wire, [b"young"])
    consumer = Consumer({"bootstrap.servers": str(broker.address), "group.id": "g"})
    try:
        for start in (0, 1, 100, 143, 150, 151):
            consumer.assign([TopicPartition("t", 0, start)])
            expected = [offset for offset in range(143, 152) if offset >= start]
            found = []
            while len(found) < len(expected):
                batch = consumer.consume(len(expected) - len(found), TIMEOUT_S)
                assert batch, f"only {found} of {expected} came"
                assert not any(message.error() for message in batch)
                found += [message.offset() for message in batch]
            assert found == expected
        assert consumer.get_watermark_offsets(TopicPartition("t", 0)) == (0, 152)
    finally:
        consumer.close()


def commit(client, offset):
    partition = OffsetCommitRequestPartition(partition_index=0, committed_offset=offset)
    request = OffsetCommitRequest(
        group_id="g", topics=[OffsetCommitRequestTopic(name="t", partitions=[partition])]
    )
    assert client.ask(request, 8).topics[0].partitions[0].error_code == 0


def test_endless_commits_leave_the_offsets_topic_small(start_broker, connect, eventually):
    broker = start_broker(settings=Settings(offsets_topic_segment_bytes=1024 * 1024))
    client = connect(broker)
    client.create("t")
    commit(client, 0)
    partition = partition_of(broker, "__consumer_offsets")
    partition.config = dataclasses.replace(partition.config, segment_bytes=6_000)
    compactor = broker.broker._housekeeping._compactor
    for offset in range(1, 800):
        commit(client, offset)
        if offset % 20 == 0:
            compactor.wake()
    assert partition.log_end_offset >= 800
    # All commits would take a hundred kilobytes; what is young and half of the rest may be dirty.
    eventually(lambda: partition.size < 20_000 or compactor.wake(), 20)
    broker.stop(clean=False)
    wanted = OffsetFetchRequestTopic(name="t", partition_indexes=[0])
    request = OffsetFetchRequest(group_id="g", topics=[wanted])
    again = connect(start_broker())
    assert again.ask(request, 7).topics[0].partitions[0].committed_offset == 799


def test_what_is_clean_is_remembered_over_a_restart(
    broker, client, wire, eventually, start_broker, tmp_path
):
    client.create("t", cleanup_policy="compact")
    partition = partition_of(broker)
    partition.config = COMPACT
    write(client, wire, [b"a"] * 50)
    compact(broker, partition, eventually)
    broker.stop()
    file = tmp_path / "data" / "cleaner-offset-checkpoint"
    assert file.read_text() == "0\n1\nt 0 50\n"
    assert partition_of(start_broker()).cleaned_offset == 50


def test_a_log_that_cannot_be_compacted_harms_no_other(
    broker, client, wire, eventually, caplog, tmp_path
):
    for topic in ("t", "u"):
        client.create(topic, cleanup_policy="compact")
        partition_of(broker, topic).config = COMPACT
        write(client, wire, [b"a"] * 50, topic=topic)
    damaged = partition_of(broker)
    broker.call(damaged.roll)
    log = tmp_path / "data" / "t-0" / f"{0:020d}.log"
    data = bytearray(log.read_bytes())
    data[-1] ^= 1
    log.write_bytes(data)
    compact(broker, partition_of(broker, "u"), eventually)
    assert damaged.cleaned_offset == 0
    assert caplog.text.count("cannot be compacted") == 1
    assert "checksum" in caplog.text
    assert wire.values_in(client.fetch("t", 40).records)[-1] == b"49"
    assert not broker.failures


def test_what_lies_in_the_current_directory_is_no_part_of_the_process(
    broker, client, wire, eventually, tmp_path, monkeypatch
):
    (tmp_path / "queue.py").write_text("raise SystemExit(1)")
    monkeypatch.chdir(tmp_path)
    client.create("t", cleanup_policy="compact")
    partition = partition_of(broker)
    partition.config = COMPACT
    write(client, wire, [b"a"] * 50)
    compact(broker, partition, eventually)


def test_a_bug_in_one_log_stops_no_other(broker, client, wire, eventually, caplog, monkeypatch):
    for topic in ("t", "u"):
        client.create(topic, cleanup_policy="compact")
        partition_of(broker, topic).config = COMPACT
        write(client, wire, [b"a"] * 50, topic=topic)
    broken, uncleaned = partition_of(broker), mq.log.upkeep.uncleaned

    def trip(partition, now_ms):
        if partition is broken:
            raise ZeroDivisionError("a bug")
        return uncleaned(partition, now_ms)

    monkeypatch.setattr(mq.log.upkeep, "uncleaned", trip)
    compact(broker, partition_of(broker, "u"), eventually)
    assert "a bug" in caplog.text
    assert not broker.failures


def test_a_process_that_dies_is_replaced(broker, client, wire, eventually, caplog, monkeypatch):
    client.create("t", cleanup_policy="compact")
    partition = partition_of(broker)
    partition.config = COMPACT
    write(client, wire, [b"a"] * 50)
    compactor = broker.broker._housekeeping._compactor
    started = compactor._started

    def start_and_kill():
        process = started()
        os.kill(process.pid, signal.SIGKILL)
        return process

    monkeypatch.setattr(compactor, "_started", start_and_kill)
    broker.call(partition.roll)
    compactor.wake()
    eventually(lambda: "has died" in caplog.text)
    monkeypatch.setattr(compactor, "_started", started)
    broker.call(compactor._failures.clear)
    compact(broker, partition, eventually)
    assert wire.values_in(client.fetch("t", 0).records) == [b"49"]


def test_the_end_of_the_broker_is_the_end_of_the_process(
    broker, client, wire, eventually, start_broker, connect, monkeypatch
):
    client.create("t", cleanup_policy="compact")
    partition = partition_of(broker)
    partition.config = COMPACT
    write(client, wire, [b"a"] * 50)
    broker.call(partition.roll)
    compactor = broker.broker._housekeeping._compactor
    held = []

    def hold(partition, made):
        """Wait in the midst of a swap until the broker ends."""
        held.append(compactor._process)
        compactor._closing.wait(TIMEOUT_S)
        return compactor._on_loop(lambda: True)

    monkeypatch.setattr(compactor, "_swap", hold)
    compactor.wake()
    eventually(lambda: held)
    broker.stop()
    assert held[0].poll() is not None
    again = start_broker()
    found = partition_of(again)
    assert (found.log_start_offset, found.log_end_offset) == (0, 50)
    assert wire.values_in(connect(again).fetch("t", 0).records)[-1] == b"49"


def test_the_process_does_not_outlive_its_input():
    import subprocess
    import sys

    process = subprocess.Popen(
        [sys.executable, "-m", "mq.log.compaction"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with process:
        process.stdin.close()
        assert process.wait(TIMEOUT_S) == 0

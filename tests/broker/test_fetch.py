"""Fetch: what is read, how it travels, and how long it waits."""

from __future__ import annotations

import asyncio
import os
import socket
import struct
import threading
import uuid

import pytest
import uvloop

from mq.broker import page_cache
from mq.broker.outbound import Outbound
from mq.broker.page_cache import PageCache
from mq.errors import ErrorCode
from mq.wire.messages.api_versions import ApiVersionsRequest
from mq.wire.messages.delete_topics import DeleteTopicsRequest
from mq.wire.messages.fetch import FetchPartition, FetchRequest, FetchTopic


@pytest.mark.parametrize("version", range(4, 13))
def test_every_version_by_name(client, wire, version):
    client.create("t")
    client.produce("t", b"a", b"b")
    client.produce("t", b"c")
    got = client.fetch("t", version=version)
    assert (got.error_code, got.high_watermark, got.last_stable_offset) == (0, 3, 3)
    assert wire.values_in(got.records) == [b"a", b"b", b"c"]


@pytest.mark.parametrize("version", range(13, 19))
def test_every_version_by_topic_id(client, wire, version):
    topic_id = client.create("t")
    client.produce("t", b"a")
    client.send(wire.fetch_request(topic_id), version)
    (topic,) = client.receive().responses
    assert topic.topic_id == topic_id
    assert wire.values_in(topic.partitions[0].records) == [b"a"]
    client.send(wire.fetch_request(uuid.uuid4()), version)
    (topic,) = client.receive().responses
    assert topic.partitions[0].error_code == ErrorCode.UNKNOWN_TOPIC_ID


def test_an_answer_begins_with_the_batch_that_holds_the_offset(client, wire):
    client.create("t")
    client.produce("t", b"a", b"b")
    client.produce("t", b"c", b"d")
    assert wire.values_in(client.fetch("t", 3).records) == [b"c", b"d"]


def test_the_first_batch_comes_whole_however_large(client, wire):
    client.create("t")
    client.produce("t", bytes(100_000))
    client.produce("t", b"b")
    got = client.fetch("t", max_bytes=10)
    assert wire.values_in(got.records) == [bytes(100_000)]


def test_a_batch_comes_even_if_nothing_was_to_come(client, wire):
    client.create("t")
    client.produce("t", b"a")
    wanted = FetchPartition(partition=0, partition_max_bytes=0)
    request = FetchRequest(max_bytes=0, topics=[FetchTopic(topic="t", partitions=[wanted])])
    (data,) = client.ask(request, 12).responses[0].partitions
    assert wire.values_in(data.records) == [b"a"]


def test_an_answer_keeps_to_its_limits_over_all_partitions(client, wire):
    client.create("t", partitions=3)
    for partition in range(3):
        client.produce("t", bytes(1000), partition=partition)
    wanted = [FetchPartition(partition=p, partition_max_bytes=1 << 20) for p in range(3)]
    request = FetchRequest(max_bytes=1200, topics=[FetchTopic(topic="t", partitions=wanted)])
    sizes = [len(p.records) for p in client.ask(request, 12).responses[0].partitions]
    assert sizes[0] > 1000
    assert sizes[2] == 0


@pytest.mark.parametrize(
    ("offset", "code"), [(2, ErrorCode.NONE), (3, ErrorCode.OFFSET_OUT_OF_RANGE), (-1, 1)]
)
def test_offsets_out_of_range_are_told_at_once(client, offset, code):
    client.create("t")
    client.produce("t", b"a", b"b")
    assert client.fetch("t", offset, max_wait_ms=0 if offset == 2 else 60_000).error_code == code


@pytest.mark.parametrize(
    ("epoch", "code"),
    [(-1, 0), (0, 0), (5, ErrorCode.UNKNOWN_LEADER_EPOCH)],
)
def test_leader_epochs_are_checked(client, epoch, code):
    client.create("t")
    assert client.fetch("t", current_leader_epoch=epoch).error_code == code


def test_a_stale_leader_epoch_is_fenced(broker, client):
    client.create("t")
    client.produce("t", b"a")
    broker.call(lambda: broker.broker.partitions.by_name("t", 0).begin_epoch())
    assert client.fetch("t", current_leader_epoch=0).error_code == ErrorCode.FENCED_LEADER_EPOCH


def test_sessions_are_declined(client, wire):
    """KIP-227: every answer is a full one of session 0; who names a session starts over."""
    client.create("t")
    client.send(wire.fetch_request("t", session_epoch=0), 12)
    assert client.receive().session_id == 0
    client.send(wire.fetch_request("t", session_id=7, session_epoch=1), 12)
    assert client.receive().error_code == ErrorCode.FETCH_SESSION_ID_NOT_FOUND
    client.send(wire.fetch_request("t", session_id=7, session_epoch=-1), 12)
    assert client.receive().error_code == 0


def test_read_committed_gets_a_list_of_aborted_transactions_and_the_others_none(client):
    client.create("t")
    assert client.fetch("t", isolation_level=1).aborted_transactions == []
    assert client.fetch("t", isolation_level=0).aborted_transactions is None


def test_a_long_poll_is_answered_when_records_come(broker, client, connect, wire, eventually):
    client.create("t")
    client.send(wire.fetch_request("t", max_wait_ms=600_000), 12)
    eventually(lambda: broker.call(lambda: len(broker.broker.fetches)) == 1)
    connect(broker).produce("t", b"a")
    assert wire.values_in(client.receive().responses[0].partitions[0].records) == [b"a"]


def test_a_long_poll_waits_for_its_minimum(broker, client, connect, wire, eventually):
    client.create("t", partitions=2)
    wanted = [FetchPartition(partition=p, partition_max_bytes=1 << 20) for p in range(2)]
    topics = [FetchTopic(topic="t", partitions=wanted)]
    client.send(FetchRequest(max_wait_ms=600_000, min_bytes=1500, topics=topics), 12)
    eventually(lambda: broker.call(lambda: len(broker.broker.fetches)) == 1)
    writer = connect(broker)
    writer.produce("t", bytes(1000), partition=0)
    assert broker.call(lambda: len(broker.broker.fetches)) == 1
    writer.produce("t", bytes(1000), partition=1)
    sizes = [len(p.records) for p in client.receive().responses[0].partitions]
    assert min(sizes) > 1000


def test_a_long_poll_ends_with_its_time(client):
    client.create("t")
    got = client.fetch("t", max_wait_ms=20)
    assert (got.error_code, got.records) == (0, b"")


def test_a_deleted_topic_ends_the_long_poll(broker, client, connect, wire, eventually):
    client.create("t")
    client.send(wire.fetch_request("t", max_wait_ms=600_000), 12)
    eventually(lambda: broker.call(lambda: len(broker.broker.fetches)) == 1)
    connect(broker).ask(DeleteTopicsRequest(topic_names=["t"]), 4)
    answer = client.receive().responses[0].partitions[0]
    assert answer.error_code == ErrorCode.UNKNOWN_TOPIC_OR_PARTITION


def test_a_fetch_of_nothing_is_answered_at_once(client):
    assert client.ask(FetchRequest(max_wait_ms=600_000, min_bytes=1), 12).responses == []


WAYS = {
    "as it is here": {},
    "without sendfile": {"sendfile": False},
    "a system that does not tell what is cached": {"page_cache": {"tells": False}},
    "as on macOS": {"page_cache": {"tells": False, "reads_nowait": False}},
    "no help at all": {"sendfile": False, "page_cache": {"tells": False, "reads_nowait": False}},
}


@pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop])
@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS.keys())
def test_bytes_arrive_unchanged_on_either_loop_and_every_way(
    start_broker, connect, wire, new_loop, way
):
    broker = start_broker(new_loop=new_loop, **way)
    client = connect(broker)
    client.create("t")
    sizes = (10, 8_000, 9_000, 900_000, 300_000, 10)
    sent = [bytes([number]) * size for number, size in enumerate(sizes)]
    for value in sent:
        client.produce("t", value)
    forget(broker, "t", hot=False)
    client.send(wire.fetch_request("t"), 12)
    client.send(wire.fetch_request("t", max_bytes=10), 12)
    client.send(wire.fetch_request("t", 4), 4)
    assert wire.values_in(client.receive().responses[0].partitions[0].records) == sent
    assert wire.values_in(client.receive().responses[0].partitions[0].records) == sent[:1]
    assert wire.values_in(client.receive().responses[0].partitions[0].records) == sent[4:]


def forget(broker, topic, *, hot):
    """Have the system drop a partition's file from its page cache, and us what we know of it."""

    def drop():
        partition = broker.broker.partitions.by_name(topic, 0)
        found = partition.read(0, 1)
        os.fdatasync(found.file)
        os.posix_fadvise(found.file, 0, 0, os.POSIX_FADV_DONTNEED)
        if not hot:
            partition._segments._hot_from = 1 << 60

    broker.call(drop)


def test_cold_records_are_read_on_another_thread_a_window_at_a_time(
    broker, client, wire, monkeypatch
):
    client.create("t")
    sent = [bytes([number]) * 900_000 for number in range(3)]
    for value in sent:
        client.produce("t", value)
    fetched = []
    real = PageCache.fetch

    def fetch(cache, piece, then):
        fetched.append(piece.size)
        real(cache, piece, then)

    monkeypatch.setattr(PageCache, "fetch", fetch)
    monkeypatch.setattr(PageCache, "holds", lambda *_: False)
    assert wire.values_in(client.fetch("t").records) == sent
    assert sum(fetched) > 2_700_000
    assert max(fetched) == 1 << 20


def test_a_disk_that_does_not_answer_holds_up_no_other_client(
    broker, client, connect, wire, monkeypatch
):
    client.create("t")
    client.produce("t", bytes(100_000))
    gate = threading.Event()
    real = page_cache._read_through
    monkeypatch.setattr(PageCache, "holds", lambda *_: False)
    monkeypatch.setattr(page_cache, "_read_through", lambda piece: (gate.wait(20), real(piece)))
    client.send(wire.fetch_request("t"), 12)
    assert connect(broker).ask(ApiVersionsRequest(), 0).error_code == 0
    gate.set()
    assert wire.values_in(client.receive().responses[0].partitions[0].records) == [bytes(100_000)]


def test_whoever_leaves_while_the_disk_is_waited_for_is_forgotten(
    broker, client, connect, wire, monkeypatch, eventually
):
    client.create("t")
    client.produce("t", bytes(100_000))
    gate = threading.Event()
    real = page_cache._read_through
    monkeypatch.setattr(PageCache, "holds", lambda *_: False)
    monkeypatch.setattr(page_cache, "_read_through", lambda piece: (gate.wait(20), real(piece)))
    other = connect(broker)
    client.send(wire.fetch_request("t"), 12)
    client.close()
    eventually(lambda: broker.call(lambda: len(broker.server._connections)) == 1)
    gate.set()
    assert other.ask(ApiVersionsRequest(), 0).error_code == 0


def test_a_peer_that_leaves_in_the_middle_of_an_answer_takes_nobody_along(
    broker, client, connect, wire, eventually
):
    client.create("t")
    for _ in range(20):
        client.produce("t", bytes(900_000))
    leaver = connect(broker)
    leaver.send(wire.fetch_request("t"), 12)
    assert leaver.socket.recv(1000)
    leaver.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    leaver.close()
    eventually(lambda: broker.call(lambda: len(broker.server._connections)) == 1)
    assert len(wire.values_in(client.fetch("t").records)) == 18


def test_an_answer_goes_on_after_its_topic_was_deleted(broker, client, connect, wire, eventually):
    client.create("t")
    sent = [bytes([number]) * 900_000 for number in range(15)]
    for value in sent:
        client.produce("t", value)
    path = broker.call(lambda: broker.broker.partitions.by_name("t", 0).path)
    client.send(wire.fetch_request("t"), 12)
    connect(broker).ask(DeleteTopicsRequest(topic_names=["t"]), 4)
    eventually(lambda: not path.exists())
    assert wire.values_in(client.receive().responses[0].partitions[0].records) == sent


def test_a_fetch_does_not_wait_for_more_at_the_end_of_a_segment(client, wire):
    client.create("t", segment_bytes=str(1 << 20))
    for _ in range(3):
        client.produce("t", bytes(700_000))
    got = client.fetch("t", 0, min_bytes=1 << 24, max_wait_ms=600_000)
    assert wire.values_in(got.records) == [bytes(700_000)]


def test_a_fetch_that_waits_is_answered_when_its_segment_ends(
    broker, client, connect, wire, eventually
):
    client.create("t", segment_bytes=str(1 << 20))
    client.produce("t", bytes(700_000))
    client.send(wire.fetch_request("t", min_bytes=1 << 24, max_wait_ms=600_000), 12)
    eventually(lambda: broker.call(lambda: len(broker.broker.fetches)) == 1)
    connect(broker).produce("t", bytes(700_000))
    got = client.receive().responses[0].partitions[0]
    assert wire.values_in(got.records) == [bytes(700_000)]


def test_consumers_hear_of_a_record_before_its_producer_does(
    start_broker, connect, wire, eventually, monkeypatch
):
    broker = start_broker(durability="os")
    consumer, producer = connect(broker), connect(broker)
    producer.create("t")
    consumer.send(wire.fetch_request("t", max_wait_ms=600_000), 12)
    eventually(lambda: broker.call(lambda: len(broker.broker.fetches)) == 1)
    sent = []
    real = Outbound.flush

    def flush(outbound):
        sent.append(outbound._socket.getpeername()[1])
        return real(outbound)

    monkeypatch.setattr(Outbound, "flush", flush)
    producer.produce("t", b"a")
    consumer.receive()
    ports = [each.socket.getsockname()[1] for each in (consumer, producer)]
    assert sent == ports

"""Produce: what is acknowledged when, and what is refused how."""

from __future__ import annotations

import uuid

import pytest

from mq.errors import ErrorCode
from mq.wire.batch import CONTROL, TRANSACTIONAL, Codec, Producer
from mq.wire.messages.delete_topics import DeleteTopicsRequest
from mq.wire.messages.init_producer_id import InitProducerIdRequest
from mq.wire.messages.metadata import MetadataRequest
from mq.wire.messages.produce import ProduceRequest, TopicProduceData


def close_gate(broker, client):
    """Hold up every sync from now on, with nothing of the past still under way."""
    client.create("gated")
    client.produce("gated", b"before")
    broker.files.gate.clear()


def test_acks_all_is_answered_after_the_sync_and_not_before(broker, client, connect, wire):
    close_gate(broker, client)
    client.send(wire.produce_request("gated", wire.batch(b"a")), 9)
    assert client.is_silent()
    reader = connect(broker)
    assert reader.fetch("gated", 1).high_watermark == 1
    broker.files.gate.set()
    assert client.receive().responses[0].partition_responses[0].base_offset == 1
    assert wire.values_in(reader.fetch("gated", 1, max_wait_ms=5000).records) == [b"a"]


def test_acks_1_is_answered_at_the_append_but_nobody_sees_it_before_the_sync(
    broker, client, connect, wire
):
    close_gate(broker, client)
    assert client.produce("gated", b"a", acks=1).base_offset == 1
    fetched = client.fetch("gated", 1)
    assert (fetched.error_code, fetched.high_watermark, fetched.records) == (0, 1, b"")
    broker.files.gate.set()
    assert wire.values_in(client.fetch("gated", 1, max_wait_ms=5000).records) == [b"a"]


def test_with_durability_os_nobody_waits_for_the_disk(start_broker, connect, wire):
    broker = start_broker(durability="os")
    client = connect(broker)
    client.create("t")
    broker.files.gate.clear()
    assert client.produce("t", b"a").base_offset == 0
    assert wire.values_in(client.fetch("t").records) == [b"a"]


def test_acks_0_is_never_answered(client, wire):
    client.create("t")
    client.socket.sendall(_bytes_of(client, wire.produce_request("t", wire.batch(b"a"), acks=0)))
    assert client.produce("t", b"b").base_offset == 1


def test_an_error_with_acks_0_closes_the_connection(client, wire):
    request = wire.produce_request("nowhere", wire.batch(b"a"), acks=0)
    client.socket.sendall(_bytes_of(client, request))
    assert client.is_closed()


def _bytes_of(client, request):
    sent = bytearray()

    class Recorder:
        sendall = sent.extend

    real, client.socket = client.socket, Recorder()
    client.send(request, 9)
    client.socket = real
    client._asked.pop()
    return bytes(sent)


def test_other_acks_are_refused(client):
    client.create("t")
    assert client.produce("t", b"a", acks=2).error_code == ErrorCode.INVALID_REQUIRED_ACKS
    assert client.fetch("t").high_watermark == 0


@pytest.mark.parametrize("version", [3, 5, 7, 8, 9, 10, 11, 12])
def test_every_version_by_name(client, wire, version):
    client.create("t")
    told = client.ask(wire.produce_request("t", wire.batch(b"a", b"b")), version)
    answer = told.responses[0].partition_responses[0]
    assert (answer.error_code, answer.base_offset, answer.log_append_time_ms) == (0, 0, -1)


def test_version_13_by_topic_id(client, wire):
    topic_id = client.create("t")
    told = client.ask(wire.produce_request(topic_id, wire.batch(b"a")), 13).responses[0]
    assert told.topic_id == topic_id
    assert told.partition_responses[0].error_code == 0
    told = client.ask(wire.produce_request(uuid.uuid4(), wire.batch(b"a")), 13).responses[0]
    assert told.partition_responses[0].error_code == ErrorCode.UNKNOWN_TOPIC_ID


def test_partitions_fail_one_by_one(client, wire):
    client.create("t", partitions=2)
    good = wire.produce_request("t", wire.batch(b"a"), partition=1).topic_data[0]
    bad = wire.produce_request("t", wire.batch(b"a"), partition=2).topic_data[0]
    unknown = wire.produce_request("u", wire.batch(b"a")).topic_data[0]
    response = client.ask(ProduceRequest(acks=-1, topic_data=[good, bad, unknown]), 9)
    assert [topic.partition_responses[0].error_code for topic in response.responses] == [
        ErrorCode.NONE,
        ErrorCode.UNKNOWN_TOPIC_OR_PARTITION,
        ErrorCode.UNKNOWN_TOPIC_OR_PARTITION,
    ]


def corrupted(wire):
    data = bytearray(wire.batch(b"a"))
    data[-1] ^= 1
    return bytes(data)


@pytest.mark.parametrize(
    ("make", "code"),
    [
        (corrupted, ErrorCode.CORRUPT_MESSAGE),
        (lambda wire: wire.batch(b"a")[:30], ErrorCode.INVALID_RECORD),
        (lambda wire: wire.batch(b"a")[:-1], ErrorCode.INVALID_RECORD),
        (lambda wire: wire.batch(bytes(2_000_000)), ErrorCode.MESSAGE_TOO_LARGE),
        (lambda wire: wire.batch(b"a", attributes=CONTROL), ErrorCode.INVALID_RECORD),
        (lambda wire: wire.batch(b"a") * 2, ErrorCode.INVALID_RECORD),
        (lambda wire: wire.batch(b"a", timestamp=2**62), ErrorCode.INVALID_TIMESTAMP),
        (lambda wire: None, ErrorCode.INVALID_RECORD),
        (lambda wire: b"", ErrorCode.INVALID_RECORD),
    ],
    ids=[
        "bad sum",
        "half a header",
        "cut off",
        "too large",
        "control",
        "two",
        "future",
        "null",
        "empty",
    ],
)
def test_a_bad_batch_is_refused_and_nothing_is_appended(client, wire, make, code):
    client.create("t")
    response = client.ask(wire.produce_request("t", make(wire)), 9)
    assert response.responses[0].partition_responses[0].error_code == code
    assert client.fetch("t").high_watermark == 0
    assert client.produce("t", b"good").base_offset == 0


def test_compressed_batches_come_back_as_they_were_sent(client, wire):
    client.create("t")
    sent = wire.batch(b"x" * 1000, b"y" * 1000, attributes=Codec.GZIP)
    assert client.ask(wire.produce_request("t", sent), 9).responses[0].partition_responses
    got = client.fetch("t").records
    assert got[8:12] + got[16:] == sent[8:12] + sent[16:]  # but for offset and epoch


def producer_id(client):
    response = client.ask(InitProducerIdRequest(transactional_id=None), 4)
    assert (response.error_code, response.producer_epoch) == (0, 0)
    return response.producer_id


def send(client, wire, producer, *values):
    request = wire.produce_request("t", wire.batch(*values, producer=producer))
    return client.ask(request, 9).responses[0].partition_responses[0]


def test_a_repeated_batch_is_acknowledged_and_stored_once(client, wire):
    client.create("t")
    producer = Producer(producer_id(client), 0, 0)
    assert send(client, wire, producer, b"a", b"b").base_offset == 0
    assert send(client, wire, producer._replace(base_sequence=2), b"c").base_offset == 2
    again = send(client, wire, producer, b"a", b"b")
    assert (again.error_code, again.base_offset) == (0, 0)
    assert wire.values_in(client.fetch("t").records) == [b"a", b"b", b"c"]


def test_a_repetition_waits_for_the_sync_of_its_original(broker, client, connect, wire):
    client.create("t")
    producer = Producer(producer_id(client), 0, 0)
    send(client, wire, producer, b"a")
    broker.files.gate.clear()
    request = wire.produce_request(
        "t", wire.batch(b"b", producer=producer._replace(base_sequence=1))
    )
    client.send(request, 9)
    again = connect(broker)
    again.send(request, 9)
    assert again.is_silent()
    broker.files.gate.set()
    assert again.receive().responses[0].partition_responses[0].base_offset == 1
    assert client.receive().responses[0].partition_responses[0].base_offset == 1


def test_a_gap_and_a_stale_epoch_are_refused(client, wire):
    client.create("t")
    producer = Producer(producer_id(client), 0, 0)
    send(client, wire, producer, b"a")
    gap = send(client, wire, producer._replace(base_sequence=5), b"b")
    assert gap.error_code == ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER
    assert send(client, wire, producer._replace(epoch=1), b"b").error_code == 0
    stale = send(client, wire, producer._replace(base_sequence=1), b"c")
    assert stale.error_code == ErrorCode.INVALID_PRODUCER_EPOCH


def test_a_transaction_needs_an_id(client, wire):
    client.create("t")
    marked = wire.batch(b"a", attributes=TRANSACTIONAL, producer=Producer(1, 0, 0))
    told = client.ask(wire.produce_request("t", marked), 9).responses[0].partition_responses[0]
    assert told.error_code == ErrorCode.TRANSACTIONAL_ID_AUTHORIZATION_FAILED
    assert client.fetch("t").high_watermark == 0


def test_clients_do_not_write_to_the_internal_topics(client):
    client.ask(MetadataRequest(topics=None), 9)
    from mq.wire.messages.find_coordinator import FindCoordinatorRequest

    client.ask(FindCoordinatorRequest(key="g"), 3)
    answer = client.produce("__consumer_offsets", b"a")
    assert answer.error_code == ErrorCode.INVALID_TOPIC_EXCEPTION


def test_append_time_topics_tell_the_time_of_the_append(client, wire):
    client.create("t", message_timestamp_type="LogAppendTime")
    answer = client.produce("t", b"a")
    assert answer.log_append_time_ms > 1_600_000_000_000


def test_a_failed_sync_fails_the_waiters_and_all_who_follow(broker, client, wire):
    client.create("t")
    broker.files.error = OSError(5, "Input/output error")
    assert client.produce("t", b"a").error_code == ErrorCode.KAFKA_STORAGE_ERROR
    assert client.produce("t", b"a").error_code == ErrorCode.KAFKA_STORAGE_ERROR
    assert len(broker.failures) == 1


def test_an_empty_request_is_answered(client):
    response = client.ask(ProduceRequest(acks=-1, topic_data=[TopicProduceData(name="t")]), 9)
    assert response.responses[0].partition_responses == []


def test_a_topic_deleted_during_the_sync_does_not_fail_the_others(broker, client, connect, wire):
    client.create("kept")
    close_gate(broker, client)
    kept, doomed = (
        wire.produce_request(name, wire.batch(b"a")).topic_data[0] for name in ("kept", "gated")
    )
    client.send(ProduceRequest(acks=-1, topic_data=[kept, doomed]), 9)
    assert client.is_silent()
    connect(broker).send(DeleteTopicsRequest(topic_names=["gated"]), 4)
    assert client.is_silent()
    broker.files.gate.set()
    assert [topic.partition_responses[0].error_code for topic in client.receive().responses] == [
        ErrorCode.NONE,
        ErrorCode.UNKNOWN_TOPIC_OR_PARTITION,
    ]
    assert wire.values_in(client.fetch("kept").records) == [b"a"]


def test_a_batch_may_be_as_long_as_kafka_lets_it(client, wire):
    client.create("t", max_message_bytes="30000000")
    assert client.produce("t", bytes(20_000_000)).error_code == 0
    assert len(wire.values_in(client.fetch("t", max_bytes=1 << 25).records)[0]) == 20_000_000

"""ListOffsets, OffsetForLeaderEpoch and DeleteRecords: where partitions begin and end."""

from __future__ import annotations

import pytest

from mq.errors import ErrorCode
from mq.wire.batch import BatchRecord, Codec, encode_batch
from mq.wire.messages.delete_records import (
    DeleteRecordsPartition,
    DeleteRecordsRequest,
    DeleteRecordsTopic,
)
from mq.wire.messages.list_offsets import (
    ListOffsetsPartition,
    ListOffsetsRequest,
    ListOffsetsTopic,
)
from mq.wire.messages.offset_for_leader_epoch import (
    OffsetForLeaderEpochRequest,
    OffsetForLeaderPartition,
    OffsetForLeaderTopic,
)

NOW = 1_700_000_000_000


def list_offset(client, timestamp, *, topic="t", version=7, epoch=-1):
    wanted = ListOffsetsPartition(
        partition_index=0, timestamp=timestamp, current_leader_epoch=epoch
    )
    request = ListOffsetsRequest(
        replica_id=-1, topics=[ListOffsetsTopic(name=topic, partitions=[wanted])]
    )
    return client.ask(request, version).topics[0].partitions[0]


@pytest.fixture
def filled(client, wire):
    """Four records, a second apart, the last but one a minute late."""
    client.create("t")
    for number, time in enumerate((0, 1000, 61_000, 3000)):
        request = wire.produce_request("t", wire.batch(b"%d" % number, timestamp=NOW + time))
        client.ask(request, 9)
    return client


@pytest.mark.parametrize(
    ("timestamp", "offset"),
    [(NOW, 0), (NOW + 1, 1), (NOW + 500, 1), (NOW + 1500, 2), (NOW + 2001, 5), (-3, 5)],
)
def test_the_exact_record_is_found_in_a_compressed_batch(client, wire, timestamp, offset):
    client.create("t")
    for start in (0, 1000):
        records = [BatchRecord(b"", b"", timestamp=NOW + 1000 * at + start) for at in range(3)]
        batch = encode_batch(records, attributes=Codec.LZ4)
        client.ask(wire.produce_request("t", batch), 9)
    found = list_offset(client, timestamp)
    assert (found.offset, found.error_code) == (offset, ErrorCode.NONE)
    assert list_offset(client, NOW + 3001).offset == -1


@pytest.mark.parametrize("version", range(1, 12))
def test_the_ends_in_every_version(filled, version):
    assert list_offset(filled, -1, version=version).offset == 4
    assert list_offset(filled, -2, version=version).offset == 0


@pytest.mark.parametrize(
    ("timestamp", "offset"),
    [(0, 0), (NOW, 0), (NOW + 1, 1), (NOW + 1001, 2), (NOW + 61_000, 2), (NOW + 61_001, -1)],
)
def test_the_first_record_at_or_after_a_time(filled, timestamp, offset):
    assert list_offset(filled, timestamp).offset == offset


@pytest.mark.parametrize(("special", "offset"), [(-3, 2), (-4, 0), (-5, -1), (-6, -1)])
def test_special_times(filled, special, offset):
    answer = list_offset(filled, special, version=11)
    assert (answer.error_code, answer.offset) == (0, offset)


def test_nothing_unsynced_is_told(broker, client):
    client.create("t")
    client.produce("t", b"a")
    broker.files.gate.clear()
    client.produce("t", b"b", acks=1)
    assert list_offset(client, -1).offset == 1
    assert list_offset(client, -3).offset in (0, -1)


def test_what_does_not_exist_is_told(client):
    answer = list_offset(client, -1, topic="nowhere")
    assert answer.error_code == ErrorCode.UNKNOWN_TOPIC_OR_PARTITION


def test_a_wrong_leader_epoch_is_told(filled):
    assert list_offset(filled, -1, epoch=3).error_code == ErrorCode.UNKNOWN_LEADER_EPOCH


def end_of_epoch(client, epoch):
    wanted = OffsetForLeaderPartition(partition=0, leader_epoch=epoch)
    request = OffsetForLeaderEpochRequest(
        topics=[OffsetForLeaderTopic(topic="t", partitions=[wanted])]
    )
    answer = client.ask(request, 4).topics[0].partitions[0]
    return answer.error_code, answer.leader_epoch, answer.end_offset


def test_the_end_of_an_epoch(broker, filled, wire):
    assert end_of_epoch(filled, 0) == (0, 0, 4)
    broker.call(lambda: broker.broker.partitions.by_name("t", 0).begin_epoch())
    filled.produce("t", b"in epoch 1")
    assert end_of_epoch(filled, 0) == (0, 0, 4)
    assert end_of_epoch(filled, 1) == (0, 1, 5)
    assert end_of_epoch(filled, 9) == (0, -1, -1)


def delete_before(client, offset, topic="t"):
    wanted = DeleteRecordsPartition(partition_index=0, offset=offset)
    request = DeleteRecordsRequest(
        topics=[DeleteRecordsTopic(name=topic, partitions=[wanted])], timeout_ms=1000
    )
    answer = client.ask(request, 2).topics[0].partitions[0]
    return answer.error_code, answer.low_watermark


def test_deleted_records_are_out_of_range(filled):
    assert delete_before(filled, 2) == (0, 2)
    assert list_offset(filled, -2).offset == 2
    assert filled.fetch("t", 1).error_code == ErrorCode.OFFSET_OUT_OF_RANGE
    assert delete_before(filled, -1) == (0, 4)
    assert delete_before(filled, 5) == (ErrorCode.OFFSET_OUT_OF_RANGE, -1)


def test_a_compacted_topic_deletes_no_records(client):
    client.create("t", cleanup_policy="compact")
    assert delete_before(client, 0) == (ErrorCode.POLICY_VIOLATION, -1)

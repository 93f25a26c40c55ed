"""Records of the state topics, framed as Kafka's tools read them."""

from __future__ import annotations

import struct
import uuid

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mq.errors import ErrorCode, KafkaError, PeerError
from mq.wire import state_record
from mq.wire.messages.records.group_metadata import GroupMetadataKey, GroupMetadataValue
from mq.wire.messages.records.offset_commit import OffsetCommitKey, OffsetCommitValue
from mq.wire.messages.records.partition import PartitionRecord
from mq.wire.messages.records.share_update import ShareUpdateKey, ShareUpdateValue
from mq.wire.messages.records.topic import TopicRecord
from mq.wire.messages.records.transaction_log import TransactionLogKey, TransactionLogValue

TOPIC_ID = uuid.UUID(int=7)


def test_a_commit_has_the_bytes_that_kafka_writes():
    key, value = state_record.GROUP.encode(
        OffsetCommitKey("g", "t", 2), OffsetCommitValue(5, metadata="m", commit_timestamp=9), 3
    )
    assert key == b"\0\x01" + b"\0\x01g" + b"\0\x01t" + struct.pack(">i", 2)
    assert value == b"\0\x03" + struct.pack(">qi", 5, -1) + b"\0\x01m" + struct.pack(">q", 9)


def test_a_tombstone_has_no_value():
    key, value = state_record.GROUP.encode(GroupMetadataKey("g"), None)
    assert value is None
    assert state_record.GROUP.decode(key, value) == (GroupMetadataKey("g"), None)


@pytest.mark.parametrize(
    ("topic", "key", "kind"),
    [
        (state_record.GROUP, OffsetCommitKey("g", "t", 1), OffsetCommitValue),
        (state_record.GROUP, GroupMetadataKey("g"), GroupMetadataValue),
        (state_record.TRANSACTION, TransactionLogKey("x"), TransactionLogValue),
        (state_record.SHARE, ShareUpdateKey("g", TOPIC_ID, 1), ShareUpdateValue),
    ],
)
@settings(max_examples=10, suppress_health_check=[*HealthCheck])
@given(data=st.data())
def test_coordinator_records_survive_at_every_version(topic, key, kind, a, data):
    for version in kind.VERSIONS:
        value = data.draw(a(kind, version))
        assert topic.decode(*topic.encode(key, value, version)) == (key, value)


def test_a_record_type_of_a_later_kafka_is_none():
    assert state_record.GROUP.decode(b"\x7f\xff" + b"?", b"\0\0") is None
    assert state_record.decode_metadata(b"\x01\xff\x7f\x00") is None


def test_metadata_has_the_bytes_that_kafka_writes():
    encoded = state_record.encode_metadata(TopicRecord("t", TOPIC_ID))
    assert encoded == b"\x01\x02\x00" + b"\x02t" + TOPIC_ID.bytes + b"\0"


@settings(max_examples=30, suppress_health_check=[*HealthCheck])
@given(data=st.data())
def test_metadata_survives_at_every_version(a, data):
    for version in PartitionRecord.VERSIONS:
        record = data.draw(a(PartitionRecord, version))
        encoded = state_record.encode_metadata(record, version)
        assert state_record.decode_metadata(encoded) == record


@pytest.mark.parametrize("key", [b"", b"\0", b"\0\x01", b"\0\x01\0\x05g"])
def test_a_cut_key_is_the_peers_fault(key):
    with pytest.raises(PeerError):
        state_record.GROUP.decode(key, None)


@pytest.mark.parametrize(
    "value",
    [b"", b"\x01\x02", b"\x01\xff\xff\xff\xff\xff\x01", b"\x02\x02\x00", b"\x01\x02\x00\x02t"],
    ids=["empty", "cut prefix", "long varint", "other frame", "cut record"],
)
def test_a_bad_metadata_record_is_the_peers_fault(value):
    with pytest.raises(PeerError):
        state_record.decode_metadata(value)


def test_bytes_after_a_metadata_record_are_the_peers_fault():
    encoded = state_record.encode_metadata(TopicRecord("t", TOPIC_ID))
    with pytest.raises(PeerError, match="1 bytes follow"):
        state_record.decode_metadata(encoded + b"\0")


def test_a_version_of_a_later_kafka_is_told():
    key, _ = state_record.GROUP.encode(GroupMetadataKey("g"), None)
    for call in (
        lambda: state_record.GROUP.decode(key, b"\0\x63"),
        lambda: state_record.decode_metadata(b"\x01\x02\x63"),
    ):
        with pytest.raises(KafkaError) as caught:
            call()
        assert caught.value.code is ErrorCode.UNSUPPORTED_VERSION

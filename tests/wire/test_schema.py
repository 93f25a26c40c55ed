"""What the compiled encoders and decoders promise, whatever the message."""

from __future__ import annotations

import struct
import tracemalloc
import uuid

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from mq.errors import ErrorCode, KafkaError, PeerError
from mq.wire import schema
from mq.wire.fields import layout
from mq.wire.messages import REQUESTS
from mq.wire.messages.api_versions import ApiVersion, ApiVersionsResponse, SupportedFeatureKey
from mq.wire.messages.consumer_group_heartbeat import (
    Assignment,
    ConsumerGroupHeartbeatRequest,
    ConsumerGroupHeartbeatResponse,
    TopicPartitions,
)
from mq.wire.messages.fetch import (
    FetchableTopicResponse,
    FetchRequest,
    FetchResponse,
    FetchTopic,
    LeaderIdAndEpoch,
    PartitionData,
)
from mq.wire.messages.heartbeat import HeartbeatRequest
from mq.wire.messages.join_group import JoinGroupRequest, JoinGroupRequestProtocol
from mq.wire.messages.list_groups import ListGroupsRequest
from mq.wire.messages.metadata import (
    MetadataRequest,
    MetadataRequestTopic,
    MetadataResponse,
    MetadataResponsePartition,
    MetadataResponseTopic,
)
from mq.wire.messages.offset_delete import OffsetDeleteRequest
from mq.wire.messages.produce import ProduceRequest, ProduceResponse
from mq.wire.messages.write_txn_markers import WriteTxnMarkersRequest
from mq.wire.varint import read_signed_varint, read_unsigned_varint, signed_varint, unsigned_varint

TOPIC_ID = uuid.UUID("00112233-4455-6677-8899-aabbccddeeff")


def test_every_message_with_defaults_survives_at_every_version(message_kinds):
    for kind in message_kinds:
        for version in kind.VERSIONS:
            encoded = schema.encode(kind(), version)
            assert schema.decode(kind, encoded, version) == (kind(), len(encoded)), (kind, version)


@settings(max_examples=3, suppress_health_check=[*HealthCheck])
@given(st.data())
def test_every_record_survives_at_every_version(message_kinds, a, data):
    for kind in message_kinds:
        if issubclass(kind, schema.Request | schema.Response):
            continue  # kio's test does these
        for version in kind.VERSIONS:
            message = data.draw(a(kind, version))
            encoded = schema.encode(message, version)
            assert schema.decode(kind, encoded, version) == (message, len(encoded))


def test_every_request_knows_its_response_and_both_have_the_same_versions():
    between_brokers = {4, 5, 6, 7, 52, 53, 54, 56, 58, 59, 62, 63, 67, 70, 73, *range(82, 88)}
    assert {*REQUESTS} == {*range(93)} - between_brokers
    for key, request in REQUESTS.items():
        response = request.RESPONSE
        assert request.API_KEY == response.API_KEY == key
        assert request.VERSIONS == response.VERSIONS
        assert request.FLEXIBLE == response.FLEXIBLE


# --- the bytes themselves --------------------------------------------------------------------


def test_api_versions_3_has_the_bytes_of_its_specification():
    response = ApiVersionsResponse(
        api_keys=[ApiVersion(18, 0, 4)],
        throttle_time_ms=7,
        supported_features=[SupportedFeatureKey("f", 1, 2)],
        finalized_features_epoch=9,
        zk_migration_ready=True,
    )
    assert schema.encode(response, 3) == b"".join(
        [
            b"\0\0",  # error code
            b"\x02" + struct.pack(">hhhB", 18, 0, 4, 0),  # one key, without tags
            struct.pack(">i", 7),
            b"\x03",  # three tagged fields: 0, 1 and 3
            b"\x00\x08" + b"\x02" + b"\x02f" + struct.pack(">hhB", 1, 2, 0),
            b"\x01\x08" + struct.pack(">q", 9),
            b"\x03\x01" + b"\x01",
        ]
    )


def test_a_tagged_field_at_its_default_is_not_written():
    partition = PartitionData(current_leader=LeaderIdAndEpoch(1, 2))
    plain = FetchResponse(responses=[FetchableTopicResponse("t", partitions=[PartitionData()])])
    tagged = FetchResponse(responses=[FetchableTopicResponse("t", partitions=[partition])])
    tag = b"\x01" + b"\x01\x09" + struct.pack(">iix", 1, 2)
    assert len(schema.encode(tagged, 12)) == len(schema.encode(plain, 12)) + len(tag) - 1
    assert tag in schema.encode(tagged, 12)


@pytest.mark.parametrize("version", [9, 12])
def test_null_and_empty_are_told_apart(version):
    for topics in (None, [], [MetadataRequestTopic(name="t")]):
        request = MetadataRequest(topics=topics)
        assert (
            schema.decode(MetadataRequest, schema.encode(request, version), version)[0] == request
        )


def test_a_nullable_structure_is_preceded_by_its_presence():
    absent = schema.encode(ConsumerGroupHeartbeatResponse(), 0)
    assignment = Assignment([TopicPartitions(TOPIC_ID, [1, 2])])
    present = schema.encode(ConsumerGroupHeartbeatResponse(assignment=assignment), 0)
    assert absent[-2:] == b"\xff\0"
    assert present[len(absent) - 2 :][:2] == b"\x01\x02"
    decoded, _ = schema.decode(ConsumerGroupHeartbeatResponse, present, 0)
    assert decoded.assignment == assignment


def test_records_pass_through_the_encoder_untouched():
    class Extent:
        def __len__(self):
            return 300

    extent = Extent()
    partition = PartitionData(records=extent)
    response = FetchResponse(responses=[FetchableTopicResponse("t", partitions=[partition])])
    parts = schema.encode_parts(response, 12)
    (place,) = [index for index, part in enumerate(parts) if part is extent]
    assert parts[place - 1].endswith(unsigned_varint(301))


@given(st.integers(0, 0xFFFFFFFF))
@example(127)
@example(128)
@example(16_383)
@example(16_384)
def test_varints_survive(number):
    encoded = unsigned_varint(number)
    assert read_unsigned_varint(b"x" + encoded, 1) == (number, 1 + len(encoded))


@given(st.integers(-(2**63), 2**63 - 1))
@example(-1)
@example(-64)
@example(-65)
def test_signed_varints_survive(number):
    encoded = signed_varint(number)
    assert read_signed_varint(b"x" + encoded, 1) == (number, 1 + len(encoded))


@pytest.mark.parametrize("length", [126, 127, 128, 16_382, 16_383, 16_384, 32_767, 70_000])
def test_long_values_survive_compact_and_not(length):
    protocol = JoinGroupRequestProtocol("p" * min(length, 32_767), b"m" * length)
    request = JoinGroupRequest("g" * min(length, 32_767), protocols=[protocol])
    for version in (5, 6):
        encoded = schema.encode(request, version)
        assert schema.decode(JoinGroupRequest, encoded, version)[0] == request


@pytest.mark.parametrize("length", [32_768, 70_000])
def test_a_compact_string_above_the_limit_of_kafka_is_refused(length):
    with pytest.raises(PeerError, match=f"a string of {length} bytes; the limit is 32767"):
        schema.decode(HeartbeatRequest, unsigned_varint(length + 1) + b"g" * length + bytes(9), 4)
    tagged = b"\x01\x00" + unsigned_varint(length + 3) + unsigned_varint(length + 1)
    with pytest.raises(PeerError, match=f"a string of {length} bytes"):
        schema.decode(FetchRequest, _fetch_without_tags(12) + tagged + b"c" * length, 12)


def _fetch_without_tags(version):
    encoded = schema.encode(FetchRequest(), version)
    assert encoded.endswith(b"\0")
    return encoded[:-1]


def _metadata_request(names, version):
    """A request for topics without names, as short as can be."""
    if version < 9:
        return struct.pack(">i", names) + b"\0\0" * names
    return unsigned_varint(names + 1) + b"\x01\0" * names


@pytest.mark.parametrize("version", [4, 9])
def test_a_message_of_very_many_elements_is_refused_before_it_costs_memory(version):
    data = _metadata_request(1_000_000, version) + bytes(9)
    read = schema.decoder(MetadataRequest, version)
    topics = [MetadataRequestTopic(name="") for _ in range(60_000)]
    assert read(_metadata_request(60_000, version) + bytes(9), 0)[0].topics == topics
    tracemalloc.start()
    try:
        with pytest.raises(PeerError, match="more than 100000 elements"):
            read(data, 0)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 100_000


def test_the_elements_of_nested_arrays_count_together():
    partitions = [PartitionData() for _ in range(100)]
    topics = [FetchableTopicResponse("t", partitions=partitions) for _ in range(490)]
    response = FetchResponse(responses=topics)
    for version in (11, 12):
        whole = schema.encode(response, version)
        assert schema.decode(FetchResponse, whole, version)[1] == len(whole)
        more = schema.encode(FetchResponse(responses=topics * 3), version)
        with pytest.raises(PeerError, match="more than 100000 elements"):
            schema.decode(FetchResponse, more, version)


@pytest.mark.parametrize("count", [0, 1, 2, 118, 119, 120, 121, 126, 127, 128, 255, 256, 20_000])
@pytest.mark.parametrize("version", [8, 12])
def test_arrays_of_any_size_survive(version, count):
    numbers = [*range(count)]
    partition = MetadataResponsePartition(replica_nodes=numbers, isr_nodes=numbers[:7])
    topics = [MetadataResponseTopic(name="t", partitions=[partition])]
    topics += [MetadataResponseTopic(name=str(n)) for n in numbers]
    response = MetadataResponse(topics=topics)
    encoded = schema.encode(response, version)
    assert schema.decode(MetadataResponse, encoded, version) == (response, len(encoded))


# --- what cannot be written ------------------------------------------------------------------


def test_a_field_that_the_version_lacks_must_be_at_its_default():
    request = FetchRequest(topics=[FetchTopic("t")], forgotten_topics_data=[])
    schema.encode(request, 4)
    with pytest.raises(KafkaError, match="states_filter") as caught:
        schema.encode(ListGroupsRequest(states_filter=["Stable"]), 3)
    assert caught.value.code is ErrorCode.UNSUPPORTED_VERSION


def test_an_ignorable_field_that_the_version_lacks_is_left_out():
    assert schema.encode(FetchRequest(rack_id="a"), 4) == schema.encode(FetchRequest(), 4)


@pytest.mark.parametrize(
    "message",
    [
        HeartbeatRequest(generation_id=2**31),
        HeartbeatRequest(group_id=None),
        HeartbeatRequest(group_id=b"g"),
        HeartbeatRequest(group_id="g" * 32_768),
        ConsumerGroupHeartbeatRequest(topic_partitions=[None]),
    ],
    ids=["number", "null", "type", "length", "element"],
)
def test_a_value_that_does_not_fit_is_a_value_error_that_names_the_message(message):
    with pytest.raises(ValueError, match=type(message).__name__):
        schema.encode(message, message.VERSIONS[0])


@pytest.mark.parametrize("version", [-1, 5])
def test_a_version_that_does_not_exist_is_refused_both_ways(version):
    for call in (
        lambda: schema.encode(HeartbeatRequest(), version),
        lambda: schema.decode(HeartbeatRequest, b"", version),
    ):
        with pytest.raises(KafkaError) as caught:
            call()
        assert caught.value.code is ErrorCode.UNSUPPORTED_VERSION


# --- what cannot be read ---------------------------------------------------------------------

BAD = {
    "nothing": (HeartbeatRequest, 3, b""),
    "a negative length": (HeartbeatRequest, 3, struct.pack(">h", -2)),
    "null where it must not be": (HeartbeatRequest, 3, struct.pack(">h", -1) + bytes(20)),
    "compact null where it must not be": (HeartbeatRequest, 4, bytes(20)),
    "a length past the end": (HeartbeatRequest, 3, struct.pack(">h", 32_767) + b"g" * 40),
    "a last length past the end": (
        HeartbeatRequest,
        3,
        b"\0\1g" + bytes(4) + b"\0\1m" + struct.pack(">h", 9) + b"static",
    ),
    "not UTF-8": (HeartbeatRequest, 3, b"\0\2\xff\xfe" + bytes(20)),
    "a count of 2**31 - 1": (OffsetDeleteRequest, 0, b"\0\1g\x7f\xff\xff\xff" + bytes(90)),
    "a count of 2**31 - 1 numbers": (
        WriteTxnMarkersRequest,
        1,
        b"\x02" + bytes(8) + bytes(2) + b"\1" + b"\x02\x02t" + b"\xff\xff\xff\xff\x07" + bytes(90),
    ),
    "null for an array of structures": (MetadataResponse, 12, bytes(4) + b"\0" + bytes(90)),
    "null for an array of numbers": (
        WriteTxnMarkersRequest,
        1,
        b"\x02" + bytes(8) + bytes(2) + b"\1" + b"\x02\x02t" + b"\0" + bytes(90),
    ),
    "a negative count": (OffsetDeleteRequest, 0, b"\0\1g\xff\xff\xff\xfe" + bytes(90)),
    "a compact count of 2**32 - 2": (ListGroupsRequest, 4, b"\xff\xff\xff\xff\x0f" + bytes(90)),
    "a varint of 33 bits": (ListGroupsRequest, 4, b"\xff\xff\xff\xff\x1f" + bytes(90)),
    "a varint without end": (ListGroupsRequest, 4, b"\xff" * 90),
    "more tags than bytes": (ListGroupsRequest, 4, b"\x01" + b"\xff\xff\xff\xff\x0f"),
    "an unknown tag past the end": (ListGroupsRequest, 4, b"\x01\x01\x05\x09abc"),
    "a known tag of another length": (
        ApiVersionsResponse,
        3,
        b"\0\0\1" + bytes(4) + b"\1\1\7" + bytes(20),
    ),
    "records past the end": (
        ProduceRequest,
        3,
        b"\xff\xff\xff\xff"
        + bytes(4)
        + b"\0\0\0\1\0\1t\0\0\0\1"
        + bytes(4)
        + b"\x7f\xff\xff\xff..",
    ),
}


@pytest.mark.parametrize(("kind", "version", "data"), BAD.values(), ids=BAD)
def test_bad_bytes_are_the_peers_fault_and_cost_nothing(kind, version, data):
    read = schema.decoder(kind, version)
    tracemalloc.start()
    try:
        with pytest.raises(PeerError, match=f"{kind.__name__} v{version} cannot be read"):
            read(data, 0)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 100_000


@settings(max_examples=300)
@given(st.data(), st.binary(max_size=200))
def test_garbage_is_read_or_refused_but_never_more(data, garbage):
    request = REQUESTS[data.draw(st.sampled_from([*REQUESTS]))]
    kind = data.draw(st.sampled_from([request, request.RESPONSE]))
    version = data.draw(st.sampled_from(kind.VERSIONS))
    try:
        _, end = schema.decode(kind, garbage, version)
    except PeerError:
        return
    assert end <= len(garbage)


@settings(max_examples=100, suppress_health_check=[*HealthCheck])
@given(st.data())
def test_no_part_of_a_message_reads_as_a_whole_one(a, data):
    request = REQUESTS[data.draw(st.sampled_from([*REQUESTS]))]
    version = request.VERSIONS[-1]
    encoded = schema.encode(data.draw(a(request, version)), version)
    if encoded:
        cut = data.draw(st.integers(0, len(encoded) - 1))
        with pytest.raises(PeerError):
            schema.decode(request, encoded[:cut], version)


def test_unknown_tagged_fields_are_skipped():
    known = schema.encode(ListGroupsRequest(["Stable"]), 4)
    assert known.endswith(b"\0")
    unknown = known[:-1] + b"\x02" + b"\x05\x03abc" + b"\x80\x01\x00"
    decoded, end = schema.decode(ListGroupsRequest, unknown, 4)
    assert (decoded, end) == (ListGroupsRequest(["Stable"]), len(unknown))


def test_unknown_tagged_fields_beside_known_ones_are_skipped():
    response = ApiVersionsResponse(finalized_features_epoch=9)
    encoded = schema.encode(response, 3)
    tags = b"\x01\x01\x08" + struct.pack(">q", 9)
    assert encoded.endswith(tags)
    more = encoded.removesuffix(tags) + b"\x02" + tags[1:] + b"\x0f\x03abc"
    assert schema.decode(ApiVersionsResponse, more, 3) == (response, len(more))


def test_a_message_is_read_from_the_middle_and_the_rest_is_left():
    encoded = schema.encode(ProduceResponse(throttle_time_ms=5), 9)
    decoded, end = schema.decode(ProduceResponse, b"abc" + encoded + b"xyz", 9, 3)
    assert (decoded.throttle_time_ms, end) == (5, 3 + len(encoded))


def test_a_layout_holds_each_field_once(message_kinds):
    for kind in message_kinds:
        for version in kind.VERSIONS:
            shape = layout(kind, version)
            parts = [*shape.plain, *shape.tagged, *shape.absent]
            assert sorted(parts, key=shape.members.index) == [*shape.members]
            assert not shape.tagged or version >= kind.FLEXIBLE

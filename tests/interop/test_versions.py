"""Every version of every API that the broker offers is answered, in that version's own layout.

The client here is kio, generated from Kafka's schemas by others: it writes the requests and must
be able to read each answer to its last byte. Requests are sound, so that answers carry content.
"""

from __future__ import annotations

import dataclasses
import io
import socket
import struct
import typing
import uuid
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import kio.index
import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from kio.schema.errors import ErrorCode
from kio.schema.response_header.v0.header import ResponseHeader
from kio.serial import entity_reader, entity_writer

from mq.wire.batch import BatchRecord, encode_batch

pytestmark = pytest.mark.slow

TIMEOUT_S = 20.0

# The APIs by their numbers, as in Kafka's protocol; the versions are asked of the broker.
SERVED = (
    *(0, 1, 2, 3, 8, 9, 10, 11, 12, 13, 14, 15, 16, 18, 19, 20, 22, 23, 32, 33, 37, 42, 44, 60),
    *(21, 47),
)
PRODUCE, FETCH, LIST_OFFSETS, METADATA, JOIN_GROUP, DESCRIBE_GROUPS = 0, 1, 2, 3, 11, 15
API_VERSIONS, CREATE_TOPICS, DELETE_TOPICS, CREATE_PARTITIONS = 18, 19, 20, 37

# What a client may be told when it asks for something new, or out of turn.
EXPECTED_ERRORS = {
    "ILLEGAL_GENERATION",  # committing and heartbeating without having joined
    "UNKNOWN_MEMBER_ID",
    "MEMBER_ID_REQUIRED",
    "COORDINATOR_LOAD_IN_PROGRESS",  # Kafka's first answer to InitProducerId
    "REBALANCE_IN_PROGRESS",
    "GROUP_ID_NOT_FOUND",  # deleting what is not there
    "GROUP_SUBSCRIBED_TO_TOPIC",
    "TOPIC_ALREADY_EXISTS",
    "INVALID_PARTITIONS",  # growing to what it has already
    "UNKNOWN_TOPIC_OR_PARTITION",  # deleting it twice
    "UNKNOWN_TOPIC_ID",
}


@dataclasses.dataclass(frozen=True)
class World:
    """A broker with a topic that holds records and a group that lives and has committed."""

    bootstrap: str
    topic: str
    topic_id: uuid.UUID
    group: str

    def connect(self) -> socket.socket:
        host, _, port = self.bootstrap.rpartition(":")
        return socket.create_connection((host, int(port)), timeout=TIMEOUT_S)


@pytest.fixture(scope="module")
def world(bootstrap: str) -> Iterator[World]:
    topic, group = f"versions-{uuid.uuid4().hex[:8]}", f"versions-{uuid.uuid4().hex[:8]}"
    producer = Producer({"bootstrap.servers": bootstrap})
    for number in range(100):
        producer.produce(topic, str(number), key=str(number), partition=0)
    assert producer.flush(TIMEOUT_S) == 0
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": group})
    consumer.subscribe([topic])
    while not consumer.assignment():
        consumer.poll(0.1)
    position = TopicPartition(topic, 0, 50, metadata="noted", leader_epoch=0)
    consumer.commit(offsets=[position], asynchronous=False)
    asked = World(bootstrap, topic, uuid.UUID(int=0), group)
    described = ask(asked, METADATA, 12)
    (topic_id,) = (one.topic_id for one in described.topics if one.name == topic)
    yield dataclasses.replace(asked, topic_id=topic_id)
    consumer.close()


def values(world: World, key: int, version: int) -> dict[str, Any]:
    """What to put into fields, by name; the rest are Kafka's defaults, or zeros."""
    common = {
        "acks": -1,
        "client_software_name": "kio",
        "client_software_version": "0.6",
        "committed_offset": 50,
        "committed_metadata": "noted",
        "coordinator_keys": (world.group,),
        "count": 50,
        "assignments": (),
        "forgotten_topics_data": (),
        "group_id": world.group,
        "groups_names": (f"{world.group}-none",),
        "key": world.group,
        "leader_epoch": 0,
        "min_bytes": 0,
        "name": world.topic,
        "names": (world.topic,),
        "partition_max_bytes": 1_000_000,
        "partition_indexes": (0,),
        "protocol_name": "range",
        "protocol_type": "consumer",
        "records": encode_batch([BatchRecord(b"key", b"value", timestamp=1)]),
        "replica_id": -1,
        "replication_factor": 1,
        "resource_name": world.topic,
        "resource_type": 2,
        "session_epoch": -1,
        "topic": world.topic,
        "topic_id": world.topic_id,
        "topic_names": (f"{world.topic}-none",),
        "transactional_id": None,
        "configs": (),
    }
    special: dict[int, dict[str, Any]] = {
        CREATE_TOPICS: {"name": f"{world.topic}-created-{version}", "num_partitions": 2},
        CREATE_PARTITIONS: {"assignments": None},
        DELETE_TOPICS: {"name": None, "topic_id": uuid.uuid4()},
        DESCRIBE_GROUPS: {"groups": (world.group,)},
        JOIN_GROUP: {
            "group_id": f"{world.group}-join-{version}",
            "name": "range",
            "session_timeout": timedelta(seconds=10),
        },
        LIST_OFFSETS: {"timestamp": 1},
        METADATA: {"topic_id": world.topic_id if version >= 12 else None},
    }
    return common | special.get(key, {})


def build(kind: Any, given: dict[str, Any]) -> Any:
    """An entity of kio's from the given values; lists of structures get one element."""
    hints = typing.get_type_hints(kind)
    fields = {}
    for field in dataclasses.fields(kind):
        hint = hints[field.name]
        element = next((a for a in typing.get_args(hint) if dataclasses.is_dataclass(a)), None)
        if element is None:
            inner = [a for arg in typing.get_args(hint) for a in typing.get_args(arg)]
            element = next((a for a in inner if dataclasses.is_dataclass(a)), None)
        if field.name in given:
            fields[field.name] = given[field.name]
        elif element is not None:
            fields[field.name] = (build(element, given),)
        elif is_required(field):
            fields[field.name] = zero(hint)
    return kind(**fields)


def is_required(field: dataclasses.Field[Any]) -> bool:
    missing = dataclasses.MISSING
    return field.default is missing and field.default_factory is missing


def zero(hint: Any) -> Any:
    """A value without content for a field without a default."""
    name = str(hint)
    if "Timedelta" in name:
        return timedelta(seconds=5)
    if "tuple" in name:
        return ()
    if "bytes" in name:
        return b""
    if "bool" in name:
        return False
    return "" if "str" in name else 0


def ask(world: World, key: int, version: int) -> Any:
    """Send one request with kio and have kio read the answer."""
    request = build(kio.index.load_request_schema(key, version), values(world, key, version))
    header_kind = request.__header_schema__
    header = {"request_api_key": key, "request_api_version": version, "correlation_id": 77}
    if header_kind.__version__ > 0:
        header["client_id"] = "kio"
    buffer = io.BytesIO()
    entity_writer(header_kind)(buffer, header_kind(**header))
    entity_writer(type(request))(buffer, request)
    with world.connect() as connection:
        connection.sendall(struct.pack(">i", buffer.tell()) + buffer.getvalue())
        with connection.makefile("rb") as stream:
            prefix = stream.read(4)
            assert prefix, f"the connection was closed on {type(request).__name__} v{version}"
            answer = stream.read(struct.unpack(">i", prefix)[0])
    kind = kio.index.load_response_schema(key, version)
    header_kind = ResponseHeader if key == API_VERSIONS else kind.__header_schema__
    told, start = entity_reader(header_kind)(answer, 0)
    assert told.correlation_id == 77
    entity, size = entity_reader(kind)(answer, start)
    assert start + size == len(answer), f"{len(answer) - start - size} bytes too many"
    return entity


def errors_in(entity: Any) -> set[str]:
    """The names of all error codes in an answer."""
    if isinstance(entity, ErrorCode):
        return {entity.name.upper()}
    if isinstance(entity, tuple):
        return set().union(*map(errors_in, entity))
    if dataclasses.is_dataclass(entity):
        names = (field.name for field in dataclasses.fields(entity))
        return set().union(*(errors_in(getattr(entity, name)) for name in names))
    return set()


@pytest.fixture(scope="module")
def offered(world: World) -> dict[int, range]:
    """The versions that the broker offers, by API."""
    answer = ask(world, API_VERSIONS, 3)
    return {one.api_key: range(one.min_version, one.max_version + 1) for one in answer.api_keys}


@pytest.mark.parametrize("key", SERVED)
def test_every_offered_version_is_answered_in_its_layout(
    key: int, world: World, offered: dict[int, range]
) -> None:
    for version in offered[key]:
        if key == PRODUCE and version < 3:
            continue  # offered for the sake of old librdkafka, never used: KAFKA-18659
        answer = ask(world, key, version)
        unexpected = errors_in(answer) - EXPECTED_ERRORS - {"NONE"}
        assert not unexpected, f"version {version}: {unexpected}"


def test_fetch_and_list_offsets_find_what_was_produced(world: World) -> None:
    for version in (4, 11, 12, 13, 18):
        fetched = ask(world, FETCH, version).responses[0].partitions[0]
        assert fetched.high_watermark >= 100
        assert b"99" in bytes(fetched.records)
    for version in (1, 4, 11):
        found = ask(world, LIST_OFFSETS, version).topics[0].partitions[0]
        assert found.offset == 0


def test_an_unknown_version_of_api_versions_is_answered_in_version_0(world: World) -> None:
    """franz-go opens every connection so."""
    with world.connect() as connection:
        frame = struct.pack(">hhih", 18, 90, 78, -1) + b"\x00\x00"
        connection.sendall(struct.pack(">i", len(frame)) + frame)
        with connection.makefile("rb") as stream:
            answer = stream.read(struct.unpack(">i", stream.read(4))[0])
    correlation_id, error, count, key, lowest, highest = struct.unpack_from(">ihihhh", answer)
    assert (correlation_id, error, count, key, lowest) == (78, 35, 1, 18, 0)
    assert highest == 4

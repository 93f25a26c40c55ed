"""What a broker must refuse, and with which code: the same bytes go to Apache Kafka and to us.

Each case names the code that both are to give; nothing may be appended then. Where we differ on
purpose, the case says with which code, and the table tells why:

* Records are opaque to us. Kafka opens every batch, for it may have to give records new offsets or
  times; we open one only where the topic asks for it. What lies is refused by the header alone.
* Kafka says UNKNOWN_SERVER_ERROR for what it did not expect, where a code exists that says more.
* Kafka lets pass, and repairs, a few things that no client sends. We refuse them.
"""

from __future__ import annotations

import struct
import time
import uuid
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import google_crc32c
import pytest
from confluent_kafka.admin import AdminClient, NewTopic

from mq.errors import ErrorCode
from mq.wire.batch import HEADER_BYTES, BatchRecord, Codec, encode_batch
from mq.wire.fields import Request
from mq.wire.messages.delete_records import (
    DeleteRecordsPartition,
    DeleteRecordsRequest,
    DeleteRecordsTopic,
)
from mq.wire.messages.fetch import FetchPartition, FetchRequest, FetchTopic
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
from mq.wire.messages.produce import PartitionProduceData, ProduceRequest, TopicProduceData
from tools.apache_kafka import ApacheKafka
from tools.mq_broker import MqBroker

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("kafka")]

NOW = time.time_ns() // 1_000_000
HOUR = 60 * 60 * 1000
HUGE = 2**31 - 1

Ask = Callable[[str, Request, int], Any]

TOPICS = {
    "plain": {},
    "compacted": {"cleanup.policy": "compact"},
    "recent": {"message.timestamp.before.max.ms": str(HOUR)},
    "stamped": {"message.timestamp.type": "LogAppendTime"},
    "short": {"segment.bytes": "1048576", "max.message.bytes": "2000000"},
}

# Where the fields of a batch's header lie.
FIELDS = {
    "base_offset": (0, ">q"),
    "length": (8, ">i"),
    "magic": (16, ">b"),
    "crc": (17, ">I"),
    "attributes": (21, ">h"),
    "last_offset_delta": (23, ">i"),
    "base_timestamp": (27, ">q"),
    "max_timestamp": (35, ">q"),
    "producer_id": (43, ">q"),
    "producer_epoch": (51, ">h"),
    "base_sequence": (53, ">i"),
    "count": (57, ">i"),
}


def records(*, time_ms: int = NOW, key: bytes | None = b"key") -> list[BatchRecord]:
    return [BatchRecord(key, b"value %d" % number, timestamp=time_ms) for number in range(3)]


def changed(batch: bytes, body: bytes | None = None, **fields: int) -> bytes:
    """The batch with other fields or other records, and the checksum that fits them."""
    data = bytearray(batch if body is None else batch[:HEADER_BYTES] + body)
    if body is not None:
        fields = {"length": len(data) - 12, **fields}
    for name, value in fields.items():
        place, layout = FIELDS[name]
        struct.pack_into(layout, data, place, value)
    if "crc" not in fields:
        struct.pack_into(">I", data, FIELDS["crc"][0], google_crc32c.value(bytes(data[21:])))
    return bytes(data)


def of_old_format(magic: int) -> bytes:
    """One message as it was before Kafka 0.11."""
    stamp = struct.pack(">q", NOW) if magic else b""
    summed = struct.pack(">bb", magic, 0) + stamp + struct.pack(">ii", -1, 3) + b"abc"
    return struct.pack(">qiI", 0, len(summed) + 4, zlib.crc32(summed)) + summed


GOOD = encode_batch(records())
GZIPPED = encode_batch(records(), attributes=Codec.GZIP)
LARGE = encode_batch([BatchRecord(b"key", bytes(1_100_000), timestamp=NOW)])


@dataclass(frozen=True)
class Case:
    """What is sent where, and what is said to it; `ours` only where it is another code."""

    data: bytes
    code: str
    topic: str = "plain"
    ours: str = ""


CORRUPT, INVALID = "CORRUPT_MESSAGE", "INVALID_RECORD"
TIMESTAMP, UNKNOWN = "INVALID_TIMESTAMP", "UNKNOWN_SERVER_ERROR"
UNBEGUN = "TRANSACTIONAL_ID_AUTHORIZATION_FAILED"

REFUSED = {
    # The checksum.
    "a wrong checksum": Case(changed(GOOD, crc=1), CORRUPT),
    "a flipped bit": Case(GOOD[:-1] + bytes([GOOD[-1] ^ 1]), CORRUPT),
    # Counts.
    "fewer records than offsets": Case(changed(GOOD, count=2), INVALID),
    "more records than offsets": Case(changed(GOOD, count=4), INVALID),
    "no records": Case(changed(GOOD, count=0), INVALID),
    "no records and no offsets": Case(changed(GOOD, b"", count=0, last_offset_delta=-1), INVALID),
    "minus one record": Case(changed(GOOD, count=-1), INVALID),
    "minus one offset": Case(changed(GOOD, last_offset_delta=-1), INVALID),
    "all the offsets": Case(changed(GOOD, last_offset_delta=HUGE), INVALID),
    "records that cannot be": Case(changed(GOOD, count=HUGE, last_offset_delta=HUGE - 1), INVALID),
    "offsets from 5 on": Case(changed(GOOD, base_offset=5), INVALID),
    "offsets from -1 on": Case(changed(GOOD, base_offset=-1), INVALID),
    # Formats.
    "a message of format 0": Case(of_old_format(0), INVALID),
    "a message of format 1": Case(of_old_format(1), INVALID),
    "a batch of format 1": Case(changed(GOOD, magic=1), INVALID),
    "a batch of format 3": Case(changed(GOOD, magic=3), CORRUPT),
    "a batch of format -1": Case(changed(GOOD, magic=-1), CORRUPT),
    "zeros": Case(bytes(100), CORRUPT),
    "ones": Case(b"\xff" * 100, CORRUPT),
    "text": Case(b"GET / HTTP/1.1\r\nHost: broker\r\n\r\n", CORRUPT),
    # Lengths.
    "nothing": Case(b"", INVALID),
    "a byte": Case(b"\0", INVALID),
    "half a header": Case(GOOD[:30], INVALID),
    "half of the records": Case(GOOD[:-10], INVALID),
    "a length of 0": Case(changed(GOOD, length=0), CORRUPT),
    "a length of -1": Case(changed(GOOD, length=-1), CORRUPT),
    "a length of half a header": Case(changed(GOOD, length=30), CORRUPT),
    "a length one short": Case(changed(GOOD, length=len(GOOD) - 13), CORRUPT),
    "a length one too long": Case(changed(GOOD, length=len(GOOD) - 11), INVALID),
    "two batches": Case(GOOD + GOOD, INVALID),
    "too large a batch": Case(LARGE, "MESSAGE_TOO_LARGE"),
    "a batch larger than a segment": Case(LARGE, "RECORD_LIST_TOO_LARGE", "short"),
    # Times.
    "times in two hours": Case(encode_batch(records(time_ms=NOW + 2 * HOUR)), TIMESTAMP),
    "a first time in two hours": Case(changed(GOOD, base_timestamp=NOW + 2 * HOUR), TIMESTAMP),
    "times before two hours": Case(
        encode_batch(records(time_ms=NOW - 2 * HOUR)), TIMESTAMP, "recent"
    ),
    "the first of all times": Case(encode_batch(records(time_ms=0)), TIMESTAMP, "recent"),
    "the broker's time from a client": Case(changed(GOOD, attributes=8), TIMESTAMP, "stamped"),
    # What a client may not write.
    "a control batch": Case(changed(GOOD, attributes=0x20), INVALID),
    "a control batch of a producer": Case(
        changed(GOOD, attributes=0x20, producer_id=5, producer_epoch=0, base_sequence=0), INVALID
    ),
    "a transaction that nobody began": Case(
        changed(GOOD, attributes=0x10, producer_id=5, producer_epoch=0, base_sequence=0), UNBEGUN
    ),
    "a marker of a transaction": Case(
        changed(GOOD, attributes=0x30, producer_id=5, producer_epoch=0, base_sequence=0), UNBEGUN
    ),
    "a producer without sequences": Case(
        changed(GOOD, producer_id=6, producer_epoch=0, base_sequence=-1), INVALID
    ),
    "a producer with sequence -7": Case(
        changed(GOOD, producer_id=6, producer_epoch=0, base_sequence=-7), INVALID
    ),
    "no keys in a compacted topic": Case(encode_batch(records(key=None)), INVALID, "compacted"),
    "no keys, compressed, in a compacted topic": Case(
        encode_batch(records(key=None), attributes=Codec.GZIP), INVALID, "compacted"
    ),
    "garbage in a compacted topic": Case(changed(GOOD, b"not a record"), INVALID, "compacted"),
    "wrong counts in a compacted topic": Case(
        changed(GOOD, count=5, last_offset_delta=4), INVALID, "compacted"
    ),
    # There is a better word for it.
    "codec 5": Case(changed(GOOD, attributes=5), UNKNOWN, ours="UNSUPPORTED_COMPRESSION_TYPE"),
    "codec 7": Case(changed(GOOD, attributes=7), UNKNOWN, ours="UNSUPPORTED_COMPRESSION_TYPE"),
    "a length of 2**31 - 1": Case(changed(GOOD, length=HUGE), UNKNOWN, ours=INVALID),
    "what is no gzip in a compacted topic": Case(
        changed(GOOD, attributes=Codec.GZIP), UNKNOWN, "compacted", ours=CORRUPT
    ),
    # Kafka lets this pass.
    "a batch and five bytes": Case(GOOD + b"bytes", "NONE", ours=INVALID),
    "the broker's time": Case(changed(GOOD, attributes=8), "NONE", ours=TIMESTAMP),
    "a last time that no record has": Case(
        changed(GOOD, max_timestamp=NOW + 2 * HOUR), "NONE", ours=TIMESTAMP
    ),
    "a producer without an epoch": Case(
        changed(GOOD, producer_id=7, producer_epoch=-1, base_sequence=0), "NONE", ours=INVALID
    ),
    "producer -2": Case(
        changed(GOOD, producer_id=-2, producer_epoch=0, base_sequence=0), "NONE", ours=INVALID
    ),
    # We do not look into batches.
    "as many offsets as records, but wrong": Case(
        changed(GOOD, count=5, last_offset_delta=4), INVALID, ours="NONE"
    ),
    "garbage": Case(changed(GOOD, bytes(40)), INVALID, ours="NONE"),
    "half a record": Case(changed(GOOD, GOOD[HEADER_BYTES:-4]), INVALID, ours="NONE"),
    "what is no gzip": Case(changed(GOOD, attributes=Codec.GZIP), UNKNOWN, ours="NONE"),
    # And this both take.
    "a good batch": Case(GOOD, "NONE"),
    "a compressed batch": Case(GZIPPED, "NONE"),
    "no times": Case(encode_batch(records(time_ms=-1)), "NONE"),
    "no times, where they must be recent": Case(
        encode_batch(records(time_ms=-1)), "NONE", "recent"
    ),
    "times in two hours, which nobody asks for": Case(
        encode_batch(records(time_ms=NOW + 2 * HOUR)), "NONE", "stamped"
    ),
    "a first sequence of 5": Case(
        changed(GOOD, producer_id=8, producer_epoch=0, base_sequence=5), "NONE"
    ),
}


@dataclass
class Engine:
    """A broker with the topics of the table."""

    bootstrap: str
    ask: Ask
    ids: dict[str, uuid.UUID] = field(default_factory=dict)

    def prepare(self, await_truth: Callable[..., Any]) -> None:
        admin = AdminClient({"bootstrap.servers": self.bootstrap})
        wanted = [NewTopic(name, 1, config=config) for name, config in TOPICS.items()]
        for created in admin.create_topics(wanted).values():
            created.result(30)
        for name in TOPICS:  # Kafka answers before all of it knows
            await_truth(lambda name=name: self.end(name) == (0, 0))

    def end(self, topic: str) -> tuple[int, int]:
        """The error code and the end of a topic's one partition."""
        told = self.list_offsets(topic, 0, -1)
        return told.error_code, told.offset

    def list_offsets(self, topic: str, index: int, timestamp: int) -> Any:
        partition = ListOffsetsPartition(partition_index=index, timestamp=timestamp)
        asked = [ListOffsetsTopic(name=topic, partitions=[partition])]
        return self.ask(self.bootstrap, ListOffsetsRequest(topics=asked), 7).topics[0].partitions[0]

    def produce(self, data: bytes, topic: str, *, version: int = 9, **other: Any) -> str:
        """The name of the code that one batch gets."""
        partition = PartitionProduceData(index=other.pop("index", 0), records=data)
        name: Any = {"topic_id": topic} if isinstance(topic, uuid.UUID) else {"name": topic}
        sent = [TopicProduceData(partition_data=[partition], **name)]
        request = ProduceRequest(**{"acks": -1, "timeout_ms": 5000, **other}, topic_data=sent)
        told = self.ask(self.bootstrap, request, version).responses[0].partition_responses[0]
        return ErrorCode(told.error_code).name


@pytest.fixture(scope="module")
def engines(
    kafka: ApacheKafka, ask: Ask, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Engine, Engine]]:
    """Apache Kafka and us."""

    def soon(condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 30
        while not condition():
            assert time.monotonic() < deadline

    with MqBroker.start(tmp_path_factory.mktemp("refusals"), durability="os") as broker:
        pair = Engine(kafka.bootstrap, ask), Engine(broker.bootstrap, ask)
        for engine in pair:
            engine.prepare(soon)
        yield pair


@pytest.mark.parametrize("name", REFUSED)
def test_a_batch_gets_kafkas_code_and_is_appended_or_not_at_all(
    name: str, engines: tuple[Engine, Engine]
) -> None:
    case = REFUSED[name]
    for engine, code in zip(engines, (case.code, case.ours or case.code), strict=True):
        _, before = engine.end(case.topic)
        assert engine.produce(case.data, case.topic) == code
        _, after = engine.end(case.topic)
        assert (after > before) == (code == "NONE")


NOWHERE = uuid.UUID(int=99)


def fetched(engine: Engine, offset: int = 0, *, version: int = 11, **place: Any) -> str:
    """The name of the code that a fetch of one partition gets."""
    topic, index = place.get("topic", "plain"), place.get("index", 0)
    epoch = place.get("epoch", -1)
    wanted = FetchPartition(
        partition=index, fetch_offset=offset, partition_max_bytes=1000, current_leader_epoch=epoch
    )
    name: Any = {"topic_id": topic} if isinstance(topic, uuid.UUID) else {"topic": topic}
    asked = [FetchTopic(partitions=[wanted], **name)]
    request = FetchRequest(max_wait_ms=0, min_bytes=0, max_bytes=1000, topics=asked)
    told = engine.ask(engine.bootstrap, request, version)
    return ErrorCode(told.error_code or told.responses[0].partitions[0].error_code).name


def deleted(engine: Engine, offset: int, *, topic: str = "plain", index: int = 0) -> str:
    """The name of the code that a DeleteRecords gets."""
    partition = DeleteRecordsPartition(partition_index=index, offset=offset)
    asked = [DeleteRecordsTopic(name=topic, partitions=[partition])]
    told = engine.ask(engine.bootstrap, DeleteRecordsRequest(topics=asked, timeout_ms=5000), 2)
    return ErrorCode(told.topics[0].partitions[0].error_code).name


def listed(engine: Engine, timestamp: int, *, topic: str = "plain", index: int = 0) -> str:
    """The name of the code that a ListOffsets gets."""
    return ErrorCode(engine.list_offsets(topic, index, timestamp).error_code).name


def epoch_ended(engine: Engine, epoch: int, *, topic: str = "plain", known: int = -1) -> str:
    """The name of the code that an OffsetForLeaderEpoch gets."""
    partition = OffsetForLeaderPartition(
        partition=0, leader_epoch=epoch, current_leader_epoch=known
    )
    asked = [OffsetForLeaderTopic(topic=topic, partitions=[partition])]
    request = OffsetForLeaderEpochRequest(replica_id=-1, topics=asked)
    told = engine.ask(engine.bootstrap, request, 4)
    return ErrorCode(told.topics[0].partitions[0].error_code).name


QUESTIONS: dict[str, tuple[Callable[[Engine], str], str]] = {
    "produce to a topic": (lambda e: e.produce(GOOD, "plain"), "NONE"),
    "produce to no topic": (lambda e: e.produce(GOOD, "nowhere"), "UNKNOWN_TOPIC_OR_PARTITION"),
    "produce to no partition": (
        lambda e: e.produce(GOOD, "plain", index=1),
        "UNKNOWN_TOPIC_OR_PARTITION",
    ),
    "produce to partition -1": (
        lambda e: e.produce(GOOD, "plain", index=-1),
        "UNKNOWN_TOPIC_OR_PARTITION",
    ),
    "produce to no id": (lambda e: e.produce(GOOD, NOWHERE, version=13), "UNKNOWN_TOPIC_ID"),
    "produce to an empty name": (lambda e: e.produce(GOOD, ""), "UNKNOWN_TOPIC_OR_PARTITION"),
    "produce with acks=2": (lambda e: e.produce(GOOD, "plain", acks=2), "INVALID_REQUIRED_ACKS"),
    "produce zstd before it was known": (
        lambda e: e.produce(encode_batch(records(), attributes=Codec.ZSTD), "plain", version=6),
        "UNSUPPORTED_COMPRESSION_TYPE",
    ),
    "fetch from the start": (lambda e: fetched(e), "NONE"),
    "fetch beyond the end": (lambda e: fetched(e, 1_000_000), "OFFSET_OUT_OF_RANGE"),
    "fetch from -1": (lambda e: fetched(e, -1), "OFFSET_OUT_OF_RANGE"),
    "fetch from the last of all offsets": (
        lambda e: fetched(e, 2**63 - 1),
        "OFFSET_OUT_OF_RANGE",
    ),
    "fetch from no topic": (lambda e: fetched(e, topic="nowhere"), "UNKNOWN_TOPIC_OR_PARTITION"),
    "fetch from no partition": (lambda e: fetched(e, index=9), "UNKNOWN_TOPIC_OR_PARTITION"),
    "fetch from no id": (lambda e: fetched(e, topic=NOWHERE, version=13), "UNKNOWN_TOPIC_ID"),
    "fetch in an epoch to come": (lambda e: fetched(e, epoch=100), "UNKNOWN_LEADER_EPOCH"),
    "list the offsets of no topic": (
        lambda e: listed(e, -1, topic="nowhere"),
        "UNKNOWN_TOPIC_OR_PARTITION",
    ),
    "list the offsets of no partition": (
        lambda e: listed(e, -1, index=7),
        "UNKNOWN_TOPIC_OR_PARTITION",
    ),
    "list the offset of a time to come": (lambda e: listed(e, NOW + 9 * HOUR), "NONE"),
    "delete records beyond the end": (lambda e: deleted(e, 1_000_000), "OFFSET_OUT_OF_RANGE"),
    "delete records before -5": (lambda e: deleted(e, -5), "OFFSET_OUT_OF_RANGE"),
    "delete records of no topic": (
        lambda e: deleted(e, 0, topic="nowhere"),
        "UNKNOWN_TOPIC_OR_PARTITION",
    ),
    "delete records of no partition": (
        lambda e: deleted(e, 0, index=3),
        "UNKNOWN_TOPIC_OR_PARTITION",
    ),
    "delete records of a compacted topic": (
        lambda e: deleted(e, 0, topic="compacted"),
        "POLICY_VIOLATION",
    ),
    "ask for an epoch of no topic": (
        lambda e: epoch_ended(e, 0, topic="nowhere"),
        "UNKNOWN_TOPIC_OR_PARTITION",
    ),
    "ask for an epoch in an epoch to come": (
        lambda e: epoch_ended(e, 0, known=100),
        "UNKNOWN_LEADER_EPOCH",
    ),
    "ask for an epoch to come": (lambda e: epoch_ended(e, 100), "NONE"),
}


@pytest.mark.parametrize("question", QUESTIONS)
def test_a_question_gets_kafkas_code(question: str, engines: tuple[Engine, Engine]) -> None:
    put, code = QUESTIONS[question]
    assert [put(engine) for engine in engines] == [code, code]

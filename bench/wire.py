"""Our codec against kio's, side by side in one run: `python -m bench.wire`.

kio (PyPI) reads in Rust and writes in Python. Each row is one message, or all captured frames of
one API in one direction; the two take turns, and the ratio is the median of the rounds'. Both
decoders are looked up beforehand.
"""

from __future__ import annotations

import argparse
import gzip
import io
import json
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

from kio.index import load_request_schema, load_response_schema
from kio.serial import entity_reader, entity_writer

from mq.wire import framing, schema
from mq.wire.batch import BatchRecord, encode_batch
from mq.wire.fields import Message, Response
from mq.wire.messages import REQUESTS
from mq.wire.messages.consumer_group_heartbeat import (
    ConsumerGroupHeartbeatRequest,
    ConsumerGroupHeartbeatResponse,
)
from mq.wire.messages.fetch import (
    FetchableTopicResponse,
    FetchPartition,
    FetchRequest,
    FetchResponse,
    FetchTopic,
    PartitionData,
)
from mq.wire.messages.heartbeat import HeartbeatRequest, HeartbeatResponse
from mq.wire.messages.metadata import (
    MetadataRequest,
    MetadataRequestTopic,
    MetadataResponse,
    MetadataResponseBroker,
    MetadataResponsePartition,
    MetadataResponseTopic,
)
from mq.wire.messages.offset_commit import (
    OffsetCommitRequest,
    OffsetCommitRequestPartition,
    OffsetCommitRequestTopic,
    OffsetCommitResponse,
    OffsetCommitResponsePartition,
    OffsetCommitResponseTopic,
)
from mq.wire.messages.produce import (
    PartitionProduceData,
    PartitionProduceResponse,
    ProduceRequest,
    ProduceResponse,
    TopicProduceData,
    TopicProduceResponse,
)

GOLDEN: Final = Path(__file__).parent.parent / "tests/wire/golden/kafka-4.3-wire.jsonl.gz"
HOT: Final = (0, 1, 2, 3, 8, 9, 12, 22, 68)  # what clients ask more than once in a connection
DECODE_GOAL: Final = 1.5
ENCODE_GOAL: Final = 0.2
ROUND_S: Final = 0.003
ROUNDS: Final = 25


class Case(NamedTuple):
    """Messages of one kind; encoded at their version both sides hold the same."""

    title: str
    messages: list[tuple[Message, int]]


class Row(NamedTuple):
    """Microseconds per message."""

    title: str
    ours: float
    theirs: float
    ratio: float


def table_cases() -> Iterator[Case]:
    """The messages of the table by which the codec was designed: small ones of a busy broker."""
    records = encode_batch([BatchRecord(None, bytes(950))])
    produce = ProduceRequest(None, -1, 30_000, [_produce_topic(records)])
    produced = TopicProduceResponse("orders", partition_responses=[PartitionProduceResponse(3)])
    yield Case("Produce v9, 1 KiB", [(produce, 9)])
    yield Case("Produce v9", [(ProduceResponse([produced]), 9)])
    fetch = FetchRequest(max_wait_ms=500, min_bytes=1, session_id=1, session_epoch=1)
    fetch.topics = [FetchTopic("orders", partitions=[FetchPartition(3, 0, 1000, -1, -1, 1 << 20)])]
    fetched = PartitionData(3, 0, 1001, 1001, 0, aborted_transactions=None, records=records)
    topic = FetchableTopicResponse("orders", partitions=[fetched])
    yield Case("Fetch v12", [(fetch, 12)])
    yield Case("Fetch v12, 1 KiB", [(FetchResponse(session_id=1, responses=[topic]), 12)])
    yield Case("Heartbeat v4", [(HeartbeatRequest("billing", 7, "member-0f5e3b1a"), 4)])
    yield Case("Heartbeat v4", [(HeartbeatResponse(), 4)])
    commit = OffsetCommitRequestTopic("orders", partitions=[OffsetCommitRequestPartition(3, 1000)])
    request = OffsetCommitRequest("billing", 7, "member-0f5e3b1a", topics=[commit])
    committed = OffsetCommitResponseTopic("orders", partitions=[OffsetCommitResponsePartition(3)])
    yield Case("OffsetCommit v8", [(request, 8)])
    yield Case("OffsetCommit v8", [(OffsetCommitResponse(topics=[committed]), 8)])
    yield Case("Metadata v12", [(MetadataRequest([MetadataRequestTopic(name="orders")]), 12)])
    yield Case("Metadata v12, 6 partitions", [(_metadata(), 12)])
    beat = ConsumerGroupHeartbeatRequest("billing", "member-0f5e3b1a", 7)
    yield Case("848 heartbeat v1", [(beat, 1)])
    yield Case("848 heartbeat v1", [(ConsumerGroupHeartbeatResponse(member_epoch=7), 1)])


def _produce_topic(records: bytes) -> TopicProduceData:
    return TopicProduceData("orders", partition_data=[PartitionProduceData(3, records)])


def _metadata() -> MetadataResponse:
    partitions = [
        MetadataResponsePartition(0, n, 1, 0, [1], [1], offline_replicas=[]) for n in range(6)
    ]
    topic = MetadataResponseTopic(name="orders", partitions=partitions)
    broker = MetadataResponseBroker(1, "127.0.0.1", 9092)
    return MetadataResponse(0, [broker], "0f5e3b1a0f5e3b1a0f5e3b", 1, [topic])


def golden_cases() -> Iterator[Case]:
    """All captured frames of the hot APIs, a case for each API and direction."""
    cases: dict[tuple[int, bool], Case] = {}
    with gzip.open(GOLDEN, "rt") as lines:
        for line in lines:
            frame = json.loads(line)
            key, version, is_request = frame["k"], frame["v"], frame["d"] == "q"
            if key not in HOT:
                continue
            data = bytes.fromhex(frame["x"])
            message: Message
            if is_request:
                _, message = framing.parse_request(data)
            else:
                _, message = framing.decode_response(data, REQUESTS[key], version)
            name = type(message).__name__.removesuffix("Request").removesuffix("Response")
            case = cases.setdefault((key, is_request), Case(f"{name}, captured", []))
            case.messages.append((message, version))
    for place in sorted(cases):
        yield cases[place]
    for side in (True, False):
        chosen = [case for (_, is_request), case in cases.items() if is_request is side]
        yield Case("All of these, captured", [pair for case in chosen for pair in case.messages])


def measure(case: Case) -> tuple[Row, Row]:
    """Decoding and encoding of one case."""
    is_response = isinstance(case.messages[0][0], Response)
    load = load_response_schema if is_response else load_request_schema
    ours: list[tuple[Callable[..., Any], bytes, Message, int]] = []
    theirs: list[tuple[Callable[..., Any], bytes, Callable[..., Any], Any]] = []
    for message, version in case.messages:
        kind = type(message)
        encoded = schema.encode(message, version)
        peer = load(kind.API_KEY, version)
        read, write = entity_reader(peer), entity_writer(peer)
        entity, size = read(encoded, 0)
        if size != len(encoded):
            raise AssertionError(f"kio reads another {kind.__name__} v{version}")
        ours.append((schema.decoder(kind, version), encoded, message, version))
        theirs.append((read, encoded, write, entity))

    def decode_ours() -> None:
        for read, encoded, _, _ in ours:
            read(encoded, 0)

    def decode_theirs() -> None:
        for read, encoded, _, _ in theirs:
            read(encoded, 0)

    def encode_ours() -> None:
        for _, _, message, version in ours:
            schema.encode(message, version)

    def encode_theirs() -> None:
        for _, _, write, entity in theirs:
            buffer = io.BytesIO()
            write(buffer, entity)
            buffer.getvalue()

    title = f"{case.title} {'response' if is_response else 'request'}"
    return (
        Row(title, *compare(decode_ours, decode_theirs, len(ours))),
        Row(title, *compare(encode_ours, encode_theirs, len(ours))),
    )


def compare(
    first: Callable[[], None], second: Callable[[], None], messages: int
) -> tuple[float, float, float]:
    """Median microseconds per message of two functions that take turns, and of their ratio."""
    functions = (first, second)
    loops = [max(1, int(ROUND_S / seconds(function, 1))) for function in functions]
    rounds: tuple[list[float], list[float]] = ([], [])
    for _ in range(ROUNDS):
        for function, times, count in zip(functions, rounds, loops, strict=True):
            times.append(seconds(function, count) / count / messages * 1e6)
    ratios = [ours / theirs for ours, theirs in zip(*rounds, strict=True)]
    return statistics.median(rounds[0]), statistics.median(rounds[1]), statistics.median(ratios)


def seconds(function: Callable[[], None], count: int) -> float:
    start = time.process_time()  # so that what else the machine does counts for little
    for _ in range(count):
        function()
    return time.process_time() - start


def show(title: str, rows: list[Row], goal: float) -> int:
    """Print one table; how many of its rows miss the goal."""
    print(f"\n{title} (goal: at most {goal}× kio's time)")
    print(f"{'':42}{'mq µs':>9}{'kio µs':>9}{'ratio':>8}")
    for row in rows:
        late = "" if row.ratio <= goal else "  misses the goal"
        print(f"{row.title:42}{row.ours:9.2f}{row.theirs:9.2f}{row.ratio:8.2f}{late}")
    return sum(row.ratio > goal for row in rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    arguments = parser.parse_args()
    pairs = [measure(case) for case in [*table_cases(), *golden_cases()]]
    decoded, encoded = ([pair[side] for pair in pairs] for side in (0, 1))
    missed = show("Decoding", decoded, DECODE_GOAL) + show("Encoding", encoded, ENCODE_GOAL)
    if arguments.json:
        figures = {"decode": decoded, "encode": encoded}
        arguments.json.write_text(
            json.dumps({name: [row._asdict() for row in rows] for name, rows in figures.items()})
        )
    print(f"\n{len(decoded) + len(encoded) - missed} of {len(decoded) + len(encoded)} reach it")


if __name__ == "__main__":
    main()

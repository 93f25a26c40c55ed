"""The same requests about transactions to Apache Kafka and to our broker: the same answers.

The script speaks raw frames, so that it can say what no client library would. Producer ids differ
between brokers and count from the first one that the script is given. A broker may answer
CONCURRENT_TRANSACTIONS as long as markers are on their way, so the script waits for them.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest

from mq.wire.batch import TRANSACTIONAL, BatchRecord, Producer, encode_batch
from mq.wire.fields import Request
from mq.wire.framing import FrameReader, decode_response, encode_request
from mq.wire.messages.add_offsets_to_txn import AddOffsetsToTxnRequest
from mq.wire.messages.add_partitions_to_txn import (
    AddPartitionsToTxnRequest,
    AddPartitionsToTxnTopic,
)
from mq.wire.messages.create_topics import CreatableTopic, CreateTopicsRequest
from mq.wire.messages.describe_producers import DescribeProducersRequest, TopicRequest
from mq.wire.messages.describe_transactions import DescribeTransactionsRequest
from mq.wire.messages.end_txn import EndTxnRequest
from mq.wire.messages.fetch import FetchPartition, FetchRequest, FetchTopic
from mq.wire.messages.find_coordinator import FindCoordinatorRequest
from mq.wire.messages.init_producer_id import InitProducerIdRequest
from mq.wire.messages.list_transactions import ListTransactionsRequest
from mq.wire.messages.offset_fetch import (
    OffsetFetchRequest,
    OffsetFetchRequestGroup,
    OffsetFetchRequestTopics,
)
from mq.wire.messages.produce import PartitionProduceData, ProduceRequest, TopicProduceData
from mq.wire.messages.txn_offset_commit import (
    TxnOffsetCommitRequest,
    TxnOffsetCommitRequestPartition,
    TxnOffsetCommitRequestTopic,
)
from tools.apache_kafka import ApacheKafka
from tools.mq_broker import MqBroker

pytestmark = pytest.mark.slow

TIMEOUT_S = 60.0
TOPIC = "orders"
RETRIED = {14, 15, 16}  # a coordinator that is only just beginning

Identity = tuple[int, int]


class Script:
    """Sends requests, and writes down what matters of the answers."""

    def __init__(self, bootstrap: str) -> None:
        host, port = bootstrap.rsplit(":", 1)
        self._socket = socket.create_connection((host, int(port)), TIMEOUT_S)
        self._reader = FrameReader()
        self._last_id = 0
        self._first_producer_id: int | None = None
        self.heard: list[tuple[Any, ...]] = []

    def close(self) -> None:
        self._socket.close()

    def ask(self, request: Request, version: int) -> Any:
        self._last_id += 1
        self._socket.sendall(encode_request(self._last_id, "script", request, version))
        frames: list[bytes] = []
        while not frames:
            data = self._socket.recv(1 << 20)
            assert data, f"the connection was closed after {request}"
            frames = self._reader.feed(data)
        return decode_response(frames[0], type(request), version)[1]

    def note(self, *heard: Any) -> None:
        self.heard.append(heard)

    def _relative(self, producer_id: int) -> int:
        if producer_id < 0:
            return producer_id
        if self._first_producer_id is None:
            self._first_producer_id = producer_id
        return producer_id - self._first_producer_id

    # What it asks.

    def prepare(self) -> None:
        wanted = CreatableTopic(name=TOPIC, num_partitions=2, replication_factor=1)
        assert self.ask(CreateTopicsRequest(topics=[wanted]), 7).topics[0].error_code == 0
        for key_type in (0, 1):
            self._until(
                lambda kind=key_type: self.ask(
                    FindCoordinatorRequest(key_type=kind, coordinator_keys=["any"]), 6
                ).coordinators[0]
            )
        self._until(lambda: self.ask(InitProducerIdRequest("warm", 60_000), 5))

    def _until(self, attempt: Any) -> Any:
        deadline = time.monotonic() + TIMEOUT_S
        while (answer := attempt()).error_code in RETRIED:
            assert time.monotonic() < deadline
        return answer

    def init(
        self, name: str, who: Identity = (-1, -1), *, timeout_ms: int = 60_000, v: int = 5
    ) -> Identity:
        told = self.ask(InitProducerIdRequest(name, timeout_ms, *who), v)
        self.note("init", told.error_code, self._relative(told.producer_id), told.producer_epoch)
        return told.producer_id, told.producer_epoch

    def add(self, name: str, who: Identity, *places: tuple[str, int], v: int = 3) -> None:
        topics = [AddPartitionsToTxnTopic(topic, [index]) for topic, index in places]
        told = self.ask(AddPartitionsToTxnRequest([], name, *who, topics), v)
        codes = [
            (topic.name, each.partition_index, each.partition_error_code)
            for topic in told.results_by_topic_v3_and_below
            for each in topic.results_by_partition
        ]
        self.note("add", sorted(codes))

    def produce(
        self, name: str | None, who: Identity, sequence: int, *, v: int, index: int = 0
    ) -> None:
        now = time.time_ns() // 1_000_000
        records = encode_batch(
            [BatchRecord(b"k", b"v", timestamp=now)],
            attributes=TRANSACTIONAL,
            producer=Producer(*who, sequence),
        )
        topic = TopicProduceData(
            name=TOPIC, partition_data=[PartitionProduceData(index=index, records=records)]
        )
        told = self.ask(ProduceRequest(name, -1, 10_000, [topic]), v)
        answer = told.responses[0].partition_responses[0]
        self.note("produce", answer.error_code, answer.base_offset)

    def end(self, name: str, who: Identity, *, commit: bool, v: int) -> Identity:
        told = self.ask(EndTxnRequest(name, *who, commit), v)
        self.note("end", told.error_code, self._relative(told.producer_id), told.producer_epoch)
        self.settle(name)
        return (told.producer_id, told.producer_epoch) if v >= 5 else who

    def settle(self, name: str) -> None:
        """Wait until markers are written, and tell where that leads."""
        deadline = time.monotonic() + TIMEOUT_S
        while True:
            [state] = self.ask(DescribeTransactionsRequest([name]), 0).transaction_states
            if not state.transaction_state.startswith("Prepare"):
                break
            assert time.monotonic() < deadline
        self.note(
            "state",
            state.error_code,
            state.transaction_state,
            self._relative(state.producer_id),
            state.producer_epoch,
            [(topic.topic, topic.partitions) for topic in state.topics],
        )

    def add_offsets(self, name: str, who: Identity, *, v: int = 3) -> None:
        self.note("add offsets", self.ask(AddOffsetsToTxnRequest(name, *who, "g"), v).error_code)

    def commit_offset(
        self,
        name: str,
        who: Identity,
        offset: int,
        *,
        v: int,
        generation: int = -1,
        member: str = "",
    ) -> None:
        each = TxnOffsetCommitRequestPartition(partition_index=0, committed_offset=offset)
        told = self.ask(
            TxnOffsetCommitRequest(
                name, "g", *who, generation, member,
                topics=[TxnOffsetCommitRequestTopic(TOPIC, [each])],
            ),
            v,
        )  # fmt: skip
        self.note("commit offset", told.topics[0].partitions[0].error_code)

    def offset(self, *, stable: bool) -> None:
        topics = [OffsetFetchRequestTopics(name=TOPIC, partition_indexes=[0])]
        request = OffsetFetchRequest(
            groups=[OffsetFetchRequestGroup("g", topics=topics)], require_stable=stable
        )
        [each] = self.ask(request, 8).groups[0].topics[0].partitions
        self.note("offset", stable, each.error_code, each.committed_offset)

    def ends(self, index: int = 0) -> None:
        """The high watermark, the last stable offset, and what was aborted."""
        wanted = FetchPartition(partition=index, fetch_offset=0, partition_max_bytes=1 << 20)
        told = self.ask(
            FetchRequest(topics=[FetchTopic(topic=TOPIC, partitions=[wanted])], isolation_level=1,
                         max_wait_ms=0, min_bytes=0, max_bytes=1 << 20),
            12,
        )  # fmt: skip
        each = told.responses[0].partitions[0]
        aborted = [
            (self._relative(one.producer_id), one.first_offset) for one in each.aborted_transactions
        ]
        self.note("ends", each.error_code, each.high_watermark, each.last_stable_offset, aborted)

    def producers(self) -> None:
        wanted = DescribeProducersRequest([TopicRequest(TOPIC, [0])])
        [each] = self.ask(wanted, 0).topics[0].partitions
        self.note(
            "producers",
            sorted(
                (
                    self._relative(one.producer_id),
                    one.producer_epoch,
                    one.last_sequence,
                    one.current_txn_start_offset,
                )
                for one in each.active_producers
            ),
        )

    def listed(self, **filters: Any) -> None:
        told = self.ask(ListTransactionsRequest(**filters), 2)
        states = [
            (each.transactional_id, each.transaction_state) for each in told.transaction_states
        ]
        self.note("listed", told.error_code, told.unknown_state_filters, sorted(states))


def beginning(script: Script) -> None:
    """Identities, and who may not have one."""
    first = script.init("a")
    second = script.init("a")
    script.init("a", timeout_ms=0)
    script.init("a", timeout_ms=2**31 - 1)
    script.init("")
    script.init("a", (second[0], -1))
    script.init("a", first)
    script.init("a", first, v=3)
    script.init("a", (second[0] + 1_000, 0))
    third = script.init("a", second)
    script.init("a", second)  # an answer was lost
    script.init("new", third)
    script.add("unknown", third, (TOPIC, 0))
    script.add("a", (third[0] + 1_000, 0), (TOPIC, 0))
    script.add("a", first, (TOPIC, 0))
    script.add("a", first, (TOPIC, 0), v=1)
    script.add("a", third, (TOPIC, 0), ("missing", 0))
    script.settle("a")


def older(script: Script) -> None:
    """The protocol with explicit registration."""
    who = script.init("old")
    script.produce("old", who, 0, v=10)
    script.produce("old", who, 0, v=11)
    script.produce(None, who, 0, v=10)
    for commit in (True, False):
        script.end("old", who, commit=commit, v=3)
    script.add("old", who, (TOPIC, 0))
    script.settle("old")
    script.produce("old", who, 0, v=10)
    script.produce("old", who, 0, v=10)
    script.produce("old", who, 1, v=10, index=1)
    script.ends()
    script.producers()
    script.commit_offset("old", who, 5, v=3)
    script.add_offsets("old", who)
    script.commit_offset("old", who, 5, v=3)
    script.commit_offset("old", who, 5, v=3, generation=7, member="nobody")
    script.offset(stable=True)
    script.offset(stable=False)
    script.end("old", who, commit=True, v=3)
    script.end("old", who, commit=True, v=3)
    script.end("old", who, commit=False, v=3)
    script.offset(stable=True)
    script.ends()
    script.add("old", who, (TOPIC, 0))
    script.produce("old", who, 1, v=10)
    script.end("old", who, commit=False, v=3)
    script.ends()
    script.producers()


def newer(script: Script) -> None:
    """The protocol in which every end raises the epoch."""
    who = script.init("tx2")
    script.end("tx2", who, commit=True, v=5)
    script.produce("tx2", who, 0, v=12)
    script.settle("tx2")
    bumped = script.end("tx2", who, commit=True, v=5)
    script.end("tx2", who, commit=True, v=5)
    script.end("tx2", who, commit=False, v=5)
    script.produce("tx2", who, 1, v=12)
    script.produce("tx2", bumped, 1, v=12)
    script.produce("tx2", bumped, 0, v=12)
    script.commit_offset("tx2", bumped, 9, v=5)
    script.offset(stable=True)
    after = script.end("tx2", bumped, commit=False, v=5)
    script.offset(stable=True)
    script.ends()
    empty = script.end("tx2", after, commit=False, v=5)
    script.end("tx2", empty, commit=True, v=5)
    script.producers()


def fencing(script: Script) -> None:
    """A second instance, while the first has something open."""
    who = script.init("fence")
    script.produce("fence", who, 0, v=12)
    script.init("fence")
    script.settle("fence")
    script.produce("fence", who, 1, v=12)
    script.produce("fence", who, 1, v=10)
    script.end("fence", who, commit=True, v=5)
    script.end("fence", who, commit=True, v=3)
    script.end("fence", who, commit=True, v=1)
    script.init("fence")
    script.ends()


def questions(script: Script) -> None:
    """What an administrator asks."""
    script.settle("nothing")
    script.settle("")
    script.listed(transactional_id_pattern="old|tx.")
    script.listed(state_filters=["CompleteCommit", "Nonsense"])
    script.listed(state_filters=["Nonsense"])
    script.listed(transactional_id_pattern="(")
    script.listed(duration_filter=10_000_000, transactional_id_pattern="old")


SCENES = (beginning, older, newer, fencing, questions)


def play(bootstrap: str) -> list[tuple[str, tuple[Any, ...]]]:
    script = Script(bootstrap)
    heard: list[tuple[str, tuple[Any, ...]]] = []
    try:
        script.prepare()
        for scene in SCENES:
            script.heard.clear()
            scene(script)
            heard += [(scene.__name__, each) for each in script.heard]
    finally:
        script.close()
    return heard


@pytest.fixture(scope="module")
def kafka() -> Iterator[str]:
    with ApacheKafka.start() as broker:
        yield broker.bootstrap


def test_transactions_are_answered_as_kafka_answers(kafka: str) -> None:
    expected = play(kafka)
    with MqBroker.start() as broker:
        answers = play(broker.bootstrap)
    assert len(expected) > 60
    different = [pair for pair in zip(expected, answers, strict=True) if pair[0] != pair[1]]
    assert different == []

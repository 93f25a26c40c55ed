"""An owner for the transaction coordinator: logs in memory, of which only what was synced survives
a crash for certain, and a check of every answer.

It performs effects as a broker does, and demands of every step what the agreement of
``mq.coordinators.effects`` promises: no token is answered twice, no answer comes before what it
tells of is synced, and every answer can be encoded at the version that was asked.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from mq.coordinators.admission import Admission
from mq.coordinators.effects import Effects, Now, RequestContext
from mq.coordinators.transaction import Identity
from mq.coordinators.transaction_config import TransactionConfig
from mq.coordinators.transactions import TransactionCoordinator
from mq.record import TopicPartition
from mq.wire import schema
from mq.wire.messages.add_partitions_to_txn import (
    AddPartitionsToTxnRequest,
    AddPartitionsToTxnTopic,
)
from mq.wire.messages.describe_transactions import DescribeTransactionsRequest
from mq.wire.messages.end_txn import EndTxnRequest
from mq.wire.messages.init_producer_id import InitProducerIdRequest

EPOCH_MS = 1_700_000_000_000
MINUTE_MS = 60_000
ORDERS = [TopicPartition("orders", index) for index in range(3)]
OFFSETS = TopicPartition("__consumer_offsets", 0)


@dataclass
class Log:
    """One partition: what was written, and how much of it survives whatever comes."""

    entries: list[Any] = field(default_factory=list)
    synced: int = 0


class OneTopic:
    """A topic ``orders`` of three partitions."""

    def has_partition(self, name: str, partition: int) -> bool:
        return name == "orders" and partition < 3


class Owner:
    """What a broker is to the transaction coordinator; nothing is synced unless told so."""

    def __init__(self, logs: dict[TopicPartition, Log] | None = None) -> None:
        self.state = TopicPartition("__transaction_state", 0)
        self.logs = logs or {place: Log() for place in (self.state, *ORDERS, OFFSETS)}
        self.now = Now(1_000, EPOCH_MS)
        self.next_id = 0
        self.config = TransactionConfig(state_topic_partitions=1)
        self.unsynced: list[tuple[Effects, dict[TopicPartition, int]]] = []
        self.asked: dict[int, tuple[Any, int]] = {}
        self.answers: dict[int, Any] = {}
        self.tokens = itertools.count()
        self.full: set[TopicPartition] = set()
        self._begin()

    def _begin(self) -> None:
        self.coordinator = TransactionCoordinator(
            self.config, OneTopic(), self.take_id, lambda _: OFFSETS
        )
        for key, value in self.logs[self.state].entries:
            assert self.coordinator.apply(0, key, value) is None
        self.next_id = max(self.next_id, self.coordinator.highest_producer_id + 1)
        self.perform(self.coordinator.loaded(self.now))

    def take_id(self) -> int:
        self.next_id += 1
        return self.next_id - 1

    # Requests.

    def send(self, request: Any, version: int = 0) -> int:
        token = next(self.tokens)
        self.asked[token] = request, version
        context = RequestContext("client", "/127.0.0.1", version)
        self.perform(self.coordinator.handle(request, context, token, self.now))
        return token

    def ask(self, request: Any, version: int = 0) -> Any:
        """The answer of a request, after all syncs."""
        token = self.send(request, version)
        self.sync()
        return self.answers.pop(token)

    def perform(self, steps: list[Effects]) -> None:
        for effects in steps:
            touched = {self.state, *(effects.ending.partitions if effects.ending else ())}
            if self.full & touched and (effects.append or effects.ending):
                self._reply(effects.otherwise)
                self.perform(self.coordinator.refused(effects, self.now))
                continue
            for each in effects.append:
                self.logs[self.state].entries.append(each)
                assert self.coordinator.apply(0, *each) is None
            if effects.ending is not None:
                for place in effects.ending.partitions:
                    self.logs[place].entries.append(effects.ending)
            if effects.replies or effects.then is not None:
                ends = {place: len(self.logs[place].entries) for place in touched}
                self.unsynced.append((effects, ends))

    def sync(self) -> None:
        """Let everything become durable, and what follows from it, until nothing does."""
        while self.unsynced:
            self.sync_once()

    def sync_once(self) -> None:
        steps, self.unsynced = self.unsynced, []
        for log in self.logs.values():
            log.synced = len(log.entries)
        for effects, ends in steps:
            assert all(self.logs[place].synced >= end for place, end in ends.items())
            self._reply(effects.replies)
            if effects.then is not None:
                self.perform(self.coordinator.stored(effects.then, self.now))

    def _reply(self, replies: Any) -> None:
        for token, response in replies:
            request, version = self.asked.pop(token)  # a second answer would find nothing
            if not isinstance(request, Admission):
                data = schema.encode(response, version)
                response = schema.decode(request.RESPONSE, data, version)[0]
            self.answers[token] = response

    # Time and its end.

    def advance(self, milliseconds: int) -> None:
        until_ms = self.now.monotonic_ms + milliseconds
        while (due_ms := self.coordinator.deadline()) is not None and due_ms <= until_ms:
            self._move(max(due_ms - self.now.monotonic_ms, 0))
            self.perform(self.coordinator.tick(self.now))
            self.sync()
        self._move(until_ms - self.now.monotonic_ms)

    def _move(self, milliseconds: int) -> None:
        self.now = Now(self.now.monotonic_ms + milliseconds, self.now.wall_ms + milliseconds)

    def crash(self, lost: Callable[[int], int] = lambda count: count) -> None:
        """``lost`` says how many of the entries that were not synced are gone."""
        for log in self.logs.values():
            unsynced = len(log.entries) - log.synced
            del log.entries[len(log.entries) - lost(unsynced) :]
            log.synced = len(log.entries)
        self.unsynced, self.asked = [], {}
        self._begin()

    # What nearly every test asks.

    def init(self, name: str = "tx", *, known: Identity | None = None, version: int = 5) -> Any:
        known = known or Identity(-1, -1)
        return self.ask(InitProducerIdRequest(name, MINUTE_MS, *known), version)

    def identity(self, name: str = "tx") -> Identity:
        answer = self.init(name)
        assert answer.error_code == 0
        return Identity(answer.producer_id, answer.producer_epoch)

    def add(
        self, who: Identity, *places: TopicPartition, name: str = "tx", version: int = 3
    ) -> int:
        topics = [AddPartitionsToTxnTopic(topic, [index]) for topic, index in places or ORDERS[:1]]
        answer = self.ask(AddPartitionsToTxnRequest([], name, *who, topics), version)
        codes = {
            each.partition_error_code
            for topic in answer.results_by_topic_v3_and_below
            for each in topic.results_by_partition
        }
        assert len(codes) == 1
        return int(codes.pop())

    def admit(
        self, who: Identity, *places: TopicPartition, name: str = "tx", add: bool = True
    ) -> set[int]:
        wanted = frozenset(places or ORDERS[:1])
        return set(self.ask(Admission(name, who, wanted, add)).values())

    def end(self, who: Identity, *, commit: bool, name: str = "tx", version: int = 5) -> Any:
        return self.ask(EndTxnRequest(name, *who, commit), version)

    def status(self, name: str = "tx") -> str:
        [state] = self.ask(DescribeTransactionsRequest([name])).transaction_states
        return str(state.transaction_state)

    def markers(self, place: TopicPartition = ORDERS[0]) -> list[tuple[int, int, bool]]:
        return [each[:3] for each in self.logs[place].entries]

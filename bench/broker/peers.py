"""Engines to measure: our broker and Apache Kafka, as processes, each in one setting.

A run starts an engine when a measurement first asks for it and shares it with the later ones, for
Kafka is to be warm. Which clients are used against them is none of this module's business.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from bench.broker.process import cpu_seconds
from bench.broker.profile import profiled
from bench.broker.results import Comparison, Goal, compare
from bench.broker.topics import create_topic, delete_topic
from bench.broker.warming import warm_up
from tools.apache_kafka import ApacheKafka
from tools.mq_broker import MqBroker

SYNCED = {"flush.messages": "1"}

Node: TypeAlias = MqBroker | ApacheKafka
Durability: TypeAlias = Literal["os", "sync"]


@dataclass(slots=True)
class Peer:
    """One engine in one setting, and what was measured of it, by the name of the figure."""

    name: str
    node: Node
    topic_config: Mapping[str, str] = field(default_factory=dict)
    figures: dict[str, list[float]] = field(default_factory=dict)

    @property
    def bootstrap(self) -> str:
        """Its address."""
        return self.node.bootstrap

    def note(self, figure: str, value: float) -> None:
        """Keep a value that was measured."""
        self.figures.setdefault(figure, []).append(value)

    def create_topic(self, partitions: int, name: str = "") -> str:
        """Make a topic in the peer's setting, and wait until it can be used; returns its name."""
        name = name or f"bench-{uuid.uuid4().hex[:12]}"
        create_topic(self.bootstrap, name, partitions, self.topic_config)
        return name

    def delete_topic(self, name: str) -> None:
        """Remove a topic."""
        delete_topic(self.bootstrap, name)

    @contextmanager
    def topic(self, partitions: int) -> Iterator[str]:
        """A topic for a while."""
        name = self.create_topic(partitions)
        yield name
        self.delete_topic(name)

    @contextmanager
    def cpu(self) -> Iterator[Callable[[], float]]:
        """The broker's CPU seconds since here."""
        before = cpu_seconds(self.node.pid)
        yield lambda: cpu_seconds(self.node.pid) - before


class Run:
    """How much to measure, and the engines that were started for it.

    Attributes:
        quick: whether it is only to be seen that everything works.
        profile: whether to sample our brokers meanwhile.
        rounds: how often each measurement is made.
        window_s: how long throughput is looked at.
    """

    def __init__(self, *, quick: bool, profile: bool = False) -> None:
        self.quick = quick
        self.profile = profile
        self.rounds = 1 if quick else 5
        self.window_s = 0.3 if quick else 3.0
        self._stack = ExitStack()
        self._ours: dict[Durability, MqBroker] = {}
        self._kafka: ApacheKafka | None = None

    def __enter__(self) -> Run:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def amount(self, full: int, quick: int) -> int:
        """One of the two."""
        return quick if self.quick else full

    def ours(self, durability: Durability) -> Peer:
        """Our broker, with nothing noted yet."""
        if durability not in self._ours:
            broker = MqBroker.start(durability=durability)
            self._ours[durability] = self._stack.enter_context(broker)
            if self.profile:
                name = f'mq, durability "{durability}"'
                self._stack.enter_context(profiled(broker.pid, name))
        return Peer(f'mq, durability "{durability}"', self._ours[durability])

    def kafka(self, durability: Durability) -> Peer:
        """Apache Kafka, with nothing noted yet; one node serves both settings."""
        if self._kafka is None:
            self._kafka = self._stack.enter_context(ApacheKafka.start(heap="1g"))
            warm_up(self._kafka.bootstrap, self.amount(15, 3))
        if durability == "os":
            return Peer("Apache Kafka", self._kafka)
        return Peer("Apache Kafka, flush.messages=1", self._kafka, SYNCED)

    def pair(self, durability: Durability) -> Pair:
        """Ours and Kafka with the same promise."""
        return Pair(self.ours(durability), self.kafka(durability))

    def in_turns(
        self, peers: Sequence[Peer], work: Callable[[Peer], None], *, warm_up: bool = True
    ) -> None:
        """All rounds, the peers one after the other in each, after a round that does not count."""
        if warm_up and not self.quick:
            for peer in peers:
                work(peer)
                peer.figures.clear()
        for number in range(self.rounds):
            for peer in peers if number % 2 == 0 else reversed(peers):
                work(peer)


@dataclass(frozen=True, slots=True)
class Pair:
    """Two sides of a comparison."""

    ours: Peer
    theirs: Peer

    def __iter__(self) -> Iterator[Peer]:
        return iter((self.ours, self.theirs))

    def compared(self, title: str, goals: dict[str, list[Goal]]) -> Comparison:
        """What was noted of both."""
        ours, theirs = ((peer.name, peer.figures) for peer in self)
        return compare(title, ours, theirs, goals)

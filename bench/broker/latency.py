"""How long one record takes from producer to consumer, when nothing else is going on."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing, contextmanager

from confluent_kafka import Consumer, Producer, TopicPartition

from bench.broker.peers import Durability, Peer, Run
from bench.broker.results import Comparison, Goal, Section, percentile

TIMEOUT_S = 30.0
RECORD = bytes(100)
WARM_UP = 200
ABOUT = """confluent-kafka's producer and consumer in one process, `acks=all`, `linger.ms=0`,
one partition, records of 100 B: the next one is produced when the consumer has the one before."""

TITLES = {"os": "neither syncs", "sync": "both sync"}
LIMITS = {"os": (0.6, 0.6), "sync": (0.6, 0.7)}


def measure(run: Run) -> Section:
    """Both pairs."""
    parts = [_one_pair(run, "os"), _one_pair(run, "sync")]
    return Section("latency", "From producer to consumer, one record at a time", ABOUT, [*parts])


def _one_pair(run: Run, durability: Durability) -> Comparison:
    pair, title = run.pair(durability), TITLES[durability]
    count = run.amount(3_000, 500)

    def work(peer: Peer) -> None:
        with peer.topic(1) as topic:
            times = _round_trips(peer.bootstrap, topic, count)
        peer.note(f"p50, {title}, ms", 1e3 * percentile(times, 50))
        peer.note(f"p99, {title}, ms", 1e3 * percentile(times, 99))

    run.in_turns([*pair], work)
    median, tail = LIMITS[durability]
    goals = {
        f"p50, {title}, ms": [Goal(median, "at most")],
        f"p99, {title}, ms": [Goal(tail, "at most")],
    }
    return pair.compared(title, goals)


def _round_trips(bootstrap: str, topic: str, count: int) -> list[float]:
    """The seconds of each of `count` records."""
    producer = Producer({"bootstrap.servers": bootstrap, "acks": "all", "linger.ms": 0})
    with _consumer(bootstrap, topic) as consumer:
        times = []
        for _ in range(WARM_UP + count):
            started = time.perf_counter()
            producer.produce(topic, RECORD, partition=0)
            message = consumer.poll(TIMEOUT_S)
            times.append(time.perf_counter() - started)
            assert message is not None
            assert message.error() is None
            producer.poll(0)
        assert producer.flush(TIMEOUT_S) == 0
    return times[WARM_UP:]


@contextmanager
def _consumer(bootstrap: str, topic: str) -> Iterator[Consumer]:
    settings: dict[str, str | int | float | bool] = {
        "bootstrap.servers": bootstrap,
        "group.id": "bench",
        "enable.auto.commit": False,
    }
    with closing(Consumer(settings)) as consumer:
        consumer.assign([TopicPartition(topic, 0, 0)])
        yield consumer

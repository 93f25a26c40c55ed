"""A new broker: how long until it acknowledges, and what it weighs when nobody asks anything."""

from __future__ import annotations

import time

from confluent_kafka import KafkaError, Message, Producer

from bench.broker.peers import Peer, Run
from bench.broker.process import memory
from bench.broker.results import Goal, Section, compare
from tools.apache_kafka import ApacheKafka
from tools.mq_broker import MqBroker

IDLE_S = 1.0
TIMEOUT_S = 60.0
START = "cold start to first ack, s"
PROPORTIONAL = "idle memory (PSS), MiB"
RESIDENT = "idle memory (RSS), MiB"
ABOUT = """From starting the process on an empty directory (Kafka's formatted beforehand) to the
acknowledgement of one record to a new topic; then the memory a second later. Kafka's heap is
512 MiB."""


def measure(run: Run) -> Section:
    """Each start on a directory of its own."""
    ours: dict[str, list[float]] = {}
    theirs: dict[str, list[float]] = {}
    for _ in range(run.rounds):
        with MqBroker() as broker:
            _start(Peer("mq", broker, figures=ours))
        kafka = ApacheKafka()
        with kafka:
            kafka.prepare()
            _start(Peer("Apache Kafka", kafka, figures=theirs))
    goals = {
        START: [Goal(0.1, "at most"), Goal(0.5, "at most", "value")],
        PROPORTIONAL: [Goal(0.2, "at most"), Goal(60, "at most", "value")],
        RESIDENT: [Goal(0.2, "at most"), Goal(60, "at most", "value")],
    }
    compared = compare(
        "Start and rest", ('mq, durability "sync"', ours), ("Apache Kafka", theirs), goals
    )
    return Section("starts", "Cold start and idle memory", ABOUT, [compared])


def _start(peer: Peer) -> None:
    started = time.perf_counter()
    peer.node.restart()
    _first_acknowledgement(peer.bootstrap)
    peer.note(START, time.perf_counter() - started)
    time.sleep(IDLE_S)
    found = memory(peer.node.pid)
    peer.note(PROPORTIONAL, found.proportional)
    peer.note(RESIDENT, found.resident)


def _first_acknowledgement(bootstrap: str) -> None:
    outcome: list[KafkaError | None] = []

    def delivered(error: KafkaError | None, _: Message) -> None:
        outcome.append(error)

    producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 0})
    producer.produce("cold-start", b"first", on_delivery=delivered)
    assert producer.flush(TIMEOUT_S) == 0
    assert outcome == [None]

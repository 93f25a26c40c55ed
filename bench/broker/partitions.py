"""One to five thousand partitions: creating, writing, memory, restarting."""

from __future__ import annotations

import statistics
import time

from bench.broker.librdkafka import FastProducer, Load
from bench.broker.peers import Peer, Run
from bench.broker.process import memory
from bench.broker.restart import wait_until_it_serves
from bench.broker.results import Growth, Section
from tools.mq_broker import MqBroker

STEPS = (1, 10, 100, 1_000, 5_000)
QUICK_STEPS = (1, 100)
FEW = 1_000  # fewer partitions than this are measured three times
RECORD_SIZE = 1024
BATCH_RECORDS = 16
BACKLOG = 64_000
MIB = 2**20
ABOUT = """Our broker with durability "sync", a new one for each step and round (medians of
three; from 1,000 partitions on a single one): one topic is created and written evenly through
librdkafka, in batches of 16 records of 1 KiB; then the memory (PSS); then kill -9 and the time
until it serves again (see the restart above), and a stop in order and the same."""

CREATED = "creating the topic, s"
WRITTEN = "written evenly, MiB/s"
HELD = "memory, MiB"
KILLED = "after kill -9, until it serves"
STOPPING = "a stop in order"
STOPPED = "after that, until it serves"


def measure(run: Run) -> Section:
    """All steps."""
    steps = QUICK_STEPS if run.quick else STEPS
    found: dict[str, list[float]] = {}
    for step in steps:
        rounds = run.amount(3 if step < FEW else 1, 1)
        peer = _measure_step(step, rounds=rounds, seconds=run.window_s)
        for name, values in peer.figures.items():
            found.setdefault(name, []).append(statistics.median(values))
    over = [float(step) for step in steps]
    restarts = {name: found[name] for name in (KILLED, STOPPING, STOPPED)}
    parts = [
        Growth("Creating the topic", "partitions", over, {"mq": found[CREATED]}, "s"),
        Growth("Written evenly", "partitions", over, {"mq": found[WRITTEN]}, "MiB/s"),
        Growth("Memory", "partitions", over, {"mq": found[HELD]}, "MiB"),
        Growth("Stop and restart", "partitions", over, restarts, "s"),
    ]
    return Section("partitions", "Growth: partitions", ABOUT, [*parts])


def _measure_step(partitions: int, *, rounds: int, seconds: float) -> Peer:
    figures: dict[str, list[float]] = {}
    for _ in range(rounds):
        with MqBroker.start() as broker:
            peer = Peer("mq", broker, figures=figures)
            started = time.perf_counter()
            topic = peer.create_topic(partitions)
            peer.note(CREATED, time.perf_counter() - started)
            peer.note(WRITTEN, _write(peer, topic, partitions, seconds))
            peer.note(HELD, memory(broker.pid).proportional)
            broker.kill()
            peer.note(KILLED, wait_until_it_serves(broker, topic).seconds)
            started = time.perf_counter()
            broker.stop()
            peer.note(STOPPING, time.perf_counter() - started)
            peer.note(STOPPED, wait_until_it_serves(broker, topic).seconds)
    return Peer("mq", broker, figures=figures)


def _write(peer: Peer, topic: str, partitions: int, seconds: float) -> float:
    producer = FastProducer(
        peer.bootstrap,
        topic,
        RECORD_SIZE,
        **{"batch.num.messages": BATCH_RECORDS, "linger.ms": 50},
    )
    load = Load([producer], partitions, block=BATCH_RECORDS, backlog=BACKLOG)
    load.warm_up()
    load.run(seconds / 4)
    rate = load.run(seconds)
    producer.close()
    return rate * RECORD_SIZE / MIB

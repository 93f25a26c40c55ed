"""Records in and out as fast as librdkafka's clients can, both sides with durability "os"."""

from __future__ import annotations

import time

from bench.broker.librdkafka import FastConsumer, FastProducer, Load
from bench.broker.peers import Peer, Run
from bench.broker.results import Comparison, Goal, Section
from bench.broker.wire import Connection, batch_of, fill

GIB = 2**30
MIB = 2**20
KIB = 2**10
PARTITIONS = 4
RECORD_SIZES = (100, 1024)
STORED_BATCH_BYTES = 64 * KIB
BACKLOG = 300_000  # records; many times what is needed to keep the connection full

ABOUT = f"""One producer, then one consumer, {PARTITIONS} partitions, `acks=all`. In: the records
acknowledged in a window of three seconds, batches as librdkafka makes them. Out: all of a topic
that both engines hold in the same batches of 64 KiB. The clients use the machine's cores too, and
one librdkafka client cannot do more than some 1.5 million records/s; the brokers' CPU time tells
what is left when the client is the limit."""


def measure(run: Run) -> Section:
    """Both record sizes, both directions."""
    parts = [_one_size(run, size) for size in RECORD_SIZES]
    return Section("throughput", "Throughput with librdkafka, neither syncs", ABOUT, [*parts])


def _one_size(run: Run, record_size: int) -> Comparison:
    pair = run.pair("os")
    stored = {id(peer): _store(peer, record_size, run.amount(512, 32) * MIB) for peer in pair}

    def work(peer: Peer) -> None:
        topic, count = stored[id(peer)]
        _write(peer, record_size, run.window_s)
        _read(peer, topic, record_size, count)

    run.in_turns([*pair], work)
    for peer in pair:
        peer.delete_topic(stored[id(peer)][0])
    return pair.compared(f"{record_size} B records", _goals(record_size))


def _goals(record_size: int) -> dict[str, list[Goal]]:
    return {
        f"{record_size} B in, MiB/s": [Goal(1.0, "at least")],
        f"{record_size} B out, MiB/s": [Goal(1.2, "at least")],
        f"{record_size} B in, broker CPU s/GiB": [Goal(0.7, "at most")],
        f"{record_size} B out, broker CPU s/GiB": [Goal(0.7, "at most")],
    }


def _store(peer: Peer, record_size: int, size: int) -> tuple[str, int]:
    """A topic of about so many bytes in batches of one size; its name and how many records."""
    topic = peer.create_topic(PARTITIONS)
    batch = batch_of(STORED_BATCH_BYTES, record_size)
    with Connection(peer.bootstrap) as connection:
        rounds = size // STORED_BATCH_BYTES // PARTITIONS
        return topic, fill(connection, topic, PARTITIONS, batch, rounds)


def _write(peer: Peer, record_size: int, seconds: float) -> None:
    with peer.topic(PARTITIONS) as topic:
        producer = FastProducer(peer.bootstrap, topic, record_size)
        load = Load([producer], PARTITIONS, block=10_000, backlog=BACKLOG)
        load.warm_up()
        load.run(seconds / 4)
        with peer.cpu() as cpu:
            started = time.perf_counter()
            rate = load.run(seconds)
            cpu_per_s = cpu() / (time.perf_counter() - started)
        _note(peer, f"{record_size} B in", rate * record_size, cpu_per_s)
        producer.close()


def _read(peer: Peer, topic: str, record_size: int, count: int) -> None:
    consumer = FastConsumer(peer.bootstrap, topic, PARTITIONS)
    with peer.cpu() as cpu:
        rate = consumer.rate(count)
        _note(peer, f"{record_size} B out", rate * record_size, cpu() * rate / count)
    consumer.close()


def _note(peer: Peer, figure: str, bytes_per_s: float, cpu_per_s: float) -> None:
    peer.note(f"{figure}, MiB/s", bytes_per_s / MIB)
    peer.note(f"{figure}, broker CPU s/GiB", cpu_per_s * GIB / bytes_per_s)

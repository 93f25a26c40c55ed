"""Records in, both sides on stable storage before they acknowledge."""

from __future__ import annotations

from bench.broker.librdkafka import FastProducer, Load
from bench.broker.peers import Peer, Run
from bench.broker.results import Comparison, Goal, Section

MIB = 2**20
LARGE_RECORD = 1024
SMALL_RECORD = 100
SMALL_BATCH = 10  # records
PARTITIONS = 64
PRODUCERS = 8
SMALL_BACKLOG = 1_000  # records on their way for each producer: a hundred small batches
ABOUT = f"""librdkafka's producer, `acks=all`. Large batches: one producer, one partition, 1 KiB
records in batches of 1 MiB. Small batches: {PRODUCERS} producers, {PARTITIONS} partitions, 100 B
records, {SMALL_BATCH} in each batch; a producer has about {SMALL_BACKLOG:,} records on their
way."""


def measure(run: Run) -> Section:
    """Large batches and small ones."""
    parts = [_large(run), _small(run)]
    return Section("synced", "Throughput with a sync before each acknowledgement", ABOUT, [*parts])


def _large(run: Run) -> Comparison:
    pair = run.pair("sync")
    seconds = run.window_s

    def work(peer: Peer) -> None:
        with peer.topic(1) as topic:
            producer = FastProducer(peer.bootstrap, topic, LARGE_RECORD)
            rate = _rate(Load([producer], 1, block=1_000, backlog=100_000), seconds)
            producer.close()
        peer.note("large batches, MiB/s", rate * LARGE_RECORD / MIB)

    run.in_turns([*pair], work)
    return pair.compared(
        "One partition, large batches", {"large batches, MiB/s": [Goal(1.3, "at least")]}
    )


def _small(run: Run) -> Comparison:
    pair = run.pair("sync")
    seconds = run.window_s

    def work(peer: Peer) -> None:
        with peer.topic(PARTITIONS) as topic:
            producers = [
                FastProducer(
                    peer.bootstrap,
                    topic,
                    SMALL_RECORD,
                    **{"linger.ms": 5, "batch.num.messages": SMALL_BATCH},
                )
                for _ in range(PRODUCERS)
            ]
            load = Load(producers, PARTITIONS, block=SMALL_BATCH, backlog=SMALL_BACKLOG)
            peer.note("small batches, records/s", _rate(load, seconds))
            for producer in producers:
                producer.close()

    run.in_turns([*pair], work)
    goals = {"small batches, records/s": [Goal(3.0, "at least")]}
    return pair.compared(f"{PARTITIONS} partitions, {PRODUCERS} producers, small batches", goals)


def _rate(load: Load, seconds: float) -> float:
    """Records per second in the middle of the work."""
    load.warm_up()
    load.run(seconds / 4)
    return load.run(seconds)

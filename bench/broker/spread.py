"""The same batches to one partition or in turn to a thousand: what does the spreading cost?"""

from __future__ import annotations

from bench.broker.librdkafka import FastProducer, Load
from bench.broker.peers import Peer, Run
from bench.broker.results import Comparison, Goal, Section, compare
from bench.broker.wire import KIB, Connection, batch_of, encoded, produce, records_in

MIB = 2**20
PARTITIONS = 1_000
QUICK_PARTITIONS = 100
RECORD_SIZE = 1024
BATCH_RECORDS = 16
BATCH_BYTES = 16 * KIB
DEPTH = 64
BACKLOG = 64_000  # records: 64 MB, so that a thousand partitions have four batches each
ABOUT = f"""Our broker with durability "sync"; batches of {BATCH_RECORDS} records of 1 KiB, all to
one partition, or one after the other to each of {PARTITIONS:,}. First through librdkafka, whose own
work for a thousand partitions is in it; then the same requests, encoded beforehand, {DEPTH} ahead
of their answers, so that the broker alone makes the difference."""


def measure(run: Run) -> Section:
    """Through librdkafka and by hand."""
    spread, single = run.ours("sync"), run.ours("sync")
    many = run.amount(PARTITIONS, QUICK_PARTITIONS)
    spread.name, single.name = f"{many:,} partitions", "1 partition"
    partitions = {id(spread): many, id(single): 1}
    topics = {id(peer): peer.create_topic(partitions[id(peer)]) for peer in (spread, single)}

    def work(peer: Peer) -> None:
        topic, count = topics[id(peer)], partitions[id(peer)]
        _through_librdkafka(peer, topic, count, run.window_s)
        _by_hand(peer, topic, count, run.amount(256, 16) * MIB)

    run.in_turns([spread, single], work)
    for peer in (spread, single):
        peer.delete_topic(topics[id(peer)])
    return Section(
        "spread", "A thousand partitions against one", ABOUT, [_compared(spread, single)]
    )


def _compared(spread: Peer, single: Peer) -> Comparison:
    goals = {figure: [Goal(0.5, "at least")] for figure in spread.figures if "MiB/s" in figure}
    ours, theirs = (spread.name, spread.figures), (single.name, single.figures)
    return compare("Written evenly, synced before the acknowledgement", ours, theirs, goals)


def _through_librdkafka(peer: Peer, topic: str, partitions: int, seconds: float) -> None:
    producer = FastProducer(
        peer.bootstrap,
        topic,
        RECORD_SIZE,
        **{"batch.num.messages": BATCH_RECORDS, "linger.ms": 50},
    )
    load = Load([producer], partitions, block=BATCH_RECORDS, backlog=BACKLOG)
    load.warm_up()
    load.run(seconds / 4)
    peer.note("librdkafka, MiB/s", load.run(seconds) * RECORD_SIZE / MIB)
    producer.close()


def _by_hand(peer: Peer, topic: str, partitions: int, total: int) -> None:
    batch, records = batch_of(BATCH_BYTES, RECORD_SIZE)
    requests = [encoded(produce(topic, {index: batch})) for index in range(partitions)]
    count = total // BATCH_BYTES
    with Connection(peer.bootstrap) as connection, peer.cpu() as cpu:
        before = records_in(connection, topic, partitions)
        rate = connection.rate((requests[n % partitions] for n in range(count)), DEPTH)
        peer.note("by hand, MiB/s", rate * BATCH_BYTES / MIB)
        peer.note("by hand, broker CPU s/GiB", cpu() * 1024 * MIB / total)
        appended = records_in(connection, topic, partitions) - before
        assert appended == records * count, f"{appended} records instead of {records * count}"

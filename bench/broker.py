"""The broker against Apache Kafka, in one run on one machine: `python -m bench.broker [--quick]`.

The clients are librdkafka's (confluent-kafka) with the same settings for every engine; the engines
take turns within each round, so that a busy moment of the machine hits all of them, and what is
printed is the median of the rounds and its ratio to Apache Kafka's. Kafka is warm: the same work
ran on it before. There are two pairs of peers:

- neither syncs before it acknowledges: ours with durability "os", Kafka as it ships;
- both do: ours as it ships, Kafka with `flush.messages=1` on the topic.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from confluent_kafka import Consumer, KafkaError, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]

from tools.apache_kafka import VERSION, ApacheKafka
from tools.mq_broker import MqBroker

PARTITIONS = 4
RECORD_SIZES = (100, 1024)
BATCH = 10_000
IDLE_S = 1.0
TIMEOUT_S = 120.0
GIB = 2**30
MIB = 2**20

Node: TypeAlias = MqBroker | ApacheKafka


@dataclass(frozen=True, slots=True)
class Amount:
    """How much is done; long enough in the full form to drown the noise of starting."""

    rounds: int
    throughput_bytes: int
    latencies: int
    cold_starts: int


FULL = Amount(rounds=5, throughput_bytes=256 * MIB, latencies=2_000, cold_starts=5)
QUICK = Amount(rounds=1, throughput_bytes=32 * MIB, latencies=300, cold_starts=1)
WARM_UP = Amount(rounds=1, throughput_bytes=128 * MIB, latencies=2_000, cold_starts=0)


@dataclass(slots=True)
class Peer:
    """One engine in one setting, and what was measured of it, by the name of the figure."""

    name: str
    node: Node
    topic_config: Mapping[str, str] = field(default_factory=dict)
    figures: dict[str, list[float]] = field(default_factory=dict)

    def note(self, figure: str, value: float) -> None:
        self.figures.setdefault(figure, []).append(value)

    @contextmanager
    def topic(self, partitions: int) -> Iterator[str]:
        """A topic in the peer's setting, deleted afterwards."""
        name = f"bench-{uuid.uuid4().hex[:12]}"
        admin = AdminClient({"bootstrap.servers": self.node.bootstrap})
        wanted = NewTopic(name, num_partitions=partitions, config=dict(self.topic_config))
        admin.create_topics([wanted])[name].result(TIMEOUT_S)
        yield name
        admin.delete_topics([name])[name].result(TIMEOUT_S)


def cpu_seconds(pid: int) -> float:
    """User and system time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measure_throughput(peer: Peer, record_size: int, total: int) -> None:
    """Records in and out again, as fast as the clients can."""
    count = total // record_size // BATCH * BATCH
    size = count * record_size
    with peer.topic(PARTITIONS) as topic:
        for direction, work in (("in", write), ("out", read)):
            cpu, started = cpu_seconds(peer.node.pid), time.perf_counter()
            work(peer.node.bootstrap, topic, record_size, count)
            elapsed, cpu = time.perf_counter() - started, cpu_seconds(peer.node.pid) - cpu
            label = f"{record_size} B {direction}"
            peer.note(f"{label}, MiB/s", size / MIB / elapsed)
            peer.note(f"{label}, CPU s/GiB", cpu * GIB / size)


def write(bootstrap: str, topic: str, record_size: int, count: int) -> None:
    """Produce `count` records, acks=all, and wait for all acknowledgements."""
    producer = Producer(
        {
            "bootstrap.servers": bootstrap,
            "acks": "all",
            "linger.ms": 5,
            "batch.size": MIB,
            "queue.buffering.max.messages": 1_000_000,
            "queue.buffering.max.kbytes": 2_000_000,
        }
    )
    batch = [{"value": bytes(record_size)}] * BATCH
    for number in range(count // BATCH):
        while len(producer) > 50 * BATCH:
            producer.poll(0.005)
        sent = producer.produce_batch(topic, batch, partition=number % PARTITIONS)
        assert sent == BATCH
        producer.poll(0)
    assert producer.flush(TIMEOUT_S) == 0


def read(bootstrap: str, topic: str, record_size: int, count: int) -> None:
    """Consume `count` records of that size from the start of every partition."""
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": "bench",
            "enable.auto.commit": False,
            "fetch.max.bytes": 64 * MIB,
            "queued.max.messages.kbytes": 256 * 1024,
        }
    )
    consumer.assign([TopicPartition(topic, index, 0) for index in range(PARTITIONS)])
    seen = 0
    while seen < count:
        messages = consumer.consume(BATCH, TIMEOUT_S)
        assert messages, f"no more records after {seen} of {count}"
        seen += len(messages)
    assert len(messages[-1].value() or b"") == record_size
    consumer.close()


def measure_latency(peer: Peer, count: int) -> None:
    """Produce one record, wait until a consumer has it, and only then the next."""
    with peer.topic(1) as topic:
        times = sorted(round_trips(peer.node.bootstrap, topic, count))
    peer.note("produce to consume p50, ms", 1e3 * times[count // 2])
    peer.note("produce to consume p99, ms", 1e3 * times[count * 99 // 100])


def round_trips(bootstrap: str, topic: str, count: int) -> list[float]:
    """The seconds of `count` records, one at a time; the first tenth more is warm-up."""
    address: dict[str, str | int | float | bool] = {"bootstrap.servers": bootstrap}
    producer = Producer({**address, "acks": "all", "linger.ms": 0})
    consumer = Consumer({**address, "group.id": "bench", "enable.auto.commit": False})
    consumer.assign([TopicPartition(topic, 0, 0)])
    times = []
    for _ in range(count // 10 + count):
        started = time.perf_counter()
        producer.produce(topic, bytes(100), partition=0)
        message = consumer.poll(TIMEOUT_S)
        times.append(time.perf_counter() - started)
        assert message is not None
        assert message.error() is None
        producer.poll(0)
    assert producer.flush(TIMEOUT_S) == 0
    consumer.close()
    return times[-count:]


def first_acknowledgement(bootstrap: str) -> None:
    """Return when a record to a new topic is acknowledged."""
    outcome: list[KafkaError | None] = []

    def delivered(error: KafkaError | None, _: Message) -> None:
        outcome.append(error)

    producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 0})
    producer.produce("cold-start", b"first", on_delivery=delivered)
    assert producer.flush(TIMEOUT_S) == 0
    assert outcome == [None]


def measure_cold_start(peer: Peer) -> None:
    """From starting the process on an empty directory to the first acknowledgement; then its
    memory when nobody asks anything of it."""
    started = time.perf_counter()
    peer.node.restart()
    first_acknowledgement(peer.node.bootstrap)
    peer.note("cold start to first ack, s", time.perf_counter() - started)
    time.sleep(IDLE_S)
    proportional, resident = memory(peer.node.pid)
    peer.note("idle memory PSS, MiB", proportional)
    peer.note("idle memory RSS, MiB", resident)


def memory(pid: int) -> tuple[float, float]:
    """Proportional and resident memory of a process in MiB."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    by_name = {line.split(":")[0]: int(line.split()[1]) for line in lines}
    return by_name["Pss"] / 1024, by_name["Rss"] / 1024


def measure_starts(rounds: int) -> list[Peer]:
    """Cold starts, each on a new directory; peers without one of the fields are one column."""
    ours: dict[str, list[float]] = {}
    theirs: dict[str, list[float]] = {}
    for _ in range(rounds):
        with MqBroker(None) as broker:
            measure_cold_start(Peer("mq", broker, figures=ours))
        kafka = ApacheKafka()
        kafka.prepare()
        with kafka:
            measure_cold_start(Peer("Apache Kafka", kafka, figures=theirs))
    return [Peer("mq", broker, figures=ours), Peer("Apache Kafka", kafka, figures=theirs)]


def measure(peer: Peer, amount: Amount) -> None:
    """One round of the work on a running peer."""
    measure_latency(peer, amount.latencies)
    for record_size in RECORD_SIZES:
        measure_throughput(peer, record_size, amount.throughput_bytes)


def measure_running(amount: Amount) -> list[Peer]:
    """All rounds on all peers, after one round that counts for nothing."""
    with ExitStack() as stack:
        ours_os = stack.enter_context(MqBroker.start(durability="os"))
        ours_sync = stack.enter_context(MqBroker.start(durability="sync"))
        kafka = stack.enter_context(ApacheKafka.start(heap="1g"))
        peers = [
            Peer('mq, durability "os"', ours_os),
            Peer("Apache Kafka", kafka),
            Peer('mq, durability "sync"', ours_sync),
            Peer("Apache Kafka, flush.messages=1", kafka, {"flush.messages": "1"}),
        ]
        for peer in peers:
            say(f"warm-up: {peer.name}")
            measure(peer, WARM_UP)
            peer.figures.clear()
        for number in range(amount.rounds):
            for peer in peers:
                say(f"round {number + 1} of {amount.rounds}: {peer.name}")
                measure(peer, amount)
        return peers


def table(ours: Peer, theirs: Peer) -> Iterator[str]:
    """A table in Markdown: medians, and the ratio of ours to theirs."""
    yield f"| | {ours.name} | {theirs.name} | ratio |"
    yield "| --- | ---: | ---: | ---: |"
    for figure, values in ours.figures.items():
        mine, other = statistics.median(values), statistics.median(theirs.figures[figure])
        yield f"| {figure} | {mine:.3g} | {other:.3g} | {mine / other:.2f}× |"


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print; nothing is judged here."""
    parser = argparse.ArgumentParser(prog="python -m bench.broker", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one short round, to see it work")
    amount = QUICK if parser.parse_args(argv).quick else FULL
    started = time.monotonic()
    starts = measure_starts(amount.cold_starts)
    os_ours, os_theirs, sync_ours, sync_theirs = measure_running(amount)
    print(f"Apache Kafka {VERSION}, {os.cpu_count()} cores, medians of {amount.rounds} rounds")
    for ours, theirs in ((os_ours, os_theirs), (sync_ours, sync_theirs), tuple(starts)):
        print("", *table(ours, theirs), sep="\n")
    say(f"took {time.monotonic() - started:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())

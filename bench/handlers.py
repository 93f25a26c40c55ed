"""The cost of mq's guarantees: `python -m bench.handlers [--quick]`.

A typed handler of mq, with all that it does on the way (order by key, retries, dead letters,
gapless commits), against the least that a program can do with confluent-kafka: a loop that consumes
1,000 records at a time, decodes each with the same msgspec decoder and lets the library commit.
Both read the same records from the same broker, once as JSON and once as MessagePack, taking turns,
each time in a process and a group of its own. The clock runs from the first record to the last, so
that starting, joining and stopping do not count; the CPU time is the whole process's meanwhile.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import msgspec
from confluent_kafka import Consumer, Producer

from mq import App
from tools.mq_broker import MqBroker

PARTITIONS = 8
KEYS = 1_000
BATCH = 1_000
TIMEOUT_S = 120.0
CONTENT_TYPES = {"json": "application/json", "msgpack": "application/msgpack"}


class Order(msgspec.Struct):
    """A payload of ordinary size: about 130 bytes of JSON."""

    id: str
    customer: str
    amount: float
    currency: str
    items: list[str]


def order(number: int) -> Order:
    items = [f"sku-{number % 7}", f"sku-{number % 11}"]
    return Order(f"order-{number}", f"customer-{number % KEYS}", number / 100, "EUR", items)


@dataclass(slots=True)
class Clock:
    """Wall and CPU time from the first record to the last of `count`."""

    count: int
    seen: int = 0
    started: float = 0.0
    started_cpu: float = 0.0
    elapsed: float = 0.0
    cpu: float = 0.0

    def tick(self) -> bool:
        """Count one record; true at the last one."""
        if self.seen == 0:
            self.started, self.started_cpu = time.perf_counter(), time.process_time()
        self.seen += 1
        if self.seen < self.count:
            return False
        self.elapsed = time.perf_counter() - self.started
        self.cpu = time.process_time() - self.started_cpu
        return True

    def report(self) -> str:
        records_s, cpu_us = self.count / self.elapsed, 1e6 * self.cpu / self.count
        return json.dumps({"records_s": records_s, "cpu_us": cpu_us})


def run_mq(bootstrap: str, topic: str, count: int) -> str:
    """All records through an mq handler."""
    clock, app = Clock(count), App(f"bench-{uuid.uuid4().hex[:12]}", bootstrap=bootstrap)

    @app.handler(topic)
    async def handle(_order: Order) -> None:
        if clock.tick():
            app.stop()

    asyncio.run(app.run())
    return clock.report()


def run_bare(bootstrap: str, topic: str, count: int, decode: Callable[[bytes], Order]) -> str:
    """All records through a loop around confluent-kafka."""
    clock = Clock(count)
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": f"bench-{uuid.uuid4().hex[:12]}",
            "auto.offset.reset": "earliest",
        }
    )
    consumer.subscribe([topic])
    done = False
    while not done:
        messages = consumer.consume(BATCH, TIMEOUT_S)
        assert messages, f"no more records after {clock.seen}"
        for message in messages:
            decode(message.value() or b"")
            done = clock.tick()
    consumer.close()
    return clock.report()


DECODERS: dict[str, Callable[[bytes], Order]] = {
    "json": msgspec.json.Decoder(Order).decode,
    "msgpack": msgspec.msgpack.Decoder(Order).decode,
}
ENCODERS: dict[str, Callable[[Order], bytes]] = {
    "json": msgspec.json.encode,
    "msgpack": msgspec.msgpack.encode,
}


def write(bootstrap: str, codec: str, count: int) -> str:
    """A topic of `count` orders, keyed by customer."""
    topic = f"orders-{codec}"
    producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 5})
    headers: list[tuple[str, bytes | str | None]] = [("content-type", CONTENT_TYPES[codec])]
    for number in range(count):
        one = order(number)
        value = ENCODERS[codec](one)
        producer.produce(topic, value, key=one.customer, headers=headers)
        if number % BATCH == 0:
            producer.poll(0)
            while len(producer) > 50 * BATCH:
                producer.poll(0.01)
    assert producer.flush(TIMEOUT_S) == 0
    return topic


def run_apart(kind: str, codec: str, bootstrap: str, topic: str, count: int) -> dict[str, float]:
    """One measurement in a process of its own."""
    command = [sys.executable, "-m", "bench.handlers", "--child", kind, codec, bootstrap, topic]
    done = subprocess.run(
        [*command, str(count)], stdout=subprocess.PIPE, text=True, timeout=TIMEOUT_S, check=True
    )
    figures: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return figures


def child(kind: str, codec: str, bootstrap: str, topic: str, count: int) -> str:
    """What the process of `run_apart` does."""
    if kind == "mq":
        return run_mq(bootstrap, topic, count)
    return run_bare(bootstrap, topic, count, DECODERS[codec])


def measure(rounds: int, count: int) -> None:
    """All rounds, and the table in Markdown."""
    print(f"{os.cpu_count()} cores, medians of {rounds} rounds of {count:,} records")
    print(
        "\n| payload | mq, records/s | bare loop, records/s | ratio | mq, CPU µs | bare, CPU µs |"
    )
    print("| --- | ---: | ---: | ---: | ---: | ---: |")
    with MqBroker.start(durability="os") as broker:
        for codec in CONTENT_TYPES:
            topic = write(broker.bootstrap, codec, count)
            found: dict[str, list[dict[str, float]]] = {"mq": [], "bare": []}
            for _ in range(rounds):
                for kind, figures in found.items():
                    figures.append(run_apart(kind, codec, broker.bootstrap, topic, count))
            ours, bare = (median(found[kind], "records_s") for kind in ("mq", "bare"))
            ours_cpu, bare_cpu = (median(found[kind], "cpu_us") for kind in ("mq", "bare"))
            speeds = f"{ours:,.0f} | {bare:,.0f} | {ours / bare:.2f}×"
            print(f"| {codec} | {speeds} | {ours_cpu:.1f} | {bare_cpu:.1f} |", flush=True)


def median(figures: Sequence[dict[str, float]], name: str) -> float:
    return statistics.median(one[name] for one in figures)


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print; nothing is judged here."""
    parser = argparse.ArgumentParser(prog="python -m bench.handlers", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one short round, to see it work")
    parser.add_argument("--child", nargs=5, help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if options.child:
        kind, codec, bootstrap, topic, count = options.child
        print(child(kind, codec, bootstrap, topic, int(count)))
        return 0
    measure(*((1, 100_000) if options.quick else (5, 300_000)))
    return 0


if __name__ == "__main__":
    sys.exit(main())

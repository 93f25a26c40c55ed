"""One to twenty GiB of log: restarting, memory, finding a place in it."""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable

from bench.broker.history import BATCH_BYTES, History
from bench.broker.peers import Run
from bench.broker.restart import wait_until_it_serves
from bench.broker.results import Growth, Section
from bench.broker.wire import Connection, fetch, offset_at
from mq.wire.messages.fetch import FetchResponse
from tools.mq_broker import MqBroker

STEPS = (1, 2, 5, 10, 20)
QUICK_STEPS = (1 / 16, 1 / 8)
HOT_SEEKS = 300
COLD_SEEKS = 15
SEED = 7
ABOUT = """Our broker with durability "sync"; one topic of 8 partitions grows (batches of 64 KiB,
segments of 1 GiB). At each size: kill -9 and the time until it serves, a stop in order and the
same, the memory (PSS) then; a Fetch at a random offset, and ListOffsets for a random time followed
by a Fetch there, medians, each answer 64 KiB. Cold: all files are dropped from the page cache
before each seek."""

KILLED = "after kill -9"
STOPPED = "after a stop in order"
HELD = "mq"


def measure(run: Run) -> Section:
    """All sizes, on one log that grows."""
    steps = QUICK_STEPS if run.quick else STEPS
    restarts: dict[str, list[float]] = {KILLED: [], STOPPED: []}
    memories: list[float] = []
    hot: dict[str, list[float]] = {}
    cold: dict[str, list[float]] = {}
    with MqBroker() as broker:
        history = History.begin(broker)
        for gib in steps:
            history.grow(gib)
            broker.kill()
            restarts[KILLED].append(wait_until_it_serves(broker, history.topic).seconds)
            broker.stop()
            served = wait_until_it_serves(broker, history.topic)
            restarts[STOPPED].append(served.seconds)
            memories.append(served.memory_mib)
            _seek(history, hot, HOT_SEEKS, lambda: None)
            _seek(history, cold, run.amount(COLD_SEEKS, 3), history.drop_cache)
    over = [float(step) for step in steps]
    parts = [
        Growth("Restart until it serves", "GiB of log", over, restarts, "s"),
        Growth("Memory after the restart", "GiB of log", over, {HELD: memories}, "MiB"),
        Growth("A seek, hot", "GiB of log", over, hot, "ms"),
        Growth("A seek, cold", "GiB of log", over, cold, "ms"),
    ]
    return Section("log-size", "Growth: length of the log", ABOUT, [*parts])


def _seek(
    history: History, found: dict[str, list[float]], count: int, before: Callable[[], None]
) -> None:
    """Note the medians of so many seeks of both kinds."""
    chance = random.Random(SEED)
    by_offset, by_time = [], []
    with Connection(history.broker.bootstrap) as connection:
        _fetch(connection, history.topic, 0, 0)
        for _ in range(count):
            before()
            partition, offset = history.somewhere(chance)
            started = time.perf_counter()
            _fetch(connection, history.topic, partition, offset)
            by_offset.append(time.perf_counter() - started)
            before()
            partition, timestamp = history.sometime(chance)
            started = time.perf_counter()
            offset = offset_at(connection, history.topic, partition, timestamp)
            _fetch(connection, history.topic, partition, offset)
            by_time.append(time.perf_counter() - started)
    found.setdefault("by offset", []).append(1e3 * statistics.median(by_offset))
    found.setdefault("by time", []).append(1e3 * statistics.median(by_time))


def _fetch(connection: Connection, topic: str, partition: int, offset: int) -> None:
    answer = connection.ask(fetch(topic, partition, offset, BATCH_BYTES), FetchResponse)
    found = answer.responses[0].partitions[0]
    assert not found.error_code, f"Fetch failed with {found.error_code}"
    assert found.records, f"nothing at {offset}"

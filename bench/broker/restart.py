"""From starting the process on data that is there until it serves.

Serving means that a client was told of the topic (Metadata), was given its oldest records (Fetch)
and, where a group committed offsets, was given these (OffsetFetch).
"""

from __future__ import annotations

import time
from typing import NamedTuple

from bench.broker.history import History
from bench.broker.peers import Run
from bench.broker.process import memory
from bench.broker.results import Comparison, Figure, Goal, Section
from bench.broker.wire import Connection, fetch
from mq.wire.messages.fetch import FetchResponse
from mq.wire.messages.metadata import MetadataRequest, MetadataRequestTopic, MetadataResponse
from mq.wire.messages.offset_fetch import (
    OffsetFetchRequest,
    OffsetFetchRequestGroup,
    OffsetFetchResponse,
)
from tools.mq_broker import MqBroker

KIB = 2**10
TIMEOUT_S = 120.0
GROUPS = 10_000
COMMITS_EACH = 100
SIZE_GIB = 10
ABOUT = f"""A log of {SIZE_GIB} GiB in 8 partitions (batches of 64 KiB) and
{GROUPS * COMMITS_EACH:,} committed offsets that do not expire ({GROUPS:,} groups, {COMMITS_EACH}
partitions each), written in one go with durability "sync", then kill -9. Serving means that
Metadata, a Fetch of the oldest records and an OffsetFetch have been answered. In each further round
another GiB is written before the kill. Cold: the files of the directory were dropped from the page
cache before the start, as after a loss of power."""


class Served(NamedTuple):
    """How long it took, and how much memory it has then."""

    seconds: float
    memory_mib: float


def wait_until_it_serves(broker: MqBroker, topic: str, group: str | None = None) -> Served:
    """Start the stopped broker and time it."""
    started = time.perf_counter()
    broker.restart(wait=False)
    with _connect(broker) as connection:
        _ask_all(connection, topic, group)
        seconds = time.perf_counter() - started
    return Served(seconds, memory(broker.pid).proportional)


def _connect(broker: MqBroker) -> Connection:
    deadline = time.monotonic() + TIMEOUT_S
    while True:
        try:
            return Connection(broker.bootstrap)
        except OSError:
            assert time.monotonic() < deadline, f"it did not come up:\n{broker.tail()}"
            time.sleep(0.002)


def _ask_all(connection: Connection, topic: str, group: str | None) -> None:
    asked = MetadataRequest([MetadataRequestTopic(name=topic)])
    described = connection.ask(asked, MetadataResponse).topics[0]
    assert not described.error_code, f"Metadata failed with {described.error_code}"
    answer = connection.ask(fetch(topic, 0, 0, 64 * KIB), FetchResponse)
    fetched = answer.responses[0].partitions[0]
    assert not fetched.error_code, f"Fetch failed with {fetched.error_code}"
    assert fetched.records, "Fetch brought nothing"
    if group is None:
        return
    wanted = OffsetFetchRequestGroup(group, topics=None)  # all that it has
    found = connection.ask(OffsetFetchRequest(groups=[wanted]), OffsetFetchResponse).groups[0]
    committed = sum(len(one.partitions) for one in found.topics)
    assert committed == COMMITS_EACH, f"{committed} committed offsets instead of {COMMITS_EACH}"


def measure(run: Run) -> Section:
    """Kills on the same growing log, with a hot and with a cold cache."""
    gib = run.amount(SIZE_GIB * 16, 1) / 16
    groups = run.amount(GROUPS, 100)
    hot = Figure("until it serves, s", [], goals=[Goal(5.0, "at most", "value")])
    cold = Figure("until it serves, cold cache, s", [], goals=[Goal(5.0, "at most", "value")])
    held = Figure("memory then (PSS), MiB", [])
    with MqBroker() as broker:
        history = History.begin(broker)
        history.commit(groups, COMMITS_EACH)
        history.grow(gib)
        for number in range(run.amount(3, 1)):
            if number:
                history.grow(history.gib + min(1.0, gib))
            broker.kill()
            served = wait_until_it_serves(broker, history.topic, history.last_group)
            hot.ours.append(served.seconds)
            held.ours.append(served.memory_mib)
            history.grow(history.gib + min(1.0, gib))
            broker.kill()
            history.drop_cache()
            served = wait_until_it_serves(broker, history.topic, history.last_group)
            cold.ours.append(served.seconds)
    table = Comparison("Restart after kill -9", "mq", "", [hot, cold, held])
    return Section("restart", "Restart after a kill", ABOUT, [table])

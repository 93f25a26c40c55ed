"""One to a thousand connections, each with one record on its way: throughput, p99, memory."""

from __future__ import annotations

import select
import socket
import statistics
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from bench.broker.peers import Peer, Run
from bench.broker.process import memory
from bench.broker.results import Growth, Section, percentile
from bench.broker.wire import Connection, batch_of, encoded, produce, records_in

STEPS = (1, 10, 100, 1_000)
QUICK_STEPS = (1, 100)
PARTITIONS = 8
BATCH_BYTES = 1024
TIMEOUT_S = 30.0
ABOUT = f"""Every connection sends one batch of 1 KiB with `acks=all` to one of {PARTITIONS}
partitions, and the next when that is acknowledged. One process minds all of them; medians of the
rounds. Memory is the proportional size (PSS) of the broker while they are connected; Kafka's is its
heap, which it got at the start."""


@dataclass(slots=True)
class _Found:
    rates: list[float] = field(default_factory=list)
    tails_ms: list[float] = field(default_factory=list)
    memories: list[float] = field(default_factory=list)


def measure(run: Run) -> Section:
    """Both our settings and Kafka as it ships."""
    steps = QUICK_STEPS if run.quick else STEPS
    peers = [run.ours("sync"), run.ours("os"), run.kafka("os")]
    found = {(peer.name, step): _Found() for peer in peers for step in steps}
    seconds = run.window_s / 2
    for step in steps:

        def work(peer: Peer, step: int = step) -> None:
            _note(found[peer.name, step], peer, step, seconds)

        run.in_turns(peers, work, warm_up=False)

    def line(values: Callable[[_Found], list[float]]) -> dict[str, list[float]]:
        return {
            peer.name: [statistics.median(values(found[peer.name, step])) for step in steps]
            for peer in peers
        }

    over = [float(step) for step in steps]
    parts = [
        Growth("Acknowledged", "connections", over, line(lambda f: f.rates), "requests/s"),
        Growth("p99 of an acknowledgement", "connections", over, line(lambda f: f.tails_ms), "ms"),
        Growth("Memory of the broker", "connections", over, line(lambda f: f.memories), "MiB"),
    ]
    return Section("connections", "Growth: connections", ABOUT, [*parts])


def _note(found: _Found, peer: Peer, count: int, seconds: float) -> None:
    with peer.topic(PARTITIONS) as topic:
        crowd = _Crowd(peer.bootstrap, topic, count)
        crowd.run(seconds / 4)
        started = time.perf_counter()
        times = crowd.run(seconds)
        rate = len(times) / (time.perf_counter() - started)
        found.memories.append(memory(peer.node.pid).proportional)
        crowd.close()
    found.rates.append(rate)
    found.tails_ms.append(1e3 * percentile(times, 99))


class _Crowd:
    """Connections that each wait for an answer before they ask again."""

    def __init__(self, bootstrap: str, topic: str, count: int) -> None:
        host, _, port = bootstrap.rpartition(":")
        self._bootstrap = bootstrap
        batch, self._records = batch_of(BATCH_BYTES, BATCH_BYTES // 2)
        self._requests = [encoded(produce(topic, {index: batch})) for index in range(PARTITIONS)]
        self._topic = topic
        self._answers = 0
        self._sockets: dict[int, socket.socket] = {}
        self._epoll = select.epoll()
        for _ in range(count):
            connection = socket.create_connection((host, int(port)), timeout=TIMEOUT_S)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._sockets[connection.fileno()] = connection
            self._epoll.register(connection, select.EPOLLIN)

    def run(self, seconds: float) -> list[float]:
        """Ask for so long, then wait for what is missing; the seconds that each answer took."""
        times: list[float] = []
        started = {number: self._ask(number) for number in self._sockets}
        end = time.perf_counter() + seconds
        while (left := end - time.perf_counter()) > 0:
            for number, _ in self._epoll.poll(left):
                self._read_answer(number)
                times.append(time.perf_counter() - started[number])
                started[number] = self._ask(number)
        self._drain(times, started)
        return times

    def _ask(self, number: int) -> float:
        now = time.perf_counter()
        self._sockets[number].sendall(self._requests[number % PARTITIONS])
        return now

    def _read_answer(self, number: int) -> None:
        """Read an answer; they are small and come in one piece, or nearly always."""
        connection = self._sockets[number]
        data = connection.recv(4096)
        assert data, "the broker closed a connection"
        while len(data) < 4 or len(data) < 4 + struct.unpack_from(">i", data)[0]:
            data += connection.recv(4096)
        self._answers += 1

    def _drain(self, times: list[float], waiting: dict[int, float]) -> None:
        while waiting:
            ready = self._epoll.poll(TIMEOUT_S)
            assert ready, f"{len(waiting)} connections got no answer"
            for number, _ in ready:
                self._read_answer(number)
                times.append(time.perf_counter() - waiting.pop(number))

    def close(self) -> None:
        """Hang up, having seen that every acknowledged record is there."""
        with Connection(self._bootstrap) as connection:
            appended = records_in(connection, self._topic, PARTITIONS)
        assert appended == self._answers * self._records, f"{appended} records were appended"
        self._epoll.close()
        for waiting in self._sockets.values():
            waiting.close()

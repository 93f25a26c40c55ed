"""The broker's CPU time for a GiB, in requests of one size; and beside a loop around sendfile.

The client is :mod:`bench.broker.wire`: requests encoded beforehand, answers not looked at. Batches
have exactly 16 KiB when they are fetched, so that an answer of either engine is whole batches.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.broker.peers import Peer, Run
from bench.broker.process import cpu_seconds
from bench.broker.results import Comparison, Goal, Section, compare
from bench.broker.wire import Connection, batch_of, encoded, fetch, fill, produce, records_in

GIB = 2**30
MIB = 2**20
KIB = 2**10
SIZES = {"64 KiB": 64 * KIB, "1 MiB": MIB}
STORED_BYTES = 256 * MIB  # read again and again: in the page cache, as what was just written is
STORED_BATCH = 16 * KIB
RECORD_SIZE = 1024
WARM_UP_BYTES = 16 * MIB
DEPTH = 4  # requests ahead of the answers
HEADER_BYTES_MAX = 256  # of an answer, around its records
ABOUT = """One connection. In: one batch of the size in each request, four requests ahead of the
answers. Out: answers of the size, one after the other, from a topic of batches of 16 KiB in the
page cache."""
ABOUT_SENDFILE = """The client asks for 1 MiB again and again, from our broker and from twenty lines
of Python that answer each request with a header and `os.sendfile` from a file of the same size
(`bench/broker/sendfile.py`)."""


def measure(run: Run) -> Section:
    """Both sizes, both directions."""
    pair = run.pair("os")
    stored = {id(peer): _store(peer) for peer in pair}
    total = run.amount(1024, 32) * MIB

    def work(peer: Peer) -> None:
        for name, size in SIZES.items():
            _write(peer, name, size, total)
        for name, size in SIZES.items():
            with Connection(peer.bootstrap) as connection, peer.cpu() as cpu:
                _read(connection, *stored[id(peer)], size, total)
                peer.note(f"out, {name}, CPU s/GiB", cpu() * GIB / total)

    run.in_turns([*pair], work)
    for peer in pair:
        peer.delete_topic(stored[id(peer)][0])
    goals = {figure: [Goal(0.7, "at most")] for figure in pair.ours.figures}
    compared = pair.compared("Broker CPU seconds per GiB", goals)
    return Section("cost", "CPU time of the broker, by request size", ABOUT, [compared])


def measure_sendfile(run: Run) -> Section:
    """Answers of 1 MiB from our broker and from the bare loop."""
    ours = run.ours("os")
    topic, records = _store(ours)
    total = run.amount(2048, 256) * MIB
    figure = "1 MiB answers, CPU s/GiB"
    theirs: dict[str, list[float]] = {figure: []}
    with _bare_loop() as (process, address):
        for number in range(run.rounds + 1):
            if number == 1:  # the first round does not count
                ours.figures.clear()
                theirs[figure].clear()
            with Connection(ours.bootstrap) as connection, ours.cpu() as cpu:
                _read(connection, topic, records, MIB, total)
                ours.note(figure, cpu() * GIB / total)
            with Connection(address) as connection:
                before = cpu_seconds(process.pid)
                _read(connection, topic, records, MIB, total)
                theirs[figure].append((cpu_seconds(process.pid) - before) * GIB / total)
    ours.delete_topic(topic)
    compared = _compared(ours, theirs, figure)
    return Section("sendfile", "CPU time beside a bare sendfile loop", ABOUT_SENDFILE, [compared])


def _compared(ours: Peer, theirs: dict[str, list[float]], figure: str) -> Comparison:
    goals = {figure: [Goal(1.5, "at most")]}
    return compare("Fetching", (ours.name, ours.figures), ("bare sendfile", theirs), goals)


def _store(peer: Peer) -> tuple[str, int]:
    """A topic of one partition; its name and how many records a batch has."""
    topic = peer.create_topic(1)
    batch = batch_of(STORED_BATCH, RECORD_SIZE)
    with Connection(peer.bootstrap) as connection:
        fill(connection, topic, 1, batch, STORED_BYTES // STORED_BATCH)
    return topic, batch[1]


def _write(peer: Peer, name: str, size: int, total: int) -> None:
    batch, records = batch_of(size, RECORD_SIZE)
    with peer.topic(1) as topic, Connection(peer.bootstrap) as connection:
        request = encoded(produce(topic, {0: batch}))
        connection.pipeline((request for _ in range(WARM_UP_BYTES // size)), DEPTH)
        with peer.cpu() as cpu:
            connection.pipeline((request for _ in range(total // size)), DEPTH)
            peer.note(f"in, {name}, CPU s/GiB", cpu() * GIB / total)
        appended = records_in(connection, topic, 1)
        assert appended == records * (WARM_UP_BYTES // size + total // size), appended


def _read(connection: Connection, topic: str, records: int, size: int, total: int) -> None:
    """Fetch so many bytes in answers of one size, from the topic's beginning to its end and over
    again; `records` are in a batch."""
    step = size // STORED_BATCH * records
    requests = [
        encoded(fetch(topic, 0, step * number, size)) for number in range(STORED_BYTES // size)
    ]
    for number in range(total // size):
        connection.send(requests[number % len(requests)])
        answered = connection.skip()
        assert size <= answered <= size + HEADER_BYTES_MAX, f"{answered} bytes instead of {size}"


@contextmanager
def _bare_loop() -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The loop as a process of its own, and its address."""
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory) / "stored"
        with file.open("wb") as stored:
            for _ in range(STORED_BYTES // MIB):
                stored.write(bytes(MIB))
        command = [sys.executable, "-m", "bench.broker.sendfile", str(file), str(MIB)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert process.stdout
        try:
            yield process, process.stdout.readline().strip()
        finally:
            process.kill()
            process.wait()
            process.stdout.close()

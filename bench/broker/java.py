"""Records in and out with Java's own tools: ProducerPerformance and ConsumerPerformance."""

from __future__ import annotations

import re
import subprocess
import uuid

from bench.broker.peers import Peer, Run
from bench.broker.results import Comparison, Goal, Section
from tools import apache_kafka

PARTITIONS = 4
RECORD_SIZES = (100, 1024)
TIMEOUT_S = 300.0
FLAGS = ("-server", "-XX:+UseG1GC", "-Xms512m", "-Xmx512m", apache_kafka.QUIET)
PRODUCER = ("acks=all", "linger.ms=5", "batch.size=65536", "buffer.memory=67108864")
REPORTED = re.compile(r"\(([\d.]+) MB/sec\)")  # of megabytes of 2**20 bytes
ABOUT = """`org.apache.kafka.tools.ProducerPerformance` with `acks=all linger.ms=5
batch.size=65536` (idempotent, as Java's producer is by default), then `ConsumerPerformance` over
what it wrote, each a Java program of its own; 100 B and 1 KiB records, 4 partitions. MiB/s as the
tools report them: the producer after its first third, the consumer while it fetches."""


def measure(run: Run) -> Section:
    """Both record sizes, both directions."""
    sizes = RECORD_SIZES[1:] if run.quick else RECORD_SIZES
    parts = [_one_size(run, size) for size in sizes]
    return Section("java", "Throughput with Java's tools, neither syncs", ABOUT, [*parts])


def _one_size(run: Run, record_size: int) -> Comparison:
    pair = run.pair("os")
    count = run.amount(200, 10) * 2**20 // record_size
    warm_up = count // 2

    def work(peer: Peer) -> None:
        with peer.topic(PARTITIONS) as topic:
            peer.note(
                f"{record_size} B in, MiB/s", _write(peer, topic, record_size, count, warm_up)
            )
            peer.note(f"{record_size} B out, MiB/s", _read(peer, topic, count + warm_up))

    run.in_turns([*pair], work, warm_up=False)
    goals = {
        f"{record_size} B in, MiB/s": [Goal(1.0, "at least")],
        f"{record_size} B out, MiB/s": [Goal(1.2, "at least")],
    }
    return pair.compared(f"{record_size} B records", goals)


def _write(peer: Peer, topic: str, record_size: int, count: int, warm_up: int) -> float:
    printed = _run(
        "org.apache.kafka.tools.ProducerPerformance",
        *("--bootstrap-server", peer.bootstrap, "--topic", topic, "--throughput", "-1"),
        *("--num-records", str(count + warm_up), "--record-size", str(record_size)),
        *("--warmup-records", str(warm_up)),
        *("--command-property", *PRODUCER),
    )
    summary = printed.splitlines()[-1]
    found = REPORTED.search(summary)
    assert summary.startswith(f"{count} steady state records sent"), printed
    assert found, printed
    return float(found[1])


def _read(peer: Peer, topic: str, count: int) -> float:
    printed = _run(
        "org.apache.kafka.tools.ConsumerPerformance",
        *("--bootstrap-server", peer.bootstrap, "--topic", topic, "--num-records", str(count)),
        *("--group", f"bench-{uuid.uuid4().hex[:12]}", "--hide-header", "--timeout", "60000"),
    )
    fields = printed.splitlines()[-1].split(", ")
    assert int(fields[4]) >= count, printed
    return float(fields[8])  # fetch.MB.sec: without the time of joining the group


def _run(tool: str, *arguments: str) -> str:
    command = [apache_kafka.java(), *FLAGS, "-cp", apache_kafka.classpath(), tool, *arguments]
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=TIMEOUT_S
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.strip()

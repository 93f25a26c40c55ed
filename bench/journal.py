"""The journal against syncing each dirty partition: `python -m bench.journal [--quick]`.

Both sides commit the same groups, in turns, in one run: so many partitions, each with one append of
so many bytes since the last group. Printed is how long a group commit takes, as a median (`ms`) and
as the mean (which pays for checkpoints of the journal, as those run beside it), and the journal's
time as a share of the other's. Below 1 the journal is faster.

The last lines measure its parts: one call for write and sync against two, and a file that is there
against one that grows.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from mq.log.config import LogConfig
from mq.log.directory import DataDirectory
from mq.log.files import File, Files
from mq.log.flusher import GroupCommit
from mq.log.partition import Partition
from mq.wire.batch import BatchRecord, encode_batch

PARTITIONS = (1, 8, 64, 1000)
RECORD_BYTES = (100, 4 * 1024, 64 * 1024, 256 * 1024)
PART_BYTES = (4 * 1024, 64 * 1024, 1024 * 1024)
MIB = 2**20


@dataclass(slots=True)
class Side:
    """One way of committing, in a data directory of its own."""

    partitions: list[Partition]
    commit: GroupCommit
    seconds: list[float] = field(default_factory=list)

    def round(self, batch: bytes, count: int) -> None:
        """Append to ``count`` partitions, then commit them as one group."""
        group = self.partitions[:count]
        for partition in group:
            partition.append(batch, now_ms=0)
        started = time.perf_counter()
        self.commit.run(group, lambda _: None)
        self.seconds.append(time.perf_counter() - started)


@contextmanager
def a_side(path: Path, count: int, *, journal: bool) -> Iterator[Side]:
    """A data directory with ``count`` partitions."""
    directory = DataDirectory.open(path, now_ms=0)
    with ThreadPoolExecutor(1) as thread:
        partitions = [
            directory.create_partition("bench", index, uuid.UUID(int=7), LogConfig())
            for index in range(count)
        ]
        commit = directory.group_commit() if journal else GroupCommit()
        if journal:
            directory.prepare()
            directory.on_checkpoint_due = partial(_submit, thread, directory)
        for partition in partitions:
            partition.sync()
        yield Side(partitions, commit)
    directory.abandon()


def _submit(thread: ThreadPoolExecutor, directory: DataDirectory) -> None:
    thread.submit(directory.checkpoint)


def compare(sides: list[Side], count: int, record_bytes: int, seconds: float) -> str:
    """Commit groups in turns; a line of the table."""
    batch = encode_batch([BatchRecord(None, os.urandom(record_bytes))])
    for side in sides:
        side.round(batch, count)
        side.seconds.clear()
    deadline = time.perf_counter() + seconds
    rounds = 0
    while rounds < 5 or time.perf_counter() < deadline:
        for side in sides:
            side.round(batch, count)
        rounds += 1
    medians = [statistics.median(side.seconds) * 1000 for side in sides]
    means = [statistics.mean(side.seconds) * 1000 for side in sides]
    return (
        f"{count:>10} {record_bytes:>10} {rounds:>7}"
        f"{medians[0]:>10.2f} {medians[1]:>10.2f} {medians[0] / medians[1]:>8.2f}"
        f"{means[0]:>10.2f} {means[1]:>10.2f} {means[0] / means[1]:>8.2f}"
    )


def parts(path: Path, size: int, seconds: float) -> str:
    """Ways to make ``size`` bytes durable; a line of the table."""
    files, data = Files(), os.urandom(size)
    there = files.write(path / f"there-{size}", bytes(16 * MIB))
    files.sync(there)
    grows = files.write(path / f"grows-{size}", b"")

    def apart(file: File, position: int) -> None:
        files.pwrite(file, (data,), position)
        files.sync(file)

    ways: list[Callable[[int], None]] = [
        lambda n: files.write_through(there, (data,), n * size % (16 * MIB - size) // 4096 * 4096),
        lambda n: apart(there, n * size % (16 * MIB - size) // 4096 * 4096),
        lambda n: apart(grows, n * size),
    ]
    times: list[list[float]] = [[] for _ in ways]
    deadline = time.perf_counter() + seconds
    number = 0
    while number < 20 or time.perf_counter() < deadline:
        for way, spent in zip(ways, times, strict=True):
            started = time.perf_counter()
            way(number)
            spent.append(time.perf_counter() - started)
        number += 1
    one, two, growing = (statistics.median(spent) * 1000 for spent in times)
    return (
        f"{size:>10} {number:>7}{one:>10.3f} {two:>10.3f} {growing:>10.3f}"
        f"{one / two:>10.2f} {one / growing:>10.2f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="a tenth of the time")
    parser.add_argument("--data", type=Path, help="where to write; a temporary directory if none")
    arguments = parser.parse_args()
    seconds = 0.3 if arguments.quick else 3.0
    with tempfile.TemporaryDirectory(dir=arguments.data) as name:
        root = Path(name)
        print(f"{'':>28}{'median ms of a group':>30}{'mean ms of a group':>30}")
        titles = f"{'journal':>10} {'each':>10} {'share':>8}" * 2
        print(f"{'partitions':>10} {'bytes each':>10} {'groups':>7}{titles}")
        for count in PARTITIONS:
            for record_bytes in RECORD_BYTES:
                place = root / f"{count}-{record_bytes}"
                with (
                    a_side(place / "journal", count, journal=True) as one,
                    a_side(place / "each", count, journal=False) as other,
                ):
                    print(compare([one, other], count, record_bytes, seconds), flush=True)
        print(f"\n{'bytes':>10} {'times':>7}", end="")
        print(f"{'one call':>10} {'two':>10} {'growing':>10}{'one/two':>10} {'/growing':>10}")
        for size in PART_BYTES:
            print(parts(root, size, seconds), flush=True)


if __name__ == "__main__":
    main()

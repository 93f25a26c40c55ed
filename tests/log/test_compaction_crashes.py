"""Compaction and deletion, cut off by a loss of power at every step and in every way."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path
from typing import Any, Final

import pytest

from mq.log.compaction import compact
from mq.log.loader import LastStop, load_partition
from mq.log.partition import Partition
from mq.log.upkeep import compaction_job, delete_old, swap, uncleaned
from mq.testing.disk import Disk, Fate, Image, Unsettled
from mq.wire.batch import BatchRecord, batches, decode_batch, encode_batch

NOW = 1_700_000_000_000
DIRECTORY = Path("/data/orders-0")
ALL: Final = 5  # of so many pending names every combination is tried

Rig = Any
Records = dict[int, tuple[bytes | None, bytes | None]]


def write(partition: Partition, *keys: bytes) -> None:
    for key in keys:
        at = partition.log_end_offset
        record = BatchRecord(key, b"%d" % at, (), NOW + at)
        partition.append(encode_batch([record]), now_ms=NOW)
    partition.roll()
    partition.synced(partition.sync())


def records_of(partition: Partition) -> Records:
    found: Records = {}
    offset = partition.log_start_offset
    while data := partition.read_batches(offset, 1 << 20):
        for position, header in batches(data):
            offset = header.last_offset + 1
            found |= {each.offset: (each.key, each.value) for each in decode_batch(data, position)}
    assert offset == partition.log_end_offset
    return found


def images(unsettled: Unsettled) -> Iterator[Image]:
    """What may be left: combinations of names, and content kept, old or garbage."""
    count = sum(unit.is_name for unit in unsettled.units)
    for chosen in product((Fate.KEPT, Fate.OLD), repeat=count) if count <= ALL else some(count):
        for content in (Fate.KEPT, Fate.OLD, Fate.GARBAGE):
            fates = iter(chosen)
            yield unsettled.image(
                [next(fates) if unit.is_name else content for unit in unsettled.units]
            )


def some(count: int) -> Iterator[tuple[Fate, ...]]:
    """Combinations of many names: all, none, all but one, only one, and twenty at random."""
    for most, other in ((Fate.KEPT, Fate.OLD), (Fate.OLD, Fate.KEPT)):
        yield (most,) * count
        for at in range(count):
            yield (*(most,) * at, other, *(most,) * (count - at - 1))
    chance = random.Random(count)
    for _ in range(20):
        yield tuple(chance.choices((Fate.KEPT, Fate.OLD), k=count))


def crash_at_every_step(
    rig: Rig, disk: Disk, work: Callable[[], object], check: Callable[[Partition], None]
) -> int:
    """Do ``work``; look at all that a crash may leave at each step. How many states there were."""
    seen: set[tuple[tuple[str, bytes | None], ...]] = set()

    def look(_: str) -> None:
        for image in images(disk.unsettled()):
            if (key := tuple(sorted(image.items()))) not in seen:
                seen.add(key)
                check(load(rig, image))

    disk.observer = look
    work()
    look("the end")
    disk.observer = None
    return len(seen)


def load(rig: Rig, image: Image) -> Partition:
    again = type(rig)(DIRECTORY, Disk(image))
    return again.load(recovery_point=rig.recovery_point, log_start=rig.log_start)


@pytest.fixture
def disk() -> Disk:
    return Disk({"/data": None})


@pytest.fixture
def disk_rig(rigs: Any, disk: Disk) -> Rig:
    made = rigs(DIRECTORY, disk)
    made.recovery_point = made.log_start = 0
    return made


@pytest.mark.parametrize("lost", [False, True], ids=["", "checkpoint lost"])
def test_a_crash_leaves_the_old_segments_or_the_new_one(
    disk_rig: Rig, disk: Disk, lost: bool
) -> None:
    partition = disk_rig.create(cleanup_policy=("compact",), segment_bytes=400)
    for keys in ((b"a", b"b"), (b"a", b"c"), (b"d", b"b"), (b"a", b"a", b"b", b"c", b"d")):
        write(partition, *keys)
    disk_rig.recovery_point = 0 if lost else partition.recovery_point
    before = records_of(partition)
    newest = {key: offset for offset, (key, _) in before.items()}
    kept = {offset: before[offset] for offset in newest.values()}

    def work() -> None:
        job = compaction_job(partition, uncleaned(partition, NOW), NOW)
        compact(disk, job, lambda made: swap(partition, made))

    def check(again: Partition) -> None:
        assert again.log_end_offset == partition.log_end_offset
        assert again.recovered.truncated_bytes == 0
        found = records_of(again)
        assert kept.items() <= found.items() <= before.items()
        names = disk.names(DIRECTORY)
        assert again.segments.first_offset == 0, names

    states = crash_at_every_step(disk_rig, disk, work, check)
    assert states > 100
    assert records_of(partition) == kept
    left = [name for name in disk.names(DIRECTORY) if not name.endswith(("checkpoint", "data"))]
    assert {name.split(".")[-1] for name in left} <= {
        "log", "index", "timeindex", "txnindex", "snapshot", "metadata"
    }  # fmt: skip


def test_a_crash_leaves_no_hole_where_old_segments_went(disk_rig: Rig, disk: Disk) -> None:
    partition = disk_rig.create(retention_ms=1000)
    for _ in range(3):
        write(partition, b"a", b"b")
    write(partition, b"c")
    disk_rig.recovery_point = partition.recovery_point
    before = records_of(partition)

    def save() -> None:
        disk_rig.log_start = partition.log_start_offset

    partition._storage.save_log_starts = save

    def check(again: Partition) -> None:
        assert again.recovered.truncated_bytes == 0
        found = records_of(again)
        assert found == {at: each for at, each in before.items() if at >= again.log_start_offset}

    crash_at_every_step(disk_rig, disk, lambda: delete_old(partition, NOW + 1006), check)
    assert partition.first_offset == 6
    assert records_of(partition) == {6: before[6]}


def test_a_restart_ends_a_swap_that_the_disk_refused(disk_rig: Rig, disk: Disk) -> None:
    for verb, ending in (("rename", ".deleted"), ("rename", ".log"), ("sync_directory", "")):
        partition = disk_rig.create(cleanup_policy=("compact",))
        write(partition, b"a", b"b")
        write(partition, b"a", b"b")
        job = compaction_job(partition, uncleaned(partition, NOW), NOW)

        def refused(made: Any) -> bool:
            disk.fail(verb, ending=ending)  # noqa: B023 - called at once
            with pytest.raises(OSError, match="Input/output error"):
                swap(partition, made)  # noqa: B023
            return False

        # The process would remove its leftovers; a broker that dies here kills it before.
        swapped: list[Image] = []

        def die(made: Any) -> bool:
            refused(made)
            swapped.append(disk.image())  # noqa: B023
            return False

        compact(disk, job, die)
        again = load_partition(
            type(disk_rig)(DIRECTORY, Disk(swapped[0])).storage,
            DIRECTORY,
            partition.topic_partition,
            partition.config,
            LastStop(clean=False, recovery_point=partition.recovery_point),
            NOW,
        )
        assert sorted(records_of(again)) == [2, 3]
        disk = Disk({"/data": None})
        disk_rig = type(disk_rig)(DIRECTORY, disk)


def test_a_crash_of_the_start_that_ends_a_swap_leaves_no_old_segment_beside_the_new_one(
    disk_rig: Rig, disk: Disk
) -> None:
    partition = disk_rig.create(cleanup_policy=("compact",))
    for _ in range(3):
        write(partition, b"a", b"b")
    disk_rig.recovery_point = partition.recovery_point
    job = compaction_job(partition, uncleaned(partition, NOW), NOW)
    before_swap: list[Image] = []
    compact(disk, job, lambda _: bool(before_swap.append(disk.image())))
    again = Disk(before_swap[0])
    rig = type(disk_rig)(DIRECTORY, again)

    def check(found: Partition) -> None:
        assert sorted(records_of(found)) == [4, 5]
        ends = [
            max(header.last_offset for _, header in segment.scan())
            for segment in found.segments
            if segment.size
        ]
        assert ends == [5]

    crash_at_every_step(
        disk_rig, again, lambda: rig.load(recovery_point=disk_rig.recovery_point), check
    )

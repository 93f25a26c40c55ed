"""Deletion and compaction as steps beside an owner: what they leave to each other, and behind."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mq.log.compaction import Failed, Job, attempt, compact
from mq.log.partition import Partition
from mq.log.upkeep import compaction_job, delete_old, swap, uncleaned
from mq.wire.batch import BatchRecord, batches, decode_batch, encode_batch

NOW = 1_700_000_000_000
DAY = 24 * 60 * 60 * 1000

Rig = Any


def write(partition: Partition, key: bytes, value: bytes | None = b"v", at: int = NOW) -> None:
    """One record in a segment of its own."""
    if partition.segments.active.size:
        partition.roll()
    partition.append(encode_batch([BatchRecord(key, value, (), at)]), now_ms=NOW, client=False)
    partition.synced(partition.sync())


def records_of(partition: Partition) -> list[BatchRecord]:
    """What readers find, the deleted left out."""
    found: list[BatchRecord] = []
    offset = partition.log_start_offset
    while data := partition.read_batches(offset, 1 << 20):
        for position, header in batches(data):
            found += decode_batch(data, position)
            offset = header.last_offset + 1
    return [record for record in found if record.offset >= partition.log_start_offset]


def job_of(partition: Partition, now_ms: int = NOW) -> Job:
    return compaction_job(partition, uncleaned(partition, now_ms), now_ms)


def test_retention_deletes_no_more_after_compaction_has_merged_the_segments(rig: Rig) -> None:
    partition = rig.create(cleanup_policy=("compact", "delete"), retention_ms=DAY)
    for key, at in ((b"a", NOW), (b"b", NOW), (b"c", NOW + DAY), (b"d", NOW + DAY)):
        write(partition, key, at=at)
    steps = 0

    def on_owner(step: Callable[[], Any]) -> Any:
        nonlocal steps
        steps += 1
        result = step()
        if steps == 1:  # the thread of compaction comes in between
            compact(rig.files, job_of(partition), lambda made: swap(partition, made))
            assert len(partition.segments) == 2
        return result

    assert delete_old(partition, NOW + DAY + 1, on_owner) == 0
    assert partition.log_start_offset == 2
    assert [record.key for record in records_of(partition)] == [b"c", b"d"]


def test_many_segments_go_in_many_short_steps(rig: Rig) -> None:
    partition = rig.create(retention_ms=DAY)
    for _ in range(100):
        write(partition, b"k")
    most = 0

    def on_owner(step: Callable[[], Any]) -> Any:
        nonlocal most
        before = len(partition.segments)
        result = step()
        most = max(most, before - len(partition.segments))
        return result

    assert delete_old(partition, NOW + DAY + 1, on_owner) == 100
    assert most < 20
    assert rig.saves == 1


def test_a_pass_that_fails_leaves_the_disk_as_it_was(faulty_rig: Rig, faulty: Any) -> None:
    partition = faulty_rig.create(cleanup_policy=("compact",))
    for _ in range(3):
        write(partition, b"k")
    before = faulty.names(faulty_rig.path)
    faulty.faults["pwrite"] = ".cleaned"
    assert isinstance(attempt(faulty, job_of(partition), lambda made: True), Failed)
    assert faulty.names(faulty_rig.path) == before


def test_tombstones_may_stay_for_ever(rig: Rig) -> None:
    partition = rig.create(cleanup_policy=("compact",), delete_retention_ms=2**63 - 1)
    write(partition, b"k", None)
    for now_ms in (NOW, NOW + 1000 * DAY):
        write(partition, b"x")
        compact(rig.files, job_of(partition, now_ms), lambda made: swap(partition, made))
        first = records_of(partition)[0]
        assert (first.key, first.value, first.timestamp) == (b"k", None, NOW)

"""Group commit, on its thread and by hand."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mq.errors import KafkaError
from mq.log import unsynced
from mq.log.config import LogConfig
from mq.log.directory import DataDirectory
from mq.log.entries import BLOCK_BYTES
from mq.log.files import File, Files
from mq.log.flusher import Flusher, GroupCommit, fitting
from mq.log.partition import Partition
from mq.log.unsynced import SyncFailed

NOW = 1_700_000_000_000
PATIENCE_S = 30.0

Batch = Callable[..., bytes]
Reports: Any = SimpleQueue


class Gate:
    """Holds syncs back until the test lets them through."""

    def __init__(self) -> None:
        self.entered = threading.Semaphore(0)
        self.open = threading.Semaphore(0)


@pytest.fixture
def gated(fast_files: type[Files]) -> tuple[Files, Gate]:
    gate = Gate()

    class GatedFiles(fast_files):  # type: ignore[misc, valid-type]
        def sync(self, file: File) -> None:
            if file.path.suffix == ".log":
                gate.entered.release()
                assert gate.open.acquire(timeout=PATIENCE_S)

    return GatedFiles(), gate


def unreachable(error: Exception) -> None:
    raise AssertionError(f"a sync failed: {error}")


def test_what_is_appended_during_a_sync_forms_the_next_group(
    tmp_path: Path, rigs: Any, gated: tuple[Files, Gate], batch: Batch
) -> None:
    files, gate = gated
    one, two = (rigs(tmp_path / name, files).create() for name in ("a-0", "b-0"))
    reports: SimpleQueue[list[tuple[Partition, int]]] = SimpleQueue()
    flusher = Flusher(GroupCommit(), reports.put, unreachable)
    one.append(batch(2), now_ms=NOW)
    flusher.request(one)
    assert gate.entered.acquire(timeout=PATIENCE_S)
    for _ in range(3):  # all of this comes while the first sync runs
        one.append(batch(), now_ms=NOW)
        flusher.request(one)
    two.append(batch(), now_ms=NOW)
    flusher.request(two)
    gate.open.release(3)
    assert reports.get(timeout=PATIENCE_S) == [(one, 2)]
    assert reports.get(timeout=PATIENCE_S) == [(one, 5)]
    assert reports.get(timeout=PATIENCE_S) == [(two, 1)]
    flusher.close()
    assert reports.empty()


def test_closing_syncs_what_waits(tmp_path: Path, rigs: Any, fast_files: Any, batch: Batch) -> None:
    partition = rigs(tmp_path / "a-0", fast_files()).create()
    reports: SimpleQueue[list[tuple[Partition, int]]] = SimpleQueue()
    flusher = Flusher(GroupCommit(), reports.put, unreachable)
    partition.append(batch(2), now_ms=NOW)
    flusher.request(partition)
    flusher.close()
    assert reports.get_nowait() == [(partition, 2)]
    assert partition.recovery_point == 2


def test_the_first_error_is_the_last_sync(
    tmp_path: Path, rigs: Any, faulty: Any, batch: Batch
) -> None:
    good, bad = (rigs(tmp_path / name, faulty).create() for name in ("a-0", "b-0"))
    for partition in (good, bad):
        partition.append(batch(), now_ms=NOW)
    faulty.faults = {"sync": ".log"}
    reports: SimpleQueue[list[tuple[Partition, int]]] = SimpleQueue()
    errors: SimpleQueue[Exception] = SimpleQueue()
    flusher = Flusher(GroupCommit(), reports.put, errors.put)
    flusher.request(bad)
    assert isinstance(errors.get(timeout=PATIENCE_S), OSError)
    faulty.faults = {}
    faulty.calls.clear()
    flusher.request(good)
    flusher.close()
    assert reports.empty()
    assert faulty.calls == []
    assert (good.high_watermark, bad.high_watermark, bad.recovery_point) == (0, 0, 0)


def test_closing_tells_of_a_sync_that_failed_and_nothing_syncs_it_again(
    tmp_path: Path, rigs: Any, faulty: Any, batch: Batch
) -> None:
    partition = rigs(tmp_path / "a-0", faulty).create()
    partition.append(batch(), now_ms=NOW)
    faulty.faults = {"sync": ".log"}
    flusher = Flusher(GroupCommit(), Reports.put, lambda error: None)
    flusher.request(partition)
    flusher.close()
    assert isinstance(flusher.error, OSError)
    faulty.faults = {}
    with pytest.raises(OSError, match="No space"):
        partition.close()
    assert partition.recovery_point == 0


def test_many_appends_and_rolls_beside_the_thread_are_all_reported(
    tmp_path: Path, rigs: Any, fast_files: Any, batch: Batch
) -> None:
    partition = rigs(tmp_path / "a-0", fast_files()).create(segment_bytes=500)
    reports: SimpleQueue[list[tuple[Partition, int]]] = SimpleQueue()
    flusher = Flusher(GroupCommit(), reports.put, unreachable)
    for _ in range(500):
        partition.append(batch(), now_ms=NOW)
        flusher.request(partition)
    flusher.close()
    offsets = []
    while not reports.empty():
        offsets += [offset for _, offset in reports.get()]
    assert offsets == sorted(offsets)
    assert offsets[-1] == 500


def test_what_all_partitions_keep_for_the_next_group_is_bounded(
    tmp_path: Path, fast_files: type[Files], batch: Batch, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = len(batch())
    monkeypatch.setattr(unsynced, "KEPT_BYTES_MAX", 3 * size)
    directory = DataDirectory.open(tmp_path / "data", now_ms=NOW, files=fast_files())
    partitions = created(directory, 5)
    for _ in range(3):
        for partition in partitions[:4]:
            partition.append(batch(), now_ms=NOW)
        kept = [partition.take().batches for partition in partitions[:4]]
        assert [each is not None for each in kept] == [True, True, True, False]
    for partition in partitions[1:3]:
        partition.append(batch(), now_ms=NOW)
    directory.delete_partition(partitions[1].topic_partition)  # what it kept counts no longer
    partitions[3].append(batch(), now_ms=NOW)
    partitions[4].append(batch(), now_ms=NOW)
    assert None not in [partition.take().batches for partition in partitions[2:]]
    directory.abandon()


# --- the journal ---------------------------------------------------------------------------------


@given(st.lists(st.integers(1, 100), max_size=20), st.integers(0, 300))
def test_a_group_takes_what_fits_and_who_waits_longest_first(sizes: list[int], room: int) -> None:
    fits = fitting(sizes, room)
    taken = 0
    for size, does in zip(sizes, fits, strict=True):
        assert does == (size <= room - taken)
        taken += size * does


@pytest.fixture
def directory(tmp_path: Path, faulty: Any) -> Iterator[DataDirectory]:
    directory = DataDirectory.open(
        tmp_path / "data", now_ms=NOW, files=faulty, journal_bytes=3 * BLOCK_BYTES
    )
    yield directory
    directory.abandon()


def created(directory: DataDirectory, count: int) -> list[Partition]:
    return [
        directory.create_partition("orders", index, uuid.UUID(int=77), LogConfig())
        for index in range(count)
    ]


def test_one_write_to_the_journal_commits_all_partitions(
    directory: DataDirectory, faulty: Any, batch: Batch
) -> None:
    commit = directory.group_commit()
    directory.prepare()
    partitions = created(directory, 5)
    for partition in partitions:
        partition.append(batch(), now_ms=NOW)
    faulty.calls.clear()
    reports: list[list[tuple[Partition, int]]] = []
    commit.run(partitions, reports.append)
    assert faulty.calls == ["pwrite journal.0", "sync journal.0"]
    assert reports == [[(partition, 1) for partition in partitions]]
    assert {partition.recovery_point for partition in partitions} == {0}


def test_what_finds_no_room_in_the_journal_is_synced_by_itself(
    directory: DataDirectory, faulty: Any, batch: Batch
) -> None:
    commit = directory.group_commit()
    directory.prepare()
    (partition,) = created(directory, 1)
    due: list[int] = []
    directory.on_checkpoint_due = lambda: due.append(partition.log_end_offset)
    reports: list[list[tuple[Partition, int]]] = []
    for _ in range(6):  # the journal has six blocks, and one of them is taken
        partition.append(batch(), now_ms=NOW)
        commit.run([partition], reports.append)
    assert [offset for ((_, offset),) in reports] == [1, 2, 3, 4, 5, 6]
    assert partition.recovery_point == 6
    assert due == [3]
    directory.checkpoint()
    partition.append(batch(), now_ms=NOW)
    commit.run([partition], reports.append)
    assert (partition.recovery_point, partition.log_end_offset) == (6, 7)


@pytest.mark.parametrize("name", ["journal.0", ".log"])
def test_a_sync_that_failed_reports_nothing(
    directory: DataDirectory, faulty: Any, batch: Batch, name: str
) -> None:
    commit = directory.group_commit()
    directory.prepare()
    (partition,) = created(directory, 1)
    partition.append(batch(value=bytes(200_000) if name == ".log" else b""), now_ms=NOW)
    faulty.faults = {"sync": name}
    reports: list[list[tuple[Partition, int]]] = []
    with pytest.raises(OSError, match="No space"):
        commit.run([partition], reports.append)
    assert reports == []


def test_a_sync_that_failed_on_another_thread_is_final_for_all_partitions(
    directory: DataDirectory, faulty: Any, batch: Batch
) -> None:
    commit = directory.group_commit()
    directory.prepare()
    one, two = created(directory, 2)
    for partition in (one, two):
        partition.append(batch(), now_ms=NOW)
    faulty.faults = {"sync_directory": "orders-0"}
    with pytest.raises(KafkaError, match="cannot roll orders-0"):
        one.roll()
    faulty.faults = {}
    assert isinstance(commit.error, SyncFailed)
    reports: list[list[tuple[Partition, int]]] = []
    with pytest.raises(SyncFailed):
        commit.run([two], reports.append)
    assert reports == []


def test_a_checkpoint_whose_sync_failed_is_final_and_frees_nothing(
    directory: DataDirectory, faulty: Any, batch: Batch
) -> None:
    commit = directory.group_commit()
    directory.prepare()
    (partition,) = created(directory, 1)
    for _ in range(3):
        partition.append(batch(), now_ms=NOW)
        commit.run([partition], lambda _: None)
    faulty.faults = {"sync": ".log"}
    with pytest.raises(SyncFailed):
        directory.checkpoint()
    faulty.faults = {}
    with pytest.raises(SyncFailed):
        directory.checkpoint()
    with pytest.raises(SyncFailed):
        partition.sync()

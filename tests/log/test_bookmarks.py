"""Bookmarks spare a start after a crash the reading, and never change what it finds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mq.log.bookmarks import Bookmark, CorruptBookmarkError
from mq.log.partition import Partition
from mq.wire.batch import Producer, batches

NOW = 1_700_000_000_000

Batch = Callable[..., bytes]
Rig = Any


def fill(partition: Partition, batch: Batch, numbers: range) -> None:
    for number in numbers:
        sent = batch(timestamp=NOW + number, producer=Producer(7, 0, number))
        partition.append(sent, now_ms=NOW)


def checkpoint(partition: Partition) -> None:
    partition.checkpointed_offset = partition.sync()


def marks(rig: Rig) -> list[Path]:
    return sorted(rig.path.glob("*.bookmark"))


def state(partition: Partition) -> Any:
    """All that may be found out about a partition."""
    end = partition.log_end_offset
    return (
        end,
        partition.epochs.entries,
        [(number, each.batches) for number, each in partition.producers],
        [partition.segments.active.find(offset) for offset in range(end)],
        [partition.offset_for_timestamp(NOW + number) for number in range(end + 1)],
        partition.max_timestamp(),
        partition.segments.active.latest,
        partition.segments.active.first_ms,
        partition.segments.active.size,
    )


@pytest.fixture
def marked(rig: Rig, batch: Batch) -> Partition:
    """Twenty batches, checkpoints at 4, 9 and 14, of which two bookmarks are left."""
    partition: Partition = rig.create(index_interval_bytes=0)
    for begin in range(0, 20, 5):
        fill(partition, batch, range(begin, begin + 4))
        checkpoint(partition)
        fill(partition, batch, range(begin + 4, begin + 5))
    partition.synced(partition.sync())
    return partition


def without_marks(rig: Rig, recovery_point: int) -> Any:
    kept = {path: path.read_bytes() for path in marks(rig)}
    for path in kept:
        path.unlink()
    found = state(rig.load(recovery_point=recovery_point))
    for path, data in kept.items():
        path.write_bytes(data)
    return found


def test_a_start_reads_on_from_the_bookmark(rig: Rig, marked: Partition) -> None:
    kept = [Bookmark.decode(path.read_bytes()) for path in marks(rig)]
    assert len(kept) == 2
    again = rig.load(recovery_point=20)
    assert again.recovered.scanned_bytes == marked.size - kept[-1].position
    assert state(again) == state(marked)


@pytest.mark.parametrize("recovery_point", range(21))
def test_wherever_the_recovery_point_is_the_same_is_found(
    rig: Rig, marked: Partition, recovery_point: int
) -> None:
    expected = without_marks(rig, recovery_point)
    assert state(rig.load(recovery_point=recovery_point)) == expected


def test_a_bookmark_that_no_crash_could_use_yet_stays_beside_the_one_before(
    rig: Rig, batch: Batch
) -> None:
    partition = rig.create(index_interval_bytes=0)
    fill(partition, batch, range(3))
    assert [path.stem for path in marks(rig)] == [f"{1:020d}"]  # the others have to wait
    checkpoint(partition)
    fill(partition, batch, range(3, 9))
    assert [path.stem for path in marks(rig)] == [f"{1:020d}", f"{4:020d}"]


def test_a_damaged_bookmark_is_not_believed(rig: Rig, marked: Partition) -> None:
    expected = without_marks(rig, 20)
    whole = {path: path.read_bytes() for path in marks(rig)}
    size = min(map(len, whole.values()))
    for position in range(0, size, 7):
        for path, data in whole.items():
            path.write_bytes(data[:position] + bytes((data[position] ^ 4,)) + data[position + 1 :])
        again = rig.load(recovery_point=20)
        assert again.recovered.scanned_bytes == marked.size
        assert state(again) == expected
    for path, data in whole.items():
        path.write_bytes(data[:-1])
        with pytest.raises(CorruptBookmarkError):
            Bookmark.decode(data[:-1])
    assert state(rig.load(recovery_point=20)) == expected


@pytest.mark.parametrize(
    "lie",
    [{"position": 77}, {"base_offset": 3}, {"offsets": b"\0\0\0\1\0\0\0\2"}, {"times": b"?"},
     {"aborted": b"?"}, {"position": 1 << 40}, {"latest": (-1, 0)}],
    ids=lambda lie: next(iter(lie)),
)  # fmt: skip
def test_a_bookmark_that_the_log_contradicts_is_not_believed(
    rig: Rig, marked: Partition, lie: dict[str, Any]
) -> None:
    expected = without_marks(rig, 20)
    for path in marks(rig):
        mark = Bookmark.decode(path.read_bytes())
        path.write_bytes(mark._replace(**lie).encode())
    assert state(rig.load(recovery_point=20)) == expected


def test_a_bookmark_of_a_lost_future_goes(rig: Rig, batch: Batch, marked: Partition) -> None:
    log = rig.path / f"{0:020d}.log"
    starts = [position for position, _ in batches(log.read_bytes())]
    log.write_bytes(log.read_bytes()[: starts[6]])
    again = rig.load(recovery_point=3)
    assert again.log_end_offset == 6
    assert marks(rig) == []
    fill(again, batch, range(6, 20))
    again.synced(again.sync())
    expected = state(again)
    assert state(rig.load(recovery_point=20)) == expected


def test_rot_below_the_recovery_point_is_not_looked_for(rig: Rig, marked: Partition) -> None:
    log = rig.path / f"{0:020d}.log"
    data = log.read_bytes()
    log.write_bytes(data[:70] + b"\x55" + data[71:])
    again = rig.load(recovery_point=20)
    assert (again.log_end_offset, again.recovered.truncated_bytes) == (20, 0)


def test_a_full_disk_does_without_a_bookmark(
    faulty_rig: Rig, faulty: Any, batch: Batch, caplog: pytest.LogCaptureFixture
) -> None:
    partition = faulty_rig.create(index_interval_bytes=0)
    faulty.faults = {"open": ".bookmark"}
    fill(partition, batch, range(3))
    assert partition.log_end_offset == 3
    assert "no bookmark for orders-0" in caplog.text


@given(data=st.data())
def test_a_bookmark_is_read_as_it_was_written(data: st.DataObject) -> None:
    number = st.integers(-(2**63), 2**63 - 1)
    places = st.tuples(number, number, number)
    base, end, position = data.draw(places)
    latest = data.draw(st.tuples(number, number))
    offsets, times, aborted, producers = (data.draw(st.binary()) for _ in range(4))
    since = data.draw(number)
    mark = Bookmark(base, end, position, latest, since, offsets, times, aborted, producers)
    assert Bookmark.decode(mark.encode()) == mark

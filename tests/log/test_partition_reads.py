"""A partition to its readers: by offset, by time, by epoch; and what deletion leaves of it."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mq.errors import ErrorCode, KafkaError
from mq.log.files import Files
from mq.log.partition import Appended, Partition
from mq.log.segments import HOT_BYTES
from mq.log.slices import TAIL_BATCHES, Slice
from mq.log.timestamps import OPENED_BYTES_MAX, Found, Timestamped, Unopened
from mq.log.upkeep import delete_old, expired_segments
from mq.wire.batch import Codec, Producer, batches

NOW = 1_700_000_000_000

Batch = Callable[..., bytes]
Rig = Any


def produced(partition: Partition, data: bytes, *, now_ms: int = NOW) -> Appended:
    return partition.append(data, now_ms=now_ms)


def synced(partition: Partition) -> int:
    """What flusher and broker do together."""
    offset = partition.sync()
    partition.synced(offset)
    return offset


def content(piece: Slice | None) -> bytes:
    assert piece is not None
    return os.pread(piece.file, piece.size, piece.position)


def refusal(call: Callable[[], object]) -> ErrorCode:
    with pytest.raises(KafkaError) as refused:
        call()
    return refused.value.code


# --- read ----------------------------------------------------------------------------------------


@given(data=st.data(), segment_bytes=st.sampled_from([180, 400, 1 << 20]))
def test_every_read_begins_with_its_batch_and_stays_below_its_end(
    tmp_path_factory: pytest.TempPathFactory,
    rigs: Any,
    fast_files: type[Files],
    batch: Batch,
    data: st.DataObject,
    segment_bytes: int,
) -> None:
    rig = rigs(tmp_path_factory.mktemp("read") / "orders-0", fast_files())
    partition = rig.create(segment_bytes=segment_bytes, index_interval_bytes=200)
    counts = data.draw(st.lists(st.integers(1, 4), min_size=1, max_size=20))
    for count in counts:
        produced(partition, batch(count))
    if data.draw(st.booleans()):
        partition = rig.load()
    end = partition.log_end_offset
    offset = data.draw(st.integers(0, end))
    upto = data.draw(st.integers(0, end))
    max_bytes = data.draw(st.integers(0, 600))
    starts = [sum(counts[:number]) for number in range(len(counts))]
    first = max((start for start in starts if start <= offset), default=0)
    visible = max((s for s in [*starts, end] if s <= upto), default=0)
    found = partition.read(offset, max_bytes, upto=upto)
    if offset >= upto or first >= visible:
        assert found is None
        return
    piece = content(found)
    whole = list(batches(piece))
    assert whole[0][1].base_offset == first
    assert whole[-1][1].last_offset < upto
    assert len(piece) <= max(max_bytes, whole[0][1].length)
    complete = whole[-1][0] + whole[-1][1].length
    if complete < len(piece):  # cut off inside a batch: only because of max_bytes
        assert len(piece) == max_bytes


def test_offsets_outside_of_the_log_are_out_of_range(rig: Rig, batch: Batch) -> None:
    partition = rig.create()
    produced(partition, batch(3))
    assert partition.read(3, 100) is None
    for offset in (-1, 4):
        assert refusal(lambda at=offset: partition.read(at, 100)) == (  # type: ignore[misc]
            ErrorCode.OFFSET_OUT_OF_RANGE
        )


def test_reads_reach_batches_that_the_tail_has_forgotten(rig: Rig, batch: Batch) -> None:
    partition = rig.create()
    small = batch()
    for _ in range(TAIL_BATCHES + 10):
        produced(partition, small)
    for offset in (0, 5, TAIL_BATCHES // 2 - 1, TAIL_BATCHES // 2, TAIL_BATCHES + 9):
        for upto in (offset + 1, TAIL_BATCHES + 10):
            piece = content(partition.read(offset, 1, upto=upto))
            assert [h.base_offset for _, h in batches(piece)] == [offset]
    found = partition.read(5, 1 << 20, upto=10)
    assert len(list(batches(content(found)))) == 5


def test_a_gap_at_the_end_of_a_segment_is_read_over(rig: Rig, batch: Batch) -> None:
    # As in a directory that Kafka has compacted: offsets 2 to 4 are nowhere.
    partition = rig.create(segment_bytes=120)
    produced(partition, batch(2))
    partition.log_end_offset = 5
    partition.roll()
    synced(partition)
    assert partition.read(1, 1000) is not None
    assert partition.read(3, 1000) is None
    produced(partition, batch())
    assert content(partition.read(3, 1000, upto=6))[:8] == (5).to_bytes(8, "big")


def test_only_what_was_appended_lately_and_by_this_process_is_hot(rig: Rig, batch: Batch) -> None:
    partition = rig.create()
    large = batch(value=b"x" * 1_000_000)
    for _ in range(3):
        produced(partition, large)
    assert partition.read(0, 1, upto=3).hot
    for _ in range(HOT_BYTES // 1_000_000):
        produced(partition, large)
    assert not partition.read(0, 1, upto=3).hot
    assert partition.read(10, 1, upto=11).hot
    again = rig.load()
    assert not again.read(10, 1).hot
    produced(again, batch())
    assert again.read(11, 1, upto=12).hot


def test_a_slice_can_be_read_after_its_segment_was_deleted(rig: Rig, batch: Batch) -> None:
    partition = rig.create(segment_bytes=100, retention_bytes=0)
    for _ in range(3):
        produced(partition, batch())
    synced(partition)
    held = partition.read(0, 1 << 20)
    before = content(held)
    assert delete_old(partition, NOW) == 3
    assert content(held) == before


# --- time and epochs -----------------------------------------------------------------------------


def test_the_exact_record_of_a_time_is_found_across_segments(rig: Rig, batch: Batch) -> None:
    partition = rig.create(segment_bytes=300)
    for number in range(10):
        produced(partition, batch(3, timestamp=NOW + number * 30, step=10))
    synced(partition)
    for time in range(NOW, NOW + 291, 5):
        exact = (time - NOW + 9) // 10
        assert partition.offset_for_timestamp(time) == (exact, NOW + exact * 10, 0)
    assert partition.offset_for_timestamp(NOW + 291) is None
    assert partition.max_timestamp() == (29, NOW + 290, 0)


def test_times_need_not_rise(rig: Rig, batch: Batch) -> None:
    partition = rig.create(segment_bytes=200)
    for time in (50, 70, 20, 70, 10):
        produced(partition, batch(timestamp=NOW + time))
    synced(partition)
    assert partition.offset_for_timestamp(NOW + 15) == (0, NOW + 50, 0)
    assert partition.offset_for_timestamp(NOW + 60) == (1, NOW + 70, 0)
    assert partition.max_timestamp() == (1, NOW + 70, 0)


def opened(partition: Partition, found: Found) -> Timestamped | None:
    """What a search comes to in the end."""
    while isinstance(found, Unopened):
        batch = found
        found = batch.open() or partition.offset_for_timestamp(batch.timestamp, batch.end_offset)
    return found


@pytest.mark.parametrize("codec", [Codec.GZIP, Codec.ZSTD])
def test_the_exact_record_of_a_time_is_found_in_compressed_batches(
    rig: Rig, batch: Batch, codec: Codec
) -> None:
    partition = rig.create()
    produced(partition, batch(3, timestamp=NOW, step=10, codec=codec))
    produced(partition, batch(3, timestamp=NOW + 20, step=-10, codec=codec))
    synced(partition)
    found = [opened(partition, partition.offset_for_timestamp(NOW + at)) for at in (0, 5, 11, 20)]
    assert found == [(0, NOW, 0), (1, NOW + 10, 0), (2, NOW + 20, 0), (2, NOW + 20, 0)]
    assert partition.offset_for_timestamp(NOW + 21) is None
    assert opened(partition, partition.max_timestamp()) == (2, NOW + 20, 0)
    partition.delete_records_before(4)
    assert opened(partition, partition.offset_for_timestamp(NOW + 5)) == (4, NOW + 10, 0)
    assert opened(partition, partition.offset_for_timestamp(NOW + 15)) is None


def test_a_batch_that_bursts_is_answered_with_its_first_record(rig: Rig, batch: Batch) -> None:
    partition = rig.create()
    huge = bytes(OPENED_BYTES_MAX)
    produced(partition, batch(2, timestamp=NOW, step=10, value=huge, codec=Codec.ZSTD))
    synced(partition)
    found = partition.offset_for_timestamp(NOW + 5)
    assert opened(partition, found) == (0, NOW + 10, 0)


def test_times_show_nothing_that_is_not_synced_or_deleted(rig: Rig, batch: Batch) -> None:
    partition = rig.create()
    assert partition.max_timestamp() is None
    produced(partition, batch(3, timestamp=NOW, step=10))
    assert partition.offset_for_timestamp(NOW) is None
    assert partition.max_timestamp() is None
    synced(partition)
    partition.delete_records_before(2)
    assert partition.offset_for_timestamp(NOW) == (2, NOW + 20, 0)


def test_a_deleted_record_is_not_found_by_its_time(rig: Rig, batch: Batch) -> None:
    partition = rig.create()
    produced(partition, batch(timestamp=NOW + 90))
    produced(partition, batch(2, timestamp=NOW + 80, step=-60))
    produced(partition, batch(timestamp=NOW + 70))
    synced(partition)
    for start, found in ((0, 0), (1, 1), (2, 3), (3, 3)):
        partition.delete_records_before(start)
        assert partition.offset_for_timestamp(NOW + 60)[0] == found
    partition.delete_records_before(4)
    assert partition.offset_for_timestamp(NOW + 60) is None


def test_epochs_are_stamped_kept_and_answered(rig: Rig, batch: Batch) -> None:
    partition = rig.create()
    produced(partition, batch(3))
    assert partition.begin_epoch() == 1
    produced(partition, batch(2))
    assert [h.leader_epoch for _, h in batches(partition.read_batches(0, 1000))] == [0, 1]
    partition = rig.load()
    assert partition.leader_epoch == 1
    assert partition.end_offset_for_epoch(0) == (0, 3)
    assert partition.end_offset_for_epoch(1) == (1, 5)
    assert [partition.epoch_at(offset) for offset in range(5)] == [0, 0, 0, 1, 1]


# --- deletion ------------------------------------------------------------------------------------


def test_deleted_records_are_gone_for_good(rig: Rig, batch: Batch) -> None:
    partition = rig.create(segment_bytes=200)
    for _ in range(6):
        produced(partition, batch())
    synced(partition)
    assert partition.delete_records_before(3) == 3
    assert rig.saves == 1
    assert partition.delete_records_before(2) == 3
    assert refusal(lambda: partition.read(2, 100)) == ErrorCode.OFFSET_OUT_OF_RANGE
    assert refusal(lambda: partition.delete_records_before(7)) == ErrorCode.OFFSET_OUT_OF_RANGE
    assert delete_old(partition, NOW) == 1
    assert partition.first_offset == 2
    again = rig.load(log_start=3)
    assert (again.log_start_offset, again.log_end_offset) == (3, 6)
    assert content(again.read(3, 1000))[:8] == (3).to_bytes(8, "big")


def test_nothing_above_the_high_watermark_can_be_deleted(rig: Rig, batch: Batch) -> None:
    partition = rig.create()
    produced(partition, batch(5))
    assert refusal(lambda: partition.delete_records_before(1)) == ErrorCode.OFFSET_OUT_OF_RANGE


def test_retention_deletes_whole_segments_with_all_their_files(rig: Rig, batch: Batch) -> None:
    partition = rig.create(segment_bytes=200, retention_ms=100)
    for number in range(6):
        produced(partition, batch(timestamp=NOW + number * 100))
    synced(partition)
    now = NOW + 450
    assert expired_segments(partition, now) == 2
    assert delete_old(partition, now) == 2
    assert (partition.log_start_offset, partition.first_offset) == (4, 4)
    assert rig.saves == 1
    assert {path.name for path in rig.path.iterdir() if path.suffix != ".metadata"} == {
        f"{4:020d}.log", f"{4:020d}.snapshot", "leader-epoch-checkpoint"
    }  # fmt: skip
    assert delete_old(partition, now) == 0


def test_an_expired_active_segment_is_rolled_and_deleted(rig: Rig, batch: Batch) -> None:
    partition = rig.create(retention_ms=100)
    produced(partition, batch(3))
    synced(partition)
    assert delete_old(partition, NOW + 1000) == 1
    assert (partition.log_start_offset, partition.log_end_offset, partition.size) == (3, 3, 0)
    assert produced(partition, batch()).base_offset == 3
    assert partition.read(3, 1, upto=4) is not None


def full_disk_then(rig: Rig, failures: int) -> None:
    """Let saving the log start fail so many times for want of space."""
    outcomes = iter([True] * failures)

    def save() -> None:
        if next(outcomes, False):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        rig.saves += 1

    object.__setattr__(rig.storage, "save_log_starts", save)


@pytest.mark.parametrize("failures", [1, 2, 99])
def test_retention_frees_a_disk_that_is_too_full_for_a_checkpoint(
    rig: Rig, batch: Batch, failures: int
) -> None:
    partition = rig.create(segment_bytes=200, retention_ms=100)
    for number in range(8):
        produced(partition, batch(timestamp=NOW + number * 100))
    synced(partition)
    partition.checkpointed_offset = partition.recovery_point
    full_disk_then(rig, failures)
    assert delete_old(partition, NOW + 650) == 3
    assert (partition.log_start_offset, partition.first_offset) == (6, 6)
    assert rig.saves == (0 if failures > 3 else 1)
    assert [path.name for path in sorted(rig.path.glob("*.log"))] == [f"{6:020d}.log"]
    assert partition.read(6, 1000) is not None
    again = rig.load(recovery_point=8)
    assert (again.log_start_offset, again.log_end_offset) == (6, 8)


def test_retention_frees_a_disk_that_is_too_full_to_roll(
    faulty_rig: Rig, faulty: Any, batch: Batch
) -> None:
    partition = faulty_rig.create(segment_bytes=200, retention_ms=100)
    for _ in range(6):
        produced(partition, batch())
    synced(partition)
    faulty.faults = {"pwrite": "snapshot"}
    assert delete_old(partition, NOW + 1000) == 2
    assert (partition.first_offset, partition.log_end_offset) == (4, 6)
    assert refusal(lambda: delete_old(partition, NOW + 1000)) == ErrorCode.KAFKA_STORAGE_ERROR
    faulty.faults = {}
    assert delete_old(partition, NOW + 1000) == 1


def test_a_damaged_segment_grows_old_by_the_time_of_its_file(rig: Rig, batch: Batch) -> None:
    partition = rig.create(segment_bytes=200, retention_ms=100)
    for _ in range(6):
        produced(partition, batch())
    partition.close()
    damaged = rig.path / f"{0:020d}.log"
    damaged.write_bytes(b"\x55" * damaged.stat().st_size)
    again = rig.load(clean=True)
    os.utime(damaged, (NOW / 1000, NOW / 1000))
    assert expired_segments(again, NOW + 100) == 0
    assert delete_old(again, NOW + 101) == 3
    assert not damaged.exists()


def test_a_log_start_that_cannot_be_saved_is_not_raised(
    rig: Rig, batch: Batch, monkeypatch: pytest.MonkeyPatch
) -> None:
    partition = rig.create()
    produced(partition, batch(3))
    synced(partition)

    def fail() -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(rig, "_save", fail)
    object.__setattr__(rig.storage, "save_log_starts", fail)
    assert refusal(lambda: partition.delete_records_before(2)) == ErrorCode.KAFKA_STORAGE_ERROR
    assert partition.log_start_offset == 0


def test_silent_producers_expire(rig: Rig, batch: Batch) -> None:
    partition = rig.create()
    produced(partition, batch(timestamp=5, producer=Producer(7, 0, 0)))  # an old record, stored now
    day = 24 * 60 * 60 * 1000
    assert partition.expire_producers(NOW + day - 1) == 0
    assert partition.expire_producers(NOW + day) == 1
    produced(partition, batch(producer=Producer(7, 0, 55)))

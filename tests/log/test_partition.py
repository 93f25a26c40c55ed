"""A partition to its writers: append, roll, sync; and disks that fail."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest

from mq.errors import ErrorCode, KafkaError
from mq.log.files import Files
from mq.log.partition import Appended, Partition
from mq.log.slices import Slice
from mq.log.unsynced import SyncFailed
from mq.wire.batch import Producer, batches, decode_batch

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


# --- append --------------------------------------------------------------------------------------


def test_batches_get_consecutive_offsets_and_the_leader_epoch(rig: Rig, batch: Batch) -> None:
    partition = rig.create()
    assert produced(partition, batch(3)) == Appended(0, 2, -1, 0, False)
    assert produced(partition, batch(2)) == Appended(3, 4, -1, 0, False)
    data = partition.read_batches(0, 1 << 20)
    assert [(h.base_offset, h.leader_epoch) for _, h in batches(data)] == [(0, 0), (3, 0)]
    assert partition.size == len(data)
    assert (partition.log_end_offset, partition.leader_epoch) == (5, 0)


def test_the_broker_itself_may_append_several_batches_at_once(rig: Rig, batch: Batch) -> None:
    partition = rig.create()
    done = partition.append(batch(2) + batch(1) + batch(3), now_ms=NOW, client=False)
    assert done == Appended(0, 5, -1, 0, False)
    data = partition.read_batches(0, 1 << 20)
    assert [h.base_offset for _, h in batches(data)] == [0, 2, 3]


def test_log_append_time_is_the_broker_s_clock(rig: Rig, batch: Batch) -> None:
    partition = rig.create(message_timestamp_type="LogAppendTime")
    done = produced(partition, batch(2, timestamp=5))
    assert done.log_append_time == NOW
    records = decode_batch(partition.read_batches(0, 1000))
    assert [record.timestamp for record in records] == [NOW, NOW]
    synced(partition)
    assert partition.offset_for_timestamp(NOW) == (0, NOW, 0)


def test_a_repeated_batch_succeeds_where_its_first_copy_lies(rig: Rig, batch: Batch) -> None:
    partition = rig.create()
    sent = [batch(2, producer=Producer(7, 0, 2 * number)) for number in range(6)]
    first = [produced(partition, each) for each in sent]
    size = partition.size
    for number in range(1, 6):
        again = produced(partition, sent[number], now_ms=NOW + 50)
        assert again == first[number]._replace(duplicate=True)
    assert refusal(lambda: produced(partition, sent[0])) == ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER
    assert (partition.size, partition.log_end_offset) == (size, 12)


def test_a_repeated_batch_has_the_append_time_of_its_first_copy(rig: Rig, batch: Batch) -> None:
    partition = rig.create(message_timestamp_type="LogAppendTime")
    sent = batch(producer=Producer(7, 0, 0))
    produced(partition, sent, now_ms=NOW)
    assert produced(partition, sent, now_ms=NOW + 9).log_append_time == NOW


@pytest.mark.parametrize(
    ("producer", "code"),
    [
        (Producer(7, 1, 2), ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER),
        (Producer(7, 2, 1), ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER),
        (Producer(7, 0, 1), ErrorCode.INVALID_PRODUCER_EPOCH),
    ],
)
def test_a_batch_out_of_sequence_is_refused(
    rig: Rig, batch: Batch, producer: Producer, code: ErrorCode
) -> None:
    partition = rig.create()
    produced(partition, batch(producer=Producer(7, 1, 0)))
    assert refusal(lambda: produced(partition, batch(producer=producer))) == code
    assert partition.log_end_offset == 1
    produced(partition, batch(producer=Producer(7, 1, 1)))


def test_a_refused_batch_leaves_nothing_behind(rig: Rig, batch: Batch) -> None:
    partition = rig.create()
    damaged = batch()[:-1] + b"\x7f"
    assert refusal(lambda: produced(partition, damaged)) == ErrorCode.CORRUPT_MESSAGE
    assert (partition.size, partition.log_end_offset) == (0, 0)


# --- failing disks -------------------------------------------------------------------------------


@pytest.mark.parametrize("half_written", [0, 1, 61, 80])
@pytest.mark.parametrize("truncate_fails", [False, True])
def test_an_append_that_fails_leaves_the_partition_as_it_was(
    faulty_rig: Rig, faulty: Any, batch: Batch, half_written: int, truncate_fails: bool
) -> None:
    partition = faulty_rig.create()
    produced(partition, batch(2, producer=Producer(7, 0, 0)))
    before = partition.read_batches(0, 1 << 20)
    faulty.faults, faulty.half_written = {"pwrite": ".log"}, half_written
    if truncate_fails:
        faulty.faults["truncate"] = ".log"
    next_one = batch(1, producer=Producer(7, 0, 2))
    assert refusal(lambda: produced(partition, next_one)) == ErrorCode.KAFKA_STORAGE_ERROR
    assert (partition.log_end_offset, partition.size) == (2, len(before))
    assert partition.read_batches(0, 1 << 20) == before
    faulty.faults = {}
    assert produced(partition, next_one) == Appended(2, 2, -1, 0, False)
    whole = partition.read_batches(0, 1 << 20)
    assert (faulty_rig.path / f"{0:020d}.log").read_bytes() == whole
    assert faulty_rig.load().log_end_offset == 3


def test_a_stop_cuts_what_a_failed_append_left(faulty_rig: Rig, faulty: Any, batch: Batch) -> None:
    partition = faulty_rig.create()
    produced(partition, batch())
    faulty.faults, faulty.half_written = {"pwrite": ".log", "truncate": ".log"}, 10
    assert refusal(lambda: produced(partition, batch())) == ErrorCode.KAFKA_STORAGE_ERROR
    faulty.faults = {}
    partition.close()
    assert (faulty_rig.path / f"{0:020d}.log").stat().st_size == len(batch())
    assert faulty_rig.load(clean=True).recovered.clean


@pytest.mark.parametrize("ending", [".index", ".timeindex", ".snapshot", ".log"])
@pytest.mark.parametrize("verb", ["open", "pwrite"])
def test_a_roll_that_fails_leaves_the_old_segment_active(
    faulty_rig: Rig, faulty: Any, batch: Batch, everything: Any, ending: str, verb: str
) -> None:
    partition = faulty_rig.create(segment_bytes=300, index_interval_bytes=0)
    for _ in range(3):
        produced(partition, batch())
    faulty.faults = {verb: ending}
    assert refusal(lambda: produced(partition, batch())) == ErrorCode.KAFKA_STORAGE_ERROR
    assert partition.log_end_offset == 3
    faulty.faults = {}
    produced(partition, batch())
    assert partition.log_end_offset == 4
    found = everything(partition)
    assert len(list(batches(found))) == 4
    again = faulty_rig.load()
    assert everything(again) == found
    assert again.recovered.truncated_bytes == 0


def test_a_read_that_fails_is_a_storage_error(faulty_rig: Rig, faulty: Any, batch: Batch) -> None:
    partition = faulty_rig.create(segment_bytes=100)
    for _ in range(3):
        produced(partition, batch())
    faulty.faults = {"pread": ".log"}
    assert refusal(lambda: partition.read(0, 100, upto=3)) == ErrorCode.KAFKA_STORAGE_ERROR
    assert refusal(lambda: partition.offset_for_timestamp(1)) == ErrorCode.KAFKA_STORAGE_ERROR


# --- sync ----------------------------------------------------------------------------------------


def test_the_high_watermark_is_what_is_synced(rig: Rig, batch: Batch) -> None:
    partition = rig.create()
    produced(partition, batch(3))
    assert partition.high_watermark == 0
    assert partition.read(0, 100) is None
    offset = partition.sync()
    produced(partition, batch(2))
    assert partition.high_watermark == 0  # until the owner hears of it
    assert partition.synced(offset)
    assert not partition.synced(offset)
    assert (partition.high_watermark, partition.recovery_point) == (3, 3)
    assert len(list(batches(content(partition.read(0, 1 << 20))))) == 1


def test_without_syncing_the_high_watermark_is_the_log_end(
    tmp_path: Any, rigs: Any, fast_files: type[Files], batch: Batch
) -> None:
    partition = rigs(tmp_path / "orders-0", fast_files(), durable=False).create()
    produced(partition, batch(3))
    assert (partition.high_watermark, partition.recovery_point) == (3, 0)
    assert not partition.synced(3)


def test_a_new_partition_is_synced_with_its_names_and_then_only_what_was_written(
    faulty_rig: Rig, faulty: Any, batch: Batch
) -> None:
    partition = faulty_rig.create()
    produced(partition, batch())
    faulty.calls.clear()
    partition.sync()
    log = f"{0:020d}.log"
    assert faulty.calls == [
        "sync partition.metadata",
        "sync leader-epoch-checkpoint",
        f"sync {log}",
        "sync_directory orders-0",
        f"sync_directory {faulty_rig.path.parent.name}",
    ]
    faulty.calls.clear()
    assert partition.sync() == 1
    assert faulty.calls == []
    produced(partition, batch())
    faulty.calls.clear()
    assert partition.sync() == 2
    assert faulty.calls == [f"sync {log}"]


def test_after_a_roll_everything_sealed_is_synced_before_the_offset_counts(
    faulty_rig: Rig, faulty: Any, batch: Batch
) -> None:
    partition = faulty_rig.create(segment_bytes=100)
    produced(partition, batch())
    partition.sync()
    produced(partition, batch())
    faulty.calls.clear()
    assert partition.sync() == 2
    old, new = f"{0:020d}", f"{1:020d}"
    sealed = [f"sync {old}.{kind}" for kind in ("log", "index", "timeindex", "txnindex")]
    written = [f"sync {new}.snapshot", f"sync {new}.log"]
    assert faulty.calls == [*sealed, *written, "sync_directory orders-0"]


def test_without_syncing_only_sealed_segments_are_synced(
    tmp_path: Any, rigs: Any, faulty: Any, batch: Batch
) -> None:
    partition = rigs(tmp_path / "orders-0", faulty, durable=False).create(segment_bytes=100)
    partition.sync()
    produced(partition, batch())
    faulty.calls.clear()
    assert partition.sync() == 0
    assert faulty.calls == []
    produced(partition, batch())
    faulty.calls.clear()
    assert partition.sync() == 1
    assert f"sync {0:020d}.log" in faulty.calls
    assert f"sync {1:020d}.snapshot" in faulty.calls
    partition.close()
    assert faulty.calls.count(f"sync {1:020d}.log") == 2


def test_a_roll_during_a_sync_is_left_to_the_next_one(
    faulty_rig: Rig, faulty: Any, batch: Batch, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = len(batch())
    partition = faulty_rig.create(segment_bytes=2 * size)
    produced(partition, batch())
    partition.sync()  # the names, for which a roll would wait
    produced(partition, batch())
    real = faulty.sync_each

    def roll_meanwhile(*what: Any) -> None:
        monkeypatch.setattr(faulty, "sync_each", real)
        produced(partition, batch())
        real(*what)

    monkeypatch.setattr(faulty, "sync_each", roll_meanwhile)
    assert partition.sync() == 2
    faulty.calls.clear()
    assert partition.sync() == 3
    assert f"sync {0:020d}.index" in faulty.calls
    assert f"sync {2:020d}.log" in faulty.calls


def test_a_sync_never_claims_what_comes_after_it_began(
    rig: Rig, batch: Batch, monkeypatch: pytest.MonkeyPatch
) -> None:
    partition = rig.create()
    produced(partition, batch())
    real = rig.files.sync

    def append_meanwhile(file: Any) -> None:
        monkeypatch.undo()
        produced(partition, batch())
        real(file)

    monkeypatch.setattr(rig.files, "sync", append_meanwhile)
    assert partition.sync() == 1
    assert (partition.log_end_offset, partition.recovery_point) == (2, 1)
    assert partition.sync() == 2


def test_a_sync_of_a_deleted_partition_is_no_error(rig: Rig, batch: Batch) -> None:
    partition = rig.create()
    produced(partition, batch())
    partition.mark_deleted()
    rig.path.rename(rig.path.with_name("gone"))
    assert partition.sync() == 1


def test_a_sync_that_a_deletion_overtakes_is_no_error(
    rig: Rig, batch: Batch, monkeypatch: pytest.MonkeyPatch
) -> None:
    partition = rig.create()
    produced(partition, batch())
    real = rig.files.sync_directory

    def delete_meanwhile(path: Any) -> None:
        partition.mark_deleted()
        rig.path.rename(rig.path.with_name("gone"))
        real(path)

    monkeypatch.setattr(rig.files, "sync_directory", delete_meanwhile)
    assert partition.sync() == 1


def test_a_directory_that_vanished_by_itself_is_an_error(rig: Rig, batch: Batch) -> None:
    partition = rig.create()
    produced(partition, batch())
    rig.path.rename(rig.path.with_name("gone"))
    with pytest.raises(SyncFailed, match="No such file"):
        partition.sync()

"""What a start makes of what the last stop, or a crash, has left."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mq.log.config import LogConfig
from mq.log.loader import LOST_TOPIC_ID
from mq.log.partition import Partition
from mq.log.recovery import Recovered
from mq.log.upkeep import delete_old
from mq.wire.batch import Producer, batches

NOW = 1_700_000_000_000
LATER = NOW + 5_000

Batch = Callable[..., bytes]
Rig = Any


def file(rig: Rig, offset: int, kind: str) -> Any:
    return rig.path / f"{offset:020d}.{kind}"


def fill(partition: Partition, batch: Batch, numbers: range, producer_id: int = 7) -> None:
    """One record each, of one producer, a millisecond apart."""
    for number in numbers:
        sent = batch(timestamp=NOW + number, producer=Producer(producer_id, 0, number))
        partition.append(sent, now_ms=NOW)


def sequences(partition: Partition) -> dict[int, list[int]]:
    return {
        producer_id: [each.last_offset for each in state.batches]
        for producer_id, state in partition.producers
    }


@pytest.fixture
def filled(rig: Rig, batch: Batch) -> Partition:
    """Ten records of one producer, two in a segment; three segments sealed and synced with it."""
    partition: Partition = rig.create(segment_bytes=200, index_interval_bytes=0)
    fill(partition, batch, range(10))
    return partition


# --- a stop in order -----------------------------------------------------------------------------


def test_after_a_stop_in_order_nothing_is_scanned(
    rig: Rig, filled: Partition, batch: Batch, everything: Any
) -> None:
    before = everything(filled)
    filled.close()
    again = rig.load(clean=True)
    assert again.recovered == Recovered(after_clean_stop=True)
    assert everything(again) == before
    assert (again.high_watermark, again.recovery_point) == (10, 10)
    assert sequences(again) == {7: [5, 6, 7, 8, 9]}
    assert again.topic_id == filled.topic_id
    again.append(batch(producer=Producer(7, 0, 10)), now_ms=NOW)
    assert again.log_end_offset == 11


def test_a_second_stop_without_an_append_writes_nothing(
    faulty_rig: Rig, faulty: Any, batch: Batch
) -> None:
    partition = faulty_rig.create()
    fill(partition, batch, range(3))
    partition.close()
    again = faulty_rig.load(clean=True)
    faulty.calls.clear()
    again.close()
    assert [call for call in faulty.calls if "write" in call] == []


def test_a_roll_without_an_append_is_stopped_in_order_too(rig: Rig, filled: Partition) -> None:
    filled.close()
    again = rig.load(clean=True)
    again.config = LogConfig(retention_bytes=0)
    assert delete_old(again, NOW) == 5
    again.close()
    third = rig.load(clean=True, log_start=10)
    assert (third.log_start_offset, third.log_end_offset) == (10, 10)
    assert third.recovered.clean


def test_an_empty_partition_survives_a_stop(rig: Rig, batch: Batch) -> None:
    rig.create().close()
    again = rig.load(clean=True)
    assert (again.log_end_offset, again.leader_epoch, again.recovered.clean) == (0, 0, True)
    again.append(batch(), now_ms=NOW)
    assert again.log_end_offset == 1


def test_a_marker_that_lies_is_found_out_by_the_end_of_the_log(
    rig: Rig, filled: Partition, everything: Any
) -> None:
    filled.close()
    log = file(rig, 8, "log")
    log.write_bytes(log.read_bytes()[:-1])
    again = rig.load(clean=True)
    assert (again.log_end_offset, again.recovered.clean) == (9, False)
    assert again.leader_epoch == 1


# --- crashes -------------------------------------------------------------------------------------


def test_a_torn_tail_is_cut_at_the_last_whole_batch(
    rig: Rig, filled: Partition, everything: Any
) -> None:
    whole = everything(filled)
    starts = [position for position, _ in batches(whole)] + [len(whole)]
    tail = file(rig, 8, "log").read_bytes()
    for length in range(len(tail) + 1):
        file(rig, 8, "log").write_bytes(tail[:length])
        (rig.path / "leader-epoch-checkpoint").write_bytes(b"0\n1\n0 0\n")
        again = rig.load(recovery_point=8)
        kept = len(whole) - len(tail) + length
        end = max(start for start in starts if start <= kept)
        assert everything(again) == whole[:end]
        assert again.recovered.truncated_bytes == kept - end
        assert again.leader_epoch == (1 if kept > end else 0)
        assert file(rig, 8, "log").read_bytes() == tail[: length - (kept - end)]


def test_a_flipped_bit_in_the_tail_cuts_its_batch_or_is_harmless(
    rig: Rig, filled: Partition, everything: Any
) -> None:
    whole = everything(filled)
    tail = file(rig, 8, "log").read_bytes()
    half = len(tail) // 2
    for position in range(len(tail)):
        damaged = bytearray(tail)
        damaged[position] ^= 1 << position % 8
        file(rig, 8, "log").write_bytes(damaged)
        again = rig.load(recovery_point=8)
        kept = whole[: len(whole) - len(tail) + (half if position >= half else 0)]
        if position % half in range(
            12, 16
        ):  # the leader epoch: no checksum, and nobody relies on it
            kept = whole[: len(whole) - len(tail)] + damaged
        assert everything(again) == kept


def test_a_hole_takes_everything_behind_it(rig: Rig, filled: Partition, everything: Any) -> None:
    whole = everything(filled)
    log = file(rig, 4, "log")
    size = log.stat().st_size
    log.write_bytes(log.read_bytes()[: size // 2])  # a whole batch is missing, none is torn
    again = rig.load(recovery_point=2)
    assert again.log_end_offset == 5
    assert everything(again) == whole[: 2 * size + size // 2]
    assert again.recovered[:4] == (False, 2 * size - size // 2, 2 * size, 2)
    assert sorted(path.name for path in rig.path.glob("*.log")) == [
        f"{offset:020d}.log" for offset in (0, 2, 4)
    ]
    assert not list(rig.path.glob("0*0[68].*"))
    assert again.leader_epoch == 1
    assert sequences(again) == {7: [0, 1, 2, 3, 4]}


def test_a_damaged_batch_takes_the_segments_behind_it(
    rig: Rig, filled: Partition, everything: Any
) -> None:
    whole = everything(filled)
    log = file(rig, 4, "log")
    size = log.stat().st_size
    log.write_bytes(log.read_bytes()[:-1] + b"\x55")
    again = rig.load(recovery_point=2)
    assert everything(again) == whole[: 2 * size + size // 2]
    assert again.recovered[2:4] == (2 * size + size // 2, 2)
    assert rig.load(recovery_point=2).log_end_offset == 5


def test_what_was_synced_is_set_aside_before_it_is_cut(
    rig: Rig, filled: Partition, everything: Any, caplog: pytest.LogCaptureFixture
) -> None:
    whole = everything(filled)
    log = file(rig, 4, "log")
    rotten = b"\x55" * 20 + log.read_bytes()[20:]
    log.write_bytes(rotten)
    behind = [file(rig, offset, "log").read_bytes() for offset in (6, 8)]
    again = rig.load(recovery_point=5)
    assert again.log_end_offset == 4
    assert everything(again) == whole[: 2 * len(rotten)]
    assert again.recovered.truncated_bytes == 3 * len(rotten)
    assert again.recovered.lost_synced
    assert again.recovered.batches_behind
    kept = [file(rig, offset, "log.damaged") for offset in (4, 6, 8)]
    assert [path.read_bytes() for path in kept] == [rotten, *behind]
    assert again.recovered.set_aside == tuple(path.name for path in kept)
    assert all(str(path) in caplog.text for path in kept)
    second = rig.load(recovery_point=4)
    assert not second.recovered.lost_synced
    assert second.recovered.set_aside == again.recovered.set_aside
    assert kept[0].exists()


def test_a_cut_tells_what_a_crash_cannot_have_done(
    rig: Rig, filled: Partition, batch: Batch
) -> None:
    log = file(rig, 8, "log")
    tail = log.read_bytes()
    log.write_bytes(tail[:-1])
    torn = rig.load(recovery_point=8).recovered
    assert (torn.lost_synced, torn.batches_behind, torn.set_aside) == (False, False, ())
    log.write_bytes(tail[:30] + b"\x55" + tail[31:])
    holed = rig.load(recovery_point=8).recovered
    assert (holed.lost_synced, holed.batches_behind, holed.set_aside) == (False, True, ())
    log.write_bytes(tail[:-1])
    claimed = rig.load(clean=True, recovery_point=8).recovered
    assert (claimed.after_clean_stop, claimed.clean, claimed.lost_synced) == (True, False, True)
    log.unlink()
    shorter = rig.load(clean=True, recovery_point=10)
    assert (shorter.log_end_offset, shorter.recovered.truncated_bytes) == (8, 0)
    assert shorter.recovered.lost_synced


def test_damage_below_the_recovery_point_takes_nothing(
    rig: Rig, filled: Partition, everything: Any
) -> None:
    whole = everything(filled)
    log = file(rig, 0, "log")
    log.write_bytes(log.read_bytes()[:-1] + b"\x55")
    again = rig.load(recovery_point=8)
    assert (again.log_start_offset, again.log_end_offset) == (0, 10)
    assert again.recovered.truncated_bytes == 0
    assert again.size == len(whole)  # whoever reads the damage is told


@pytest.mark.parametrize("clean", [True, False])
@pytest.mark.parametrize(
    "lost", ["index", "timeindex", "snapshot", "leader-epoch-checkpoint", "everything"]
)
@pytest.mark.parametrize("how", ["missing", "empty", "damaged"])
def test_whatever_else_is_lost_is_found_in_the_log(
    rig: Rig, filled: Partition, batch: Batch, everything: Any, clean: bool, lost: str, how: str
) -> None:
    filled.begin_epoch()
    filled.append(batch(timestamp=NOW + 10, producer=Producer(7, 0, 10)), now_ms=NOW)
    expected = everything(filled), sequences(filled), filled.epochs.entries
    if clean:
        filled.close()
    else:
        filled.sync()
    for path in rig.path.iterdir():
        if path.suffix != ".log" and (lost == "everything" or path.name.endswith(lost)):
            if how == "missing":
                path.unlink()
            else:
                path.write_bytes(b"" if how == "empty" else path.read_bytes()[:-1] + b"?")
    again = rig.load(clean=clean, recovery_point=10, now=LATER)
    assert (everything(again), sequences(again), again.epochs.entries) == expected
    assert again.topic_id == (LOST_TOPIC_ID if lost == "everything" else filled.topic_id)
    for number in range(11):
        assert again.offset_for_timestamp(NOW + number)[:2] == (number, NOW + number)
    again.append(batch(producer=Producer(7, 0, 11)), now_ms=LATER)
    again.close()
    third = rig.load(clean=True)
    assert third.log_end_offset == 12
    assert third.recovered.clean


def test_recovering_twice_changes_nothing_more(
    rig: Rig, filled: Partition, everything: Any
) -> None:
    log = file(rig, 8, "log")
    log.write_bytes(log.read_bytes()[:-1])
    first = rig.load(recovery_point=8)
    second = rig.load(recovery_point=8)
    assert first.recovered.truncated_bytes > 0
    assert second.recovered.truncated_bytes == 0
    assert everything(first) == everything(second)
    assert first.epochs.entries == second.epochs.entries == [(0, 0), (1, 9)]


def test_a_snapshot_of_a_lost_future_is_not_believed(
    rig: Rig, filled: Partition, batch: Batch
) -> None:
    filled.close()  # a snapshot at 10
    log = file(rig, 8, "log")
    log.write_bytes(log.read_bytes()[:-1])
    again = rig.load(recovery_point=8)
    assert again.log_end_offset == 9
    assert not file(rig, 10, "snapshot").exists()
    assert sequences(again) == {7: [4, 5, 6, 7, 8]}
    again.append(batch(producer=Producer(7, 0, 9)), now_ms=NOW)


def test_without_syncing_every_crash_begins_an_epoch(
    tmp_path: Any, rigs: Any, fast_files: Any, batch: Batch
) -> None:
    rig = rigs(tmp_path / "orders-0", fast_files(), durable=False)
    fill(rig.create(), batch, range(3))
    again = rig.load()
    assert (again.log_end_offset, again.leader_epoch) == (3, 1)
    again.close()
    assert rig.load(clean=True).leader_epoch == 1


def test_producers_found_in_the_log_live_from_now_on(
    rig: Rig, filled: Partition, batch: Batch
) -> None:
    fill(filled, batch, range(2), producer_id=8)
    filled.close()
    clean = rig.load(clean=True, now=LATER)
    assert {state.timestamp for _, state in clean.producers} == {NOW}
    for snapshot in rig.path.glob("*.snapshot"):
        snapshot.unlink()
    replayed = rig.load(clean=True, now=LATER)
    assert {state.timestamp for _, state in replayed.producers} == {LATER}
    assert sequences(replayed) == sequences(clean)


# --- leftovers -----------------------------------------------------------------------------------


def test_leftovers_of_interrupted_work_go(rig: Rig, filled: Partition, everything: Any) -> None:
    whole = everything(filled)
    filled.close()
    leftovers = ["0" * 20 + ".log.deleted", "0" * 20 + ".index.cleaned", "x.tmp",
                 f"{99:020d}.index", f"{99:020d}.timeindex"]  # fmt: skip
    for name in leftovers:
        (rig.path / name).write_bytes(b"?")
    again = rig.load(clean=True)
    assert not [name for name in leftovers if (rig.path / name).exists()]
    assert everything(again) == whole
    assert again.recovered.clean


def test_an_interrupted_compaction_takes_its_place(
    rig: Rig, filled: Partition, everything: Any
) -> None:
    filled.close()
    kept = file(rig, 0, "log").read_bytes() + file(rig, 2, "log").read_bytes()
    file(rig, 0, "log.swap").write_bytes(kept)
    whole = everything(filled)
    again = rig.load(clean=True)
    assert everything(again) == whole
    assert sorted(path.name for path in rig.path.glob("*.log*")) == [
        f"{offset:020d}.log" for offset in (0, 4, 6, 8)
    ]
    assert again.offset_for_timestamp(NOW + 3) == (3, NOW + 3, 0)


def test_segments_that_were_deleted_stay_deleted(
    rig: Rig, filled: Partition, everything: Any
) -> None:
    for lost in (file(rig, 2, "log"), file(rig, 2, "snapshot")):
        lost.unlink()  # of two deletions a crash has undone the first, not the second
    again = rig.load(recovery_point=0, log_start=5)
    assert (again.log_start_offset, again.log_end_offset) == (5, 10)
    assert sorted(path.name for path in rig.path.glob("*.log")) == [
        f"{offset:020d}.log" for offset in (4, 6, 8)
    ]


def test_a_log_that_lost_more_than_was_deleted_begins_at_the_log_start(
    rig: Rig, filled: Partition, batch: Batch
) -> None:
    for offset in (2, 4, 6, 8):
        file(rig, offset, "log").unlink()
    again = rig.load(log_start=7)
    assert (again.log_start_offset, again.log_end_offset) == (7, 7)
    assert again.leader_epoch == 1
    assert again.append(batch(), now_ms=NOW).base_offset == 7


# --- all together --------------------------------------------------------------------------------


@given(data=st.data())
def test_any_crash_of_the_process_keeps_a_prefix_and_all_that_was_synced(
    tmp_path_factory: pytest.TempPathFactory,
    rigs: Any,
    fast_files: Any,
    batch: Batch,
    everything: Any,
    data: st.DataObject,
) -> None:
    rig = rigs(tmp_path_factory.mktemp("crash") / "orders-0", fast_files())
    partition = rig.create(segment_bytes=data.draw(st.sampled_from([100, 250, 10_000])))
    count = data.draw(st.integers(1, 12))
    synced = data.draw(st.integers(0, count))
    fill(partition, batch, range(synced))
    point = partition.sync()
    fill(partition, batch, range(synced, count))
    whole, last = everything(partition), file(rig, partition._segments.active.base_offset, "log")
    tail = last.read_bytes()
    safe = 0 if partition._segments.active.base_offset > synced else (
        sum(h.length for _, h in batches(tail) if h.base_offset < synced)
    )  # fmt: skip
    cut = data.draw(st.integers(safe, len(tail)))
    last.write_bytes(tail[:cut] + data.draw(st.binary(max_size=80)))
    again = rig.load(recovery_point=data.draw(st.integers(0, point)))
    assert synced <= again.log_end_offset <= count
    assert whole.startswith(everything(again))
    end = again.log_end_offset
    assert sequences(again) == ({7: list(range(max(0, end - 5), end))} if end else {})

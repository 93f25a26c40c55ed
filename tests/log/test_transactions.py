"""Transactions of one partition against a plain model, through rolls, stops, crashes and losses."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mq.errors import ErrorCode, KafkaError
from mq.log.config import LogConfig
from mq.log.partition import Partition
from mq.log.transactions import Marker
from mq.log.upkeep import delete_old
from mq.wire.batch import (
    CONTROL,
    TRANSACTIONAL,
    BatchRecord,
    Producer,
    batches,
    decode_batch,
    encode_batch,
    read_header,
)

NOW = 1_700_000_000_000

Rig = Any


def batch(producer: Producer, count: int = 1, *, attributes: int = TRANSACTIONAL) -> bytes:
    records = [BatchRecord(b"k", b"v" * 20, timestamp=NOW)] * count
    return encode_batch(records, attributes=attributes, producer=producer)


def write(partition: Partition, producer_id: int, sequence: int = 0, count: int = 1) -> int:
    sent = batch(Producer(producer_id, 0, sequence), count)
    return partition.append(sent, now_ms=NOW, transaction_version=1).base_offset


def end(partition: Partition, producer_id: int, *, commit: bool) -> int:
    return partition.append_marker(Marker(producer_id, 0, 0, commit), now_ms=NOW).base_offset


def sync(partition: Partition) -> None:
    partition.synced(partition.sync())


# --- markers -------------------------------------------------------------------------------------


def test_a_marker_is_the_control_batch_that_kafka_writes() -> None:
    data = Marker(3, 1, 9, commit=True).encode(NOW)
    header = read_header(data)
    assert header.attributes == TRANSACTIONAL | CONTROL
    assert (header.producer_id, header.producer_epoch, header.base_sequence) == (3, 1, -1)
    [record] = decode_batch(data)
    assert (record.key, record.value) == (b"\0\0\0\1", b"\0\0\0\0\0\x09")
    assert record.timestamp == NOW
    [record] = decode_batch(Marker(3, 1, 9, commit=False).encode(NOW))
    assert record.key == b"\0\0\0\0"


@pytest.mark.parametrize("commit", [True, False])
def test_a_marker_is_read_as_it_was_written(commit: bool) -> None:
    marker = Marker(2**40, 32_767, 5, commit)
    assert Marker.decode(marker.encode(NOW)) == marker


def test_other_control_batches_end_no_transaction() -> None:
    for key, value in ((b"\0\0\0\2", b"\0\0\0\0\0\0"), (b"\0\0", b"\0"), (None, None)):
        record = BatchRecord(key, value)
        data = encode_batch([record], attributes=CONTROL, producer=Producer(1, 0, -1))
        assert Marker.decode(data) is None


# --- what readers see ----------------------------------------------------------------------------


def test_readers_of_committed_records_stop_at_the_oldest_open_transaction(rig: Rig) -> None:
    partition = rig.create()
    partition.append(batch(Producer(-1, -1, -1), 3, attributes=0), now_ms=NOW)
    write(partition, 1)
    write(partition, 2)
    sync(partition)
    assert partition.last_stable_offset == 3
    end(partition, 1, commit=True)
    sync(partition)
    assert partition.last_stable_offset == 4
    end(partition, 2, commit=True)
    sync(partition)
    assert partition.last_stable_offset == partition.high_watermark == 7


def test_an_end_that_a_crash_could_take_back_ends_nothing_for_readers(rig: Rig) -> None:
    partition = rig.create()
    write(partition, 1)
    write(partition, 2)
    sync(partition)
    end(partition, 2, commit=True)
    end(partition, 1, commit=True)
    assert (partition.high_watermark, partition.last_stable_offset) == (2, 0)
    partition.synced(3)
    assert partition.last_stable_offset == 0
    partition.synced(4)
    assert partition.last_stable_offset == 4


def test_nothing_is_stable_below_the_log_start_only(rig: Rig) -> None:
    partition = rig.create()
    write(partition, 1)
    partition.append(batch(Producer(-1, -1, -1), 3, attributes=0), now_ms=NOW)
    sync(partition)
    partition.delete_records_before(3)
    assert partition.last_stable_offset == 3


def test_a_transaction_without_records_leaves_no_trace_for_readers(rig: Rig) -> None:
    partition = rig.create()
    end(partition, 1, commit=False)
    sync(partition)
    assert partition.last_stable_offset == 1
    assert partition.aborted_transactions(0, 1) == []


def test_aborted_transactions_come_with_every_stretch_that_they_reach_into(rig: Rig) -> None:
    partition = rig.create()
    write(partition, 1, count=3)
    write(partition, 2)
    end(partition, 1, commit=False)
    write(partition, 3)
    end(partition, 2, commit=True)
    end(partition, 3, commit=False)
    sync(partition)
    assert partition.aborted_transactions(0, 8) == [(1, 0), (3, 5)]
    assert partition.aborted_transactions(4, 5) == [(1, 0)]
    assert partition.aborted_transactions(5, 8) == [(3, 5)]
    assert partition.aborted_transactions(0, 1) == [(1, 0)]


def test_a_slice_comes_with_what_was_aborted_in_it(rig: Rig) -> None:
    partition = rig.create(segment_bytes=400, index_interval_bytes=0)
    for number in range(30):
        write(partition, number)
        end(partition, number, commit=bool(number % 2))
    sync(partition)
    for offset in range(0, 60, 2):
        found = partition.read(offset, 1, upto=partition.last_stable_offset)
        assert found is not None
        aborted = partition.aborted_in(offset, found)
        wanted = [] if offset // 2 % 2 else [(offset // 2, offset)]
        assert aborted[: len(wanted)] == wanted
        assert len(aborted) <= 2  # what lies a little further on may be named, but not all


# --- who may write -------------------------------------------------------------------------------


def test_a_transaction_that_was_not_begun_is_refused(rig: Rig) -> None:
    partition = rig.create()
    with pytest.raises(KafkaError) as refused:
        partition.append(batch(Producer(7, 0, 0)), now_ms=NOW)
    assert refused.value.code == ErrorCode.INVALID_TXN_STATE
    assert partition.log_end_offset == 0


def test_with_epochs_of_their_own_transactions_begin_with_sequence_zero(rig: Rig) -> None:
    partition = rig.create()
    late = batch(Producer(7, 4, 1))
    with pytest.raises(KafkaError) as refused:
        partition.append(late, now_ms=NOW, transaction_version=2)
    assert refused.value.code == ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER
    assert partition.append(late, now_ms=NOW, transaction_version=1).base_offset == 0


def test_a_marker_of_an_older_epoch_is_refused(rig: Rig) -> None:
    partition = rig.create()
    partition.append_marker(Marker(7, 3, 1, commit=True), now_ms=NOW)
    for marker, code in (
        (Marker(7, 2, 1, commit=True), ErrorCode.INVALID_PRODUCER_EPOCH),
        (Marker(7, 3, 0, commit=True), ErrorCode.TRANSACTION_COORDINATOR_FENCED),
    ):
        with pytest.raises(KafkaError) as refused:
            partition.append_marker(marker, now_ms=NOW)
        assert refused.value.code == code
    assert partition.log_end_offset == 1


# --- what is left after anything -----------------------------------------------------------------


@dataclass
class Model:
    """All that was ever written, and what it means."""

    open: dict[int, int] = field(default_factory=dict)
    aborted: list[tuple[int, int, int]] = field(default_factory=list)
    sequences: dict[int, int] = field(default_factory=dict)

    def stable(self, end_offset: int) -> int:
        return min([*self.open.values(), end_offset])

    def aborted_in(self, start: int, stop: int) -> list[tuple[int, int]]:
        return [
            (producer_id, first)
            for producer_id, first, marker in self.aborted
            if marker >= start and first < stop
        ]


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("write"), st.integers(0, 3), st.integers(1, 3)),
        st.tuples(st.sampled_from(["commit", "abort"]), st.integers(0, 3), st.just(0)),
        st.tuples(st.sampled_from(["stop", "crash", "sync"]), st.integers(0, 2), st.just(0)),
    ),
    max_size=40,
)
LOST = [(), ("txnindex",), ("snapshot",), ("index", "timeindex", "txnindex", "snapshot")]


def perform(model: Model, partition: Partition, kind: str, who: int, count: int) -> None:
    if kind == "write":
        sequence = model.sequences.get(who, 0)
        offset = write(partition, who, sequence, count)
        model.sequences[who] = sequence + count
        model.open.setdefault(who, offset)
    else:
        marker = end(partition, who, commit=kind == "commit")
        first = model.open.pop(who, None)
        if first is not None and kind == "abort":
            model.aborted.append((who, first, marker))


def check(model: Model, partition: Partition) -> None:
    end_offset = partition.log_end_offset
    assert partition.last_stable_offset == model.stable(end_offset)
    places = range(0, end_offset + 1, max(1, end_offset // 5))
    for start, stop in itertools.combinations(places, 2):
        assert partition.aborted_transactions(start, stop) == model.aborted_in(start, stop)


@given(steps=STEPS, lost=st.sampled_from(LOST), segment_bytes=st.sampled_from([250, 500, 10**6]))
def test_nothing_is_forgotten_whatever_happens(
    rigs: Callable[..., Rig],
    fast_files: Callable[[], Any],
    steps: list[tuple[str, int, int]],
    lost: tuple[str, ...],
    segment_bytes: int,
) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        rig, model = rigs(Path(scratch) / "orders-0", fast_files()), Model()
        partition = rig.create(segment_bytes=segment_bytes, index_interval_bytes=0)
        for kind, who, count in steps:
            if kind == "sync":
                sync(partition)
            elif kind in ("stop", "crash"):
                recovery_point = 0 if who else partition.sync()
                if kind == "stop":
                    partition.close()
                for path in [each for each in rig.path.iterdir() if each.suffix[1:] in lost]:
                    path.unlink()
                partition = rig.load(clean=kind == "stop", recovery_point=recovery_point)
                check(model, partition)
            else:
                perform(model, partition, kind, who, count)
        sync(partition)
        check(model, partition)


def test_an_index_that_is_damaged_is_built_anew(rig: Rig) -> None:
    partition = rig.create(segment_bytes=300)
    for number in range(20):
        write(partition, number)
        end(partition, number, commit=False)
    sync(partition)
    partition.close()
    wanted = [(number, 2 * number) for number in range(20)]
    for path in sorted(rig.path.glob("*.txnindex"))[:-1]:
        path.write_bytes(path.read_bytes()[:-1])
    again = rig.load(clean=True)
    assert again.aborted_transactions(0, 40) == wanted
    path.write_bytes(b"\0\1" + path.read_bytes()[2:])
    assert rig.load(clean=True).aborted_transactions(0, 40) == wanted


def test_an_index_goes_with_its_segment(rig: Rig) -> None:
    partition = rig.create(segment_bytes=300)
    for number in range(20):
        write(partition, number)
        end(partition, number, commit=False)
    sync(partition)
    partition.config = LogConfig(segment_bytes=300, retention_bytes=400)
    assert delete_old(partition, NOW) > 2
    bases = {path.stem for path in rig.path.glob("*.log")}
    assert {path.stem for path in rig.path.glob("*.txnindex")} <= bases
    start = partition.log_start_offset
    assert partition.aborted_transactions(start, 40) == [
        (number, 2 * number) for number in range(20) if 2 * number + 1 >= start
    ]


def test_what_was_compacted_away_opens_nothing(rig: Rig) -> None:
    partition = rig.create()
    sent = batch(Producer(7, 0, 0))
    header = next(batches(sent))[1]
    empty = encode_batch([BatchRecord(b"k", b"v")], producer=Producer(7, 0, 0))
    assert header.count == 1
    assert partition.producers.first_open_offset is None
    partition.producers.apply(header._replace(count=0), 0, NOW)
    assert partition.producers.first_open_offset is None
    assert partition.append(empty, now_ms=NOW).duplicate

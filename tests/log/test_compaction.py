"""A compacted log against a plain model: the newest record of every key, each at its offset."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mq.errors import ErrorCode, KafkaError
from mq.log.cleaner import KEYS_MAX
from mq.log.compaction import Done, Swap, compact
from mq.log.files import Files
from mq.log.partition import Partition
from mq.log.transactions import Marker
from mq.log.upkeep import compaction_job, delete_old, roll_old, swap, uncleaned
from mq.wire.batch import (
    NO_PRODUCER,
    TRANSACTIONAL,
    BatchHeader,
    BatchRecord,
    Codec,
    Producer,
    batches,
    check,
    decode_batch,
    encode_batch,
    read_header,
)

NOW = 1_700_000_000_000
DAY = 24 * 60 * 60 * 1000

Rig = Any
Batch = Callable[..., bytes]


# --- what is done to a log -----------------------------------------------------------------------


class Kept(NamedTuple):
    """A record as a reader finds it."""

    offset: int
    key: bytes | None
    value: bytes | None
    timestamp: int


def records_of(partition: Partition) -> list[Kept]:
    return [
        Kept(record.offset, record.key, record.value, record.timestamp)
        for header, data in batches_of(partition)
        if not header.is_control
        for record in decode_batch(data)
        if record.offset >= partition.log_start_offset
    ]


def batches_of(partition: Partition) -> list[tuple[BatchHeader, bytes]]:
    """All batches of the log, each checked, after a look at what readers get of them."""
    found = []
    for segment in partition.segments:
        for position, header in segment.scan(verify=True):
            found.append((header, segment.read(position, header.length)))
    assert sum(header.length for header, _ in found) == partition.size
    read: list[bytes] = []
    offset = partition.log_start_offset
    while data := partition.read_batches(offset, 1 << 20):
        for position, header in batches(data):
            check(data, position)
            read.append(data[position : position + header.length])
            offset = header.last_offset + 1
    assert offset == partition.log_end_offset
    assert [data for data in read if read_header(data).count] == [
        data
        for header, data in found
        if header.count and header.last_offset >= partition.log_start_offset
    ]
    return found


def clean(
    partition: Partition, files: Files, *, now_ms: int = NOW, keys_max: int = KEYS_MAX
) -> int:
    """Compact all that can be; how many passes it took."""
    partition.synced(partition.sync())
    passes = 0
    while (found := uncleaned(partition, now_ms)).start < found.end:
        job = compaction_job(partition, found, now_ms)
        job = msgspec.structs.replace(job, keys_max=keys_max)
        job = msgspec.json.decode(msgspec.json.encode(job), type=type(job))
        done = compact(files, job, lambda made: swap(partition, made))
        assert done.cleaned_to > partition.cleaned_offset
        partition.cleaned_offset = done.cleaned_to
        passes += 1
    return passes


def write(partition: Partition, *pairs: tuple[bytes | None, bytes | None], **options: Any) -> int:
    """One batch of the broker's own, so that records without keys are let in."""
    records = [BatchRecord(key, value, (), NOW) for key, value in pairs]
    return partition.append(encode_batch(records, **options), now_ms=NOW, client=False).base_offset


# --- the model -----------------------------------------------------------------------------------

CODECS = [Codec.NONE, Codec.GZIP, Codec.SNAPPY, Codec.LZ4, Codec.ZSTD]
LONG_KEY = b"a key that is longer than 32 bytes" * 2

record = st.tuples(
    st.one_of(st.sampled_from([b"a", b"b", b"c", b"d", b"", LONG_KEY]), st.none()),
    st.one_of(st.none(), st.binary(max_size=30)),
    st.integers(-50, 50),
)
plain = st.tuples(
    st.just("plain"), st.sampled_from(CODECS), st.lists(record, min_size=1, max_size=4)
)
produced = st.tuples(
    st.just("produced"),
    st.integers(1, 3),
    st.sampled_from(CODECS),
    st.lists(record, min_size=1, max_size=4),
)
ended = st.tuples(st.just("ended"), st.integers(1, 2), st.booleans())
operation = st.one_of(plain, plain, produced, ended, st.just(("rolled",)), st.just(("cleaned",)))


@dataclass
class Model:
    """Who wrote what: producers 1 and 2 in transactions, 3 only with sequences."""

    records: list[Kept] = field(default_factory=list)
    aborted: set[int] = field(default_factory=set)
    open: dict[int, list[int]] = field(default_factory=dict)
    sequences: dict[int, int] = field(default_factory=dict)

    def expected(self, cleaned_to: int) -> list[Kept]:
        counted = [each for each in self.records if each.offset not in self.aborted]
        newest = {each.key: each.offset for each in counted if each.offset < cleaned_to}
        return [
            each
            for each in counted
            if each.offset >= cleaned_to
            or (each.key is not None and newest[each.key] == each.offset)
        ]


class Run:
    """A partition and its model."""

    def __init__(self, rig: Rig, keys_max: int) -> None:
        self.rig = rig
        self.keys_max = keys_max
        self.partition: Partition = rig.create(
            cleanup_policy=("compact",), segment_bytes=700, index_interval_bytes=150
        )
        self.model = Model()

    def do(self, operation: tuple[Any, ...]) -> None:
        getattr(self, operation[0])(*operation[1:])

    def plain(self, codec: Codec, records: list[tuple[Any, ...]]) -> None:
        self._append(records, codec, NO_PRODUCER)

    def produced(self, producer_id: int, codec: Codec, records: list[tuple[Any, ...]]) -> None:
        sequence = self.model.sequences.get(producer_id, 0)
        self.model.sequences[producer_id] = sequence + len(records)
        attributes = codec | (TRANSACTIONAL if producer_id < 3 else 0)
        offsets = self._append(records, attributes, Producer(producer_id, 0, sequence))
        if producer_id < 3:
            self.model.open.setdefault(producer_id, []).extend(offsets)

    def _append(
        self, records: list[tuple[Any, ...]], attributes: int, producer: Producer
    ) -> list[int]:
        made = [BatchRecord(key, value, (), NOW + time) for key, value, time in records]
        data = encode_batch(made, attributes=attributes, producer=producer)
        base = self.partition.append(data, now_ms=NOW, client=False).base_offset
        self.model.records += [
            Kept(base + at, each.key, each.value, each.timestamp) for at, each in enumerate(made)
        ]
        return list(range(base, base + len(made)))

    def ended(self, producer_id: int, commit: bool) -> None:
        self.partition.append_marker(Marker(producer_id, 0, 0, commit), now_ms=NOW)
        offsets = self.model.open.pop(producer_id, [])
        if not commit:
            self.model.aborted.update(offsets)

    def rolled(self) -> None:
        if self.partition.segments.active.size:
            self.partition.roll()

    def cleaned(self) -> None:
        clean(self.partition, self.rig.files, keys_max=self.keys_max)


def committed(partition: Partition) -> list[Kept]:
    """What a reader of committed records gets: aborted ones dropped as clients do it."""
    aborted = sorted(
        (first, producer) for producer, first in partition.aborted_transactions(0, 1 << 40)
    )
    dropping: set[int] = set()
    found = []
    for header, data in batches_of(partition):
        while aborted and aborted[0][0] <= header.last_offset:
            dropping.add(aborted.pop(0)[1])
        records = decode_batch(data)
        if header.is_control:
            if records and (records[0].key or b"")[2:4] == b"\0\0":
                dropping.discard(header.producer_id)
        elif not (header.is_transactional and header.producer_id in dropping):
            found += [Kept(r.offset, r.key, r.value, r.timestamp) for r in records]
    return found


def check_log(run: Run, partition: Partition) -> None:
    """Everything that must hold for a log, compacted or not."""
    model = run.model
    cleaned = run.partition.cleaned_offset
    assert committed(partition) == model.expected(cleaned)
    before = -1
    for header, data in batches_of(partition):
        records = decode_batch(data)
        assert header.base_offset > before
        before = header.last_offset
        assert all(header.base_offset <= r.offset <= header.last_offset for r in records)
        if records:
            assert header.max_timestamp == max(r.timestamp for r in records)
    present = [header for header, _ in batches_of(partition)]
    for offset in range(partition.log_start_offset, partition.log_end_offset):
        found = partition.read(offset, 1, upto=partition.log_end_offset)
        assert found is not None
        coming = [each for each in present if each.last_offset >= offset]
        first = next((each for each in coming if each.count), coming[0])
        assert os.pread(found.file, 8, found.position) == first.base_offset.to_bytes(8, "big")


def sequences(partition: Partition) -> dict[int, tuple[int, int]]:
    return {
        producer: (state.epoch, state.batches[-1].last_sequence)
        for producer, state in partition.producers
        if state.batches
    }


@contextmanager
def directory(rigs: Any, files: Files) -> Iterator[Rig]:
    with tempfile.TemporaryDirectory() as path:
        yield rigs(Path(path) / "orders-0", files)


@settings(deadline=None, max_examples=60)
@given(
    operations=st.lists(operation, min_size=5, max_size=40),
    keys_max=st.sampled_from([1, 3, KEYS_MAX]),
)
def test_cleaning_keeps_the_newest_record_of_every_key(
    rigs: Any, fast_files: type[Files], operations: list[tuple[Any, ...]], keys_max: int
) -> None:
    with directory(rigs, fast_files()) as rig:
        run = Run(rig, keys_max)
        for each in operations:
            run.do(each)
        run.rolled()
        run.cleaned()
        check_log(run, run.partition)
        known, active = sequences(run.partition), run.partition.segments.active.base_offset
        everything = [data for _, data in batches_of(run.partition)]
        for recovery_point in (active, 0):  # 0: the checkpoint was lost
            for snapshot in rig.path.glob("*.snapshot"):
                snapshot.unlink()
            again = rig.load(recovery_point=recovery_point)
            assert again.recovered.truncated_bytes == 0
            assert [data for _, data in batches_of(again)] == everything
            assert sequences(again) == known
            check_log(run, again)


@settings(deadline=None, max_examples=20)
@given(operations=st.lists(st.one_of(plain, st.just(("rolled",))), min_size=5, max_size=30))
def test_after_their_horizon_tombstones_are_gone_and_nothing_else(
    rigs: Any, fast_files: type[Files], operations: list[tuple[Any, ...]]
) -> None:
    with directory(rigs, fast_files()) as rig:
        run = Run(rig, KEYS_MAX)
        for each in operations:
            run.do(each)
        run.rolled()
        run.cleaned()
        kept = run.model.expected(run.partition.cleaned_offset)
        for now_ms, expected in (
            (NOW + DAY - 1, kept),
            (NOW + DAY, [each for each in kept if each.value is not None]),
        ):
            write(run.partition, (None, b""))
            run.rolled()
            clean(run.partition, rig.files, now_ms=now_ms)
            assert records_of(run.partition) == expected


# --- what outlives its use -----------------------------------------------------------------------


def test_the_marker_of_an_aborted_transaction_outlives_its_records_by_a_day(rig: Rig) -> None:
    partition = rig.create(cleanup_policy=("compact",))
    data = encode_batch(
        [BatchRecord(b"k", b"v", (), NOW)], attributes=TRANSACTIONAL, producer=Producer(7, 0, 0)
    )
    partition.append(data, now_ms=NOW, transaction_version=1)
    marker = partition.append_marker(Marker(7, 0, 0, False), now_ms=NOW).base_offset
    partition.expire_producers(NOW + 10 * DAY)  # else its last batch would stay
    horizons = []
    for now_ms in (NOW, NOW + 1, NOW + DAY, NOW + DAY + 1):
        write(partition, (b"x", b""))
        partition.roll()
        clean(partition, rig.files, now_ms=now_ms)
        found = [each for each, _ in batches_of(partition) if each.base_offset == marker]
        horizons.append(found[0].delete_horizon_ms if found else 0)
    assert horizons == [None, NOW + 1 + DAY, NOW + 1 + DAY, 0]


def test_the_last_batch_of_a_producer_stays_though_empty(rig: Rig) -> None:
    partition = rig.create(cleanup_policy=("compact",))
    for sequence in range(3):
        data = encode_batch([BatchRecord(b"k", b"v", (), NOW)], producer=Producer(7, 0, sequence))
        partition.append(data, now_ms=NOW)
    write(partition, (b"k", b"newest"))
    partition.roll()
    clean(partition, rig.files)
    assert [(each.last_offset, each.count) for each, _ in batches_of(partition)] == [(2, 0), (3, 1)]
    for snapshot in rig.path.glob("*.snapshot"):
        snapshot.unlink()
    again = rig.load()
    with pytest.raises(KafkaError) as refused:
        again.append(
            encode_batch([BatchRecord(b"k", b"", (), NOW)], producer=Producer(7, 0, 9)), now_ms=NOW
        )
    assert refused.value.code == ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER


def test_an_open_transaction_is_not_touched(rig: Rig) -> None:
    partition = rig.create(cleanup_policy=("compact",))
    write(partition, (b"k", b"1"))
    partition.roll()
    data = encode_batch(
        [BatchRecord(b"k", b"2", (), NOW)], attributes=TRANSACTIONAL, producer=Producer(7, 0, 0)
    )
    partition.append(data, now_ms=NOW, transaction_version=1)
    write(partition, (b"k", b"3"))
    partition.roll()
    clean(partition, rig.files)
    assert [each.value for each in records_of(partition)] == [b"1", b"2", b"3"]
    partition.append_marker(Marker(7, 0, 0, False), now_ms=NOW)
    partition.roll()
    clean(partition, rig.files)
    assert [each.value for each in committed(partition)] == [b"3"]


def test_an_abort_says_nothing_of_the_transactions_after_it(rig: Rig) -> None:
    """Of the same producer, in the dirty part of a log whose clean part ends with the abort."""
    partition = rig.create(cleanup_policy=("compact",))
    write(partition, (b"k", b"old"))
    for sequence, commit in ((0, False), (1, True)):
        records = [BatchRecord(b"k", b"%d" % sequence, (), NOW)]
        producer = Producer(7, 0, sequence)
        data = encode_batch(records, attributes=TRANSACTIONAL, producer=producer)
        partition.append(data, now_ms=NOW, transaction_version=1)
        partition.append_marker(Marker(7, 0, 0, commit), now_ms=NOW)
        partition.roll()
        clean(partition, rig.files)
    assert [each.value for each in committed(partition)] == [b"1"]


# --- segments ------------------------------------------------------------------------------------


def test_small_segments_become_one_of_at_most_segment_bytes(rig: Rig) -> None:
    partition = rig.create(cleanup_policy=("compact",), segment_bytes=1000)
    for number in range(40):
        write(partition, (b"%d" % number, b"v" * 50))
        if number % 3 == 2:
            partition.roll()
    partition.roll()
    before = len(partition.segments)
    clean(partition, rig.files)
    sizes = [segment.size for segment in partition.segments]
    assert len(sizes) < before
    assert max(sizes) <= 1000
    assert len(records_of(partition)) == 40


def test_a_segment_in_which_nothing_is_old_is_left_alone(rig: Rig) -> None:
    partition = rig.create(cleanup_policy=("compact",))
    write(partition, (b"a", b"1"), (b"b", b"2"))
    partition.roll()
    made: list[Swap] = []
    partition.synced(partition.sync())
    job = compaction_job(partition, uncleaned(partition, NOW), NOW)
    assert compact(rig.files, job, lambda each: bool(made.append(each))) == Done(2)
    assert made == []
    assert not list(rig.path.glob("*.cleaned"))


def test_an_old_active_segment_is_sealed_to_be_compacted(rig: Rig) -> None:
    partition = rig.create(cleanup_policy=("compact",), max_compaction_lag_ms=1000)
    write(partition, (b"a", b"1"))
    assert not roll_old(partition, NOW + 1000)
    assert roll_old(partition, NOW + 1001)
    assert not roll_old(partition, NOW + 5000)
    partition.synced(partition.sync())
    assert uncleaned(partition, NOW + 1001).is_overdue


def test_a_reader_keeps_what_it_was_given(rig: Rig) -> None:
    partition = rig.create(cleanup_policy=("compact",))
    for value in (b"1", b"2"):
        write(partition, (b"k", value))
    partition.roll()
    held = partition.read(0, 1 << 20, upto=2)
    assert held is not None
    before = os.pread(held.file, held.size, held.position)
    clean(partition, rig.files)
    assert [each.value for each in records_of(partition)] == [b"2"]
    assert os.pread(held.file, held.size, held.position) == before


def test_a_log_that_changed_meanwhile_is_not_swapped(rig: Rig) -> None:
    partition = rig.create(cleanup_policy=("compact", "delete"), retention_ms=DAY)
    for value in (b"1", b"2"):
        write(partition, (b"k", value))
        partition.roll()
    partition.synced(partition.sync())
    job = compaction_job(partition, uncleaned(partition, NOW), NOW)

    def refuse(made: Swap) -> bool:
        assert delete_old(partition, NOW + DAY + 1) == 2
        return swap(partition, made)

    assert compact(rig.files, job, refuse) == Done(0)
    assert not [path for path in rig.path.iterdir() if path.name.endswith((".swap", ".cleaned"))]
    assert partition.first_offset == 2


def test_deleted_records_stay_deleted_when_their_segment_is_cleaned(rig: Rig) -> None:
    partition = rig.create(cleanup_policy=("compact",))
    for key in (b"a", b"b", b"a", b"c"):
        write(partition, (key, b"v"))
    partition.roll()
    partition.synced(partition.sync())
    partition.delete_records_before(2)
    clean(partition, rig.files)
    assert [each.offset for each in records_of(partition)] == [2, 3]
    again = rig.load(log_start=2, recovery_point=4)
    assert [each.offset for each in records_of(again)] == [2, 3]


def test_a_damaged_batch_ends_the_pass_and_changes_nothing(rig: Rig) -> None:
    partition = rig.create(cleanup_policy=("compact",))
    for value in (b"1", b"2"):
        write(partition, (b"k", value))
    partition.roll()
    partition.synced(partition.sync())
    log = rig.path / f"{0:020d}.log"
    data = bytearray(log.read_bytes())
    data[-1] ^= 1
    log.write_bytes(data)
    job = compaction_job(partition, uncleaned(partition, NOW), NOW)
    with pytest.raises(KafkaError) as damaged:
        compact(rig.files, job, lambda made: swap(partition, made))
    assert damaged.value.code == ErrorCode.CORRUPT_MESSAGE
    assert log.read_bytes() == data


def test_each_segment_keeps_the_aborted_transactions_that_it_ends(rig: Rig) -> None:
    partition = rig.create(cleanup_policy=("compact",), segment_bytes=300)
    for producer in (1, 2):
        data = encode_batch(
            [BatchRecord(b"k", bytes(100), (), NOW)],
            attributes=TRANSACTIONAL,
            producer=Producer(producer, 0, 0),
        )
        partition.append(data, now_ms=NOW, transaction_version=1)
        partition.append_marker(Marker(producer, 0, 0, False), now_ms=NOW)
        partition.roll()
    clean(partition, rig.files)
    sizes = [(rig.path / f"{base:020d}.txnindex").stat().st_size for base in (0, 2)]
    assert sizes == [34, 34]
    assert partition.aborted_transactions(0, 2) == [(1, 0)]
    assert partition.aborted_transactions(2, 4) == [(2, 2)]

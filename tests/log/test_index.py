"""The indexes against the plainest search, and against bytes that Kafka wrote."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mq.log.index import (
    AbortedIndex,
    AbortedTransaction,
    GrowingIndexes,
    OffsetIndex,
    TimeIndex,
)

BASE = 1_000

rising = st.lists(st.integers(0, 500), unique=True, max_size=30).map(sorted)


@given(rising, st.integers(0, 600))
def test_an_offset_lookup_finds_the_last_entry_at_or_below(offsets: list[int], wanted: int) -> None:
    index = OffsetIndex(BASE)
    for number, offset in enumerate(offsets):
        index.append(BASE + offset, number * 7)
    below = [(BASE + o, n * 7) for n, o in enumerate(offsets) if o <= wanted]
    assert index.lookup(BASE + wanted) == (below[-1] if below else None)


@given(rising, st.integers(0, 600))
def test_a_time_lookup_finds_the_last_entry_at_or_below(times: list[int], wanted: int) -> None:
    index = TimeIndex(BASE)
    for number, time in enumerate(times):
        index.append_if_later(time, BASE + number)
    below = [(t, BASE + n) for n, t in enumerate(times) if t <= wanted]
    assert index.lookup(wanted) == (below[-1] if below else None)


def test_a_time_that_is_not_later_adds_no_entry() -> None:
    index = TimeIndex(BASE)
    for offset, time in enumerate((-1, 5, 5, 3, 6)):
        index.append_if_later(time, BASE + offset)
    assert [index[0], index[1]] == [(5, BASE + 1), (6, BASE + 4)]
    assert len(index) == 2


def test_entries_are_laid_out_as_in_kafka() -> None:
    offsets, times = OffsetIndex(BASE), TimeIndex(BASE)
    offsets.append(BASE + 0x10, 0x20)
    times.append_if_later(0x0102030405, BASE + 0x30)
    assert bytes(offsets.data).hex() == "0000001000000020"
    assert bytes(times.data).hex() == "000000010203040500000030"


def test_indexes_are_those_that_kafka_writes() -> None:
    # A segment of a Kafka 4.3 broker that was stopped: nine batches of 11,033 bytes and one of
    # 10,922, the records a millisecond apart; and its two indexes.
    growing = GrowingIndexes(19_001)
    last_offsets = [*range(19_100, 19_901, 100), 19_999]
    for number, last_offset in enumerate(last_offsets):
        length = 11_033 if last_offset != 19_999 else 10_922
        growing.add(number * 11_033, last_offset, 1_700_000_000_000 + last_offset, length, 4096)
    growing.finish()
    assert growing.offsets.data == bytes.fromhex(KAFKA_INDEX)
    assert growing.times.data == bytes.fromhex(KAFKA_TIMEINDEX)


KAFKA_INDEX = """
    000000c700002b19 0000012b00005632 0000018f0000814b 000001f30000ac64 000002570000d77d
    000002bb00010296 0000031f00012daf 00000383000158c8 000003e6000183e1
"""
KAFKA_TIMEINDEX = """
    0000018bcfe5b300000000c7 0000018bcfe5b3640000012b 0000018bcfe5b3c80000018f
    0000018bcfe5b42c000001f3 0000018bcfe5b49000000257 0000018bcfe5b4f4000002bb
    0000018bcfe5b5580000031f 0000018bcfe5b5bc00000383 0000018bcfe5b61f000003e6
"""


def test_a_batch_is_indexed_when_more_than_the_interval_went_by() -> None:
    growing = GrowingIndexes(0)
    position = 0
    for number, length in enumerate((4096, 1, 10, 5000, 10)):
        growing.add(position, number, 100 + number, length, 4096)
        position += length
    # 4096 bytes before the second batch are not more than the interval, 4097 before the third are.
    entries = [growing.offsets[n] for n in range(len(growing.offsets))]
    assert entries == [(2, 4097), (4, 9107)]
    assert [growing.times[n] for n in range(len(growing.times))] == [(102, 2), (104, 4)]


def test_finishing_forces_the_highest_timestamp_into_the_time_index() -> None:
    growing = GrowingIndexes(BASE)
    growing.add(0, BASE + 4, 70, 100, 4096)
    growing.add(100, BASE + 9, 60, 100, 4096)
    assert len(growing.times) == 0
    growing.finish()
    growing.finish()
    assert len(growing.times) == 1
    assert growing.times.last == (70, BASE + 4)


def test_indexes_are_full_before_the_last_forced_entry_would_not_fit() -> None:
    growing = GrowingIndexes(0)
    assert not growing.is_full(24)
    growing.add(0, 0, 1, 100, 0)
    growing.add(100, 1, 2, 100, 0)
    assert len(growing.times) == 1
    assert growing.is_full(35)
    assert not growing.is_full(36)


@pytest.mark.parametrize(
    ("data", "size", "fits"),
    [
        (b"", 0, True),
        (b"", 100, True),
        (b"\0" * 7, 100, False),
        (bytes.fromhex("0000001000000020"), 33, True),
        (bytes.fromhex("0000001000000020"), 32, False),
        (bytes.fromhex("0000001000000000"), 100, False),
        (bytes.fromhex("ffffffff00000020"), 100, False),
    ],
)
def test_an_offset_index_that_cannot_be_is_found(data: bytes, size: int, fits: bool) -> None:
    assert OffsetIndex(BASE, data).fits(size) is fits


@pytest.mark.parametrize(
    ("entries", "fits"),
    [
        ("", True),
        ("00" * 11, False),
        ("000000000000000500000001", True),
        ("000000000000000500000001" + "000000000000000400000002", False),
        ("0000000000000005ffffffff", False),
    ],
)
def test_a_time_index_that_cannot_be_is_found(entries: str, fits: bool) -> None:
    assert TimeIndex(BASE, bytes.fromhex(entries)).fits() is fits


def test_an_aborted_transaction_takes_34_bytes() -> None:
    aborted = AbortedTransaction(7, 100, 109, 105)
    data = aborted.encode()
    assert data.hex() == "0000" + "".join(f"{each:016x}" for each in aborted)
    assert AbortedTransaction.decode(b"x" + data, 1) == aborted
    with pytest.raises(ValueError, match="cut short"):
        AbortedTransaction.decode(data[:-1])
    with pytest.raises(ValueError, match="version"):
        AbortedTransaction.decode(b"\0\1" + data[2:])


# --- aborted transactions ------------------------------------------------------------------------


def aborted_index(*entries: AbortedTransaction) -> AbortedIndex:
    index = AbortedIndex()
    for entry in entries:
        index.append(entry)
    return index


def test_aborted_transactions_are_found_by_the_offsets_that_they_reach_into() -> None:
    entries = [
        AbortedTransaction(1, 0, 5, 3),
        AbortedTransaction(2, 3, 9, 8),
        AbortedTransaction(3, 8, 20, 21),
    ]
    index = aborted_index(*entries)
    for start, end, expected in (
        (0, 1, entries[:1]),
        (0, 30, entries),
        (6, 30, entries[1:]),
        (10, 30, entries[2:]),
        (21, 30, []),
        (0, 3, entries[:1]),
    ):
        found: list[AbortedTransaction] = []
        index.collect(start, end, found)
        assert found == expected


def test_a_search_ends_where_nothing_below_can_be_open_any_more() -> None:
    index = aborted_index(AbortedTransaction(1, 0, 5, 3), AbortedTransaction(2, 3, 9, 10))
    assert index.collect(0, 3, [])
    assert index.collect(0, 10, [])
    assert not index.collect(0, 11, [])


@pytest.mark.parametrize(
    "entry",
    [
        AbortedTransaction(1, 10, 19, 20),  # ends before the segment begins
        AbortedTransaction(1, 25, 25, 26),  # has no record
        AbortedTransaction(1, -1, 25, 26),
        AbortedTransaction(1, 22, 25, 27),  # more is stable than is there
    ],
)
def test_an_index_of_aborted_transactions_that_cannot_be_is_refused(
    entry: AbortedTransaction,
) -> None:
    good = AbortedTransaction(9, 3, 21, 22)
    assert aborted_index(good).fits(20)
    assert not aborted_index(entry).fits(20)
    assert not aborted_index(good, good).fits(20)
    assert not AbortedIndex(good.encode()[:-1]).fits(20)


def test_an_offset_behind_a_position_is_found() -> None:
    index = OffsetIndex(100)
    for offset, position in ((110, 500), (120, 1_000), (130, 1_500)):
        index.append(offset, position)
    assert [index.offset_from(position) for position in (0, 500, 501, 1_500, 1_501)] == [
        *(110, 110, 120, 130),
        None,
    ]

"""One segment: finding places by its indexes, and indexes that lie."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mq.errors import ErrorCode, KafkaError
from mq.log.config import LogConfig
from mq.log.files import Files, OpenFiles
from mq.log.placement import place
from mq.log.segment import INTERVAL_BYTES, Segment
from mq.wire.batch import batches

NOW = 1_700_000_000_000
BASE = 50
INTERVAL = 300

Batch = Callable[..., bytes]


def fill(segment: Segment, files: Files, sent: list[bytes], interval: int = INTERVAL) -> int:
    """Append batches as a partition does; the offset after them."""
    offset = BASE
    for data in sent:
        [(_, header)] = batches(data)
        placed = place(data, [header], offset, 0)
        files.pwrite(segment.file, placed.buffers, segment.size)
        segment.add(placed.end_offset - 1, header.max_timestamp, len(data), NOW, interval)
        offset = placed.end_offset
    return offset


@pytest.fixture
def files(fast_files: type[Files]) -> Files:
    return fast_files()


@pytest.fixture
def sealed(tmp_path: Path, files: Files, batch: Batch) -> Segment:
    """Thirty batches of two records; every third entry of the offset index is a batch."""
    segment = Segment.create(files, OpenFiles(files), tmp_path, BASE)
    fill(segment, files, [batch(2, timestamp=NOW + number * 10, step=1) for number in range(30)])
    segment.write_indexes()
    segment.seal()
    return Segment(files, OpenFiles(files), tmp_path, BASE, segment.size)


def test_every_offset_is_found_in_its_batch(sealed: Segment) -> None:
    everything = list(sealed.scan())
    for offset in range(BASE, BASE + 60):
        found = sealed.find(offset)
        assert found == everything[(offset - BASE) // 2]
        assert sealed.position_of(offset) == found[0]
    assert sealed.find(BASE + 60) is None
    assert sealed.position_of(BASE + 60) == sealed.size


def test_every_time_is_found_in_its_batch(sealed: Segment) -> None:
    everything = list(sealed.scan())
    for time in range(NOW - 1, NOW + 291):
        expected = [each for each in everything if each[1].max_timestamp >= time]
        assert list(sealed.find_time(time)) == expected
    assert list(sealed.find_time(NOW + 292)) == []
    assert sealed.latest == (NOW + 291, BASE + 59)
    assert sealed.latest_ms == NOW + 291


@pytest.mark.parametrize("kind", ["index", "timeindex"])
@pytest.mark.parametrize("damage", ["missing", "empty", "cut", "early", "late"])
def test_an_index_that_is_lost_or_lies_is_built_anew(
    sealed: Segment, kind: str, damage: str
) -> None:
    everything = list(sealed.scan())
    path = sealed.path(kind)
    whole = path.read_bytes()
    assert len(whole) > 24
    if damage == "missing":
        path.unlink()
    elif damage == "empty":
        path.write_bytes(b"")
    elif damage == "cut":
        path.write_bytes(whole[:-1])
    elif kind == "index":  # positions that are not those of batches
        step = -1 if damage == "early" else 1
        entries = [whole[at : at + 8] for at in range(0, len(whole), 8)]
        moved = [(int.from_bytes(each[4:], "big") + step).to_bytes(4, "big") for each in entries]
        path.write_bytes(b"".join(e[:4] + m for e, m in zip(entries, moved, strict=True)))
    else:  # times that are not those of the batches
        step = -1000 if damage == "early" else 1000
        entries = [whole[at : at + 12] for at in range(0, len(whole), 12)]
        moved = [(int.from_bytes(each[:8], "big") + step).to_bytes(8, "big") for each in entries]
        path.write_bytes(b"".join(m + e[8:] for e, m in zip(entries, moved, strict=True)))
    assert list(sealed.find_time(NOW + 100)) == everything[10:]
    for number, each in enumerate(everything):
        assert sealed.find(BASE + 2 * number) == each
    assert sealed.latest == (NOW + 291, BASE + 59)


def test_a_log_that_is_damaged_before_the_wanted_batch_is_reported(sealed: Segment) -> None:
    log = bytearray(sealed.path("log").read_bytes())
    position, header = list(sealed.scan())[1]
    log[position + 8] ^= 0x40  # its length
    sealed.path("log").write_bytes(log)
    assert sealed.find(BASE) is not None
    with pytest.raises(KafkaError) as refused:
        sealed.find(header.base_offset + 2)
    assert refused.value.code == ErrorCode.CORRUPT_MESSAGE
    assert sealed.find(BASE + 59) is not None  # the index leads past the damage


def test_an_index_entry_with_a_wrong_offset_is_found_out(sealed: Segment) -> None:
    everything = list(sealed.scan())
    path = sealed.path("index")
    entries = bytearray(path.read_bytes())
    for at in range(0, len(entries), 8):
        entries[at + 3] -= 2  # the offset of the batch before: reading would begin too late
    path.write_bytes(entries)
    for number, each in enumerate(everything):
        assert sealed.find(BASE + 2 * number) == each


def test_an_index_is_not_thrown_away_for_a_damaged_log(sealed: Segment) -> None:
    everything = list(sealed.scan())
    index = sealed.path("index").read_bytes()
    offset, position = sealed.offsets[3]
    log = bytearray(sealed.path("log").read_bytes())
    log[position + 16] = 9  # the magic of a batch that the index names
    sealed.path("log").write_bytes(log)
    with pytest.raises(KafkaError, match=f"holds no batch at {position}"):
        sealed.find(offset)
    assert sealed.path("index").read_bytes() == index
    assert sealed.find(BASE + 59) == everything[-1]


def test_a_restored_segment_whose_index_lies_is_scanned(sealed: Segment) -> None:
    path = sealed.path("index")
    entries = bytearray(path.read_bytes())
    entries[-5] -= 1
    path.write_bytes(entries)
    sealed.activate(NOW)
    assert sealed.restore() is None


def test_a_scan_ends_at_a_batch_that_cannot_be_next(sealed: Segment) -> None:
    everything = list(sealed.scan())
    whole = sealed.path("log").read_bytes()
    position = everything[5][0]
    for at, bits in ((0, 0x80), (7, 0x3F), (8, 0x80), (11, 0xFF), (16, 0xFF), (23, 0x80)):
        log = bytearray(whole)
        log[position + at] ^= bits
        sealed.path("log").write_bytes(log)
        assert len(list(sealed.scan())) <= 6
    log = bytearray(whole)
    log[position + 70] ^= 1
    sealed.path("log").write_bytes(log)
    assert len(list(sealed.scan())) == 30
    assert list(sealed.scan(verify=True)) == everything[:5]


@given(counts=st.lists(st.integers(1, 4), max_size=25), data=st.data())
def test_indexes_of_a_scan_are_those_of_the_appends(
    tmp_path_factory: pytest.TempPathFactory,
    fast_files: type[Files],
    batch: Batch,
    counts: list[int],
    data: st.DataObject,
) -> None:
    times = [data.draw(st.integers(-1, 50)) for _ in counts]
    path, files = tmp_path_factory.mktemp("segment"), fast_files()
    segment = Segment.create(files, OpenFiles(files), path, BASE)
    sent = [
        batch(count, timestamp=time, value=b"x" * 2500)
        for count, time in zip(counts, times, strict=True)
    ]
    fill(segment, files, sent, interval=INTERVAL_BYTES)
    live = bytes(segment.offsets.data), bytes(segment.times.data), segment.latest
    rebuilt = Segment(files, OpenFiles(files), path, BASE, segment.size).rebuild()
    rebuilt_offsets, rebuilt_times = bytes(rebuilt.offsets.data), bytes(rebuilt.times.data)
    assert (rebuilt_offsets, rebuilt_times[: len(live[1])], rebuilt.latest) == live
    assert rebuilt.times.last[0] == max(times, default=-1)


@pytest.mark.parametrize(
    ("config", "batch_config", "full"),
    [
        ({"segment_bytes": 178}, {}, False),
        ({"segment_bytes": 177}, {}, True),
        ({"segment_ms": 10}, {"timestamp": NOW + 10}, False),
        ({"segment_ms": 10}, {"timestamp": NOW + 11}, True),
        ({"segment_index_bytes": 7}, {}, True),
    ],
)
def test_when_a_segment_is_full(
    tmp_path: Path,
    files: Files,
    batch: Batch,
    config: dict[str, Any],
    batch_config: dict[str, Any],
    full: bool,
) -> None:
    segment = Segment.create(files, OpenFiles(files), tmp_path, BASE)
    [(_, header)] = batches(batch(**batch_config))
    settings = LogConfig(**config)

    def is_full(last_offset: int = BASE + 1) -> bool:
        timestamp = header.max_timestamp
        return segment.is_full_for(header.length, last_offset, timestamp, settings, NOW)

    assert header.length == 89
    assert not is_full()  # an empty one takes everything
    fill(segment, files, [batch()])
    assert is_full() is full
    assert is_full(BASE + 2**31)


def test_a_segment_without_timestamps_ages_by_the_clock(
    tmp_path: Path, files: Files, batch: Batch
) -> None:
    segment = Segment.create(files, OpenFiles(files), tmp_path, BASE)
    fill(segment, files, [batch(timestamp=-1)])
    settings = LogConfig(segment_ms=10)
    assert not segment.is_full_for(1, BASE + 1, -1, settings, NOW + 10)
    assert segment.is_full_for(1, BASE + 1, -1, settings, NOW + 11)
    assert segment.latest_ms == segment.path("log").stat().st_mtime_ns // 1_000_000

"""The last value of every key, against opening all batches."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mq.errors import KafkaError
from mq.wire.batch import (
    CONTROL,
    TRANSACTIONAL,
    BatchRecord,
    Codec,
    batches,
    decode_batch,
    encode_batch,
    sound_bytes,
)
from mq.wire.last_values import LastValues

KEYS = st.one_of(st.none(), st.sampled_from([b"", b"a", b"b" * 70, b"c" * 9000]))
VALUES = st.one_of(st.none(), st.binary(max_size=200), st.just(bytes(9000)))
HEADERS = st.lists(st.tuples(st.text(max_size=5), VALUES), max_size=2).map(tuple)
TIMES = st.integers(0, 2**41)
RECORDS = st.lists(st.builds(BatchRecord, KEYS, VALUES, HEADERS, TIMES), min_size=1, max_size=80)


def log_of(contents):
    data, offset = b"", 10
    for records in contents:
        data += encode_batch(records, base_offset=offset)
        offset += len(records)
    return data, offset


@given(st.lists(RECORDS, max_size=5))
def test_it_is_what_all_records_come_to(contents):
    data, end_offset = log_of(contents)
    expected = {}
    for position, header in batches(data):
        for record in decode_batch(data, position):
            expected.pop(record.key or b"", None)
            expected[record.key or b""] = record.value, header.base_offset
    last = LastValues()
    assert last.take(data, 0) == len(data)
    assert list(last.items()) == list(expected.items())
    assert last.end_offset == (end_offset if contents else 0)


@pytest.mark.parametrize("attributes", [Codec.GZIP, TRANSACTIONAL, TRANSACTIONAL | CONTROL])
def test_it_stops_before_a_batch_that_says_more_than_its_records(attributes):
    plain = encode_batch([BatchRecord(b"a", b"1")])
    last = LastValues()
    data = plain + encode_batch([BatchRecord(b"a", b"2")], attributes=attributes) + plain
    assert last.take(data, 0) == len(plain)
    assert last == {b"a": (b"1", 0)}


@given(RECORDS, st.data())
def test_bytes_that_are_no_records_are_refused_or_harmless(records, data):
    batch = bytearray(encode_batch(records))
    place = data.draw(st.integers(61, len(batch) - 1))
    batch[place] ^= data.draw(st.integers(1, 255))
    last = LastValues()
    try:
        assert last.take(bytes(batch), 0) == len(batch)
    except KafkaError:
        return
    assert len(last) <= len(records)


@given(st.lists(RECORDS, max_size=4), st.integers(0, 300))
def test_the_whole_batches_of_a_log_that_is_cut_off(contents, missing):
    data, _ = log_of(contents)
    data = data[: max(0, len(data) - missing)]
    ends = [position + header.length for position, header in batches(data)]
    assert sound_bytes(data) == (ends[-1] if ends else 0)


@pytest.mark.parametrize("place", [11, 40, -1])
def test_damage_is_told_of_the_first_batch_and_ends_what_lies_before(place):
    sound = encode_batch([BatchRecord(b"a", b"1")])
    damaged = bytearray(sound)
    damaged[place] ^= 1
    assert sound_bytes(sound + damaged + sound) == len(sound)
    with pytest.raises(KafkaError, match="checksum"):
        sound_bytes(bytes(damaged) + sound)

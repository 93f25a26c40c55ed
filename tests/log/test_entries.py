"""The journal's format: what is written is read, and nothing else is."""

from __future__ import annotations

import uuid

from hypothesis import example, given
from hypothesis import strategies as st

from mq.log.entries import (
    BLOCK_BYTES,
    HEAD_BYTES,
    Entry,
    GroupHead,
    decode_entries,
    decode_head,
    encode_entries,
    encode_head,
    entry_bytes,
    is_whole,
    padded,
)
from mq.record import TopicPartition

offsets = st.integers(0, 2**63 - 1)
names = st.builds(TopicPartition, st.text(max_size=249), st.integers(0, 2**31 - 1))
entries = st.lists(
    st.builds(
        Entry,
        st.uuids(),
        names,
        offsets,
        offsets,
        st.lists(st.binary(max_size=200), max_size=4),
    ),
    max_size=8,
)
heads = st.builds(GroupHead, offsets, offsets, offsets, st.binary(min_size=8, max_size=8))

ENTRY = Entry(uuid.UUID(int=77), TopicPartition("orders", 3), 5, 7, [b"abc", b"", b"defg"])


def encoded(head: GroupHead, items: list[Entry]) -> bytes:
    body = encode_entries(items)
    return encode_head(head, len(items), body) + body


@given(heads, entries, st.binary(max_size=100))
def test_what_was_written_is_read(head: GroupHead, items: list[Entry], behind: bytes) -> None:
    data = encoded(head, items) + behind
    read = decode_head(data)
    assert read is not None
    assert read[:4] == head[:4]
    assert read.length == len(data) - len(behind)
    assert is_whole(read, data)
    found = [
        Entry(*entry[:4], [data[entry.position : entry.position + entry.size]])
        for entry in decode_entries(read, data)
    ]
    assert found == [item._replace(batches=[b"".join(item.batches)]) for item in items]


@given(entries)
def test_an_entry_takes_no_more_than_was_reckoned(items: list[Entry]) -> None:
    for item in items:
        size = sum(map(len, item.batches))
        assert len(encode_entries([item])) <= entry_bytes(item.name.topic, size)


@given(heads, entries, st.integers(0), st.integers(0, 7))
@example(GroupHead(1, 1, 0, bytes(8)), [], 8, 0)
def test_one_flipped_bit_is_noticed(
    head: GroupHead, items: list[Entry], place: int, bit: int
) -> None:
    data = bytearray(encoded(head, items))
    data[place % len(data)] ^= 1 << bit
    read = decode_head(bytes(data))
    assert read is None or not is_whole(read, bytes(data))


@given(heads, entries, st.integers(0))
def test_a_torn_group_is_noticed(head: GroupHead, items: list[Entry], cut: int) -> None:
    data = encoded(head, items)
    torn = data[: cut % len(data)]
    read = decode_head(torn)
    assert read is None or not is_whole(read, torn)


@given(heads, heads)
def test_a_group_comes_before_later_ones_of_the_same_use_only(
    head: GroupHead, other: GroupHead
) -> None:
    later = head._replace(sequence=head.sequence + 1)
    assert head.is_before(later)
    assert not later.is_before(head)
    assert not head.is_before(head)
    assert not head.is_before(later._replace(generation=head.generation + 1))
    assert not head.is_before(later._replace(salt=bytes(byte ^ 1 for byte in head.salt)))
    assert not (head.is_before(other) and other.is_before(head))


def test_the_format_is_as_it_is_told() -> None:
    head = GroupHead(2, 1, 3, b"saltsalt")
    data = encoded(head, [ENTRY])
    assert HEAD_BYTES == 48
    assert data[:4] == b"mqj1"
    numbers = "00000067 00000001 0000000000000002 0000000000000001 0000000000000003"
    assert data[8:48] == bytes.fromhex(numbers) + b"saltsalt"
    entry = "00000003 0000000000000005 0000000000000007 0006 00000007"
    assert data[48:] == ENTRY.topic_id.bytes + bytes.fromhex(entry) + b"ordersabcdefg"


@given(st.integers(0, 10 * BLOCK_BYTES))
def test_a_group_takes_whole_blocks(length: int) -> None:
    assert padded(length) % BLOCK_BYTES == 0
    assert length <= padded(length) < length + BLOCK_BYTES

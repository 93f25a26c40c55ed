"""Cutting a stream of bytes into frames."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mq.broker.inbound import Inbound
from mq.errors import PeerError

LIMIT = 1 << 20


def framed(payload: bytes) -> bytes:
    return struct.pack(">i", len(payload)) + payload


def feed(inbound: Inbound, data: bytes, sizes: list[int]) -> list[bytes]:
    """Deliver ``data`` in gulps as a socket would, no larger than the room there is."""
    frames: list[bytes] = []
    position = 0
    turn = 0
    while position < len(data):
        room = inbound.room()
        count = min(len(room), sizes[turn % len(sizes)], len(data) - position)
        room[:count] = data[position : position + count]
        frames += inbound.took(count)
        position += count
        turn += 1
    return frames


@given(
    payloads=st.lists(st.binary(max_size=20_000), max_size=8),
    sizes=st.lists(st.integers(1, 9_000), min_size=1, max_size=5),
    scratch=st.integers(16, 4096),
)
def test_frames_come_out_as_they_went_in_however_they_are_cut(payloads, sizes, scratch):
    inbound = Inbound(memoryview(bytearray(scratch)), LIMIT)
    assert feed(inbound, b"".join(map(framed, payloads)), sizes) == payloads
    assert not inbound.unfinished
    assert inbound.held == 0


@pytest.mark.parametrize("length", [-1, -(2**31), LIMIT + 1, 2**31 - 1])
def test_an_impossible_length_is_refused_before_memory_is_taken(length):
    inbound = Inbound(memoryview(bytearray(64)), LIMIT)
    data = struct.pack(">i", length)
    inbound.room()[: len(data)] = data
    with pytest.raises(PeerError):
        inbound.took(len(data))
    assert inbound.held == 0


def test_a_length_that_is_claimed_but_not_sent_costs_little():
    inbound = Inbound(memoryview(bytearray(64)), LIMIT)
    feed(inbound, struct.pack(">i", LIMIT) + b"x", [64])
    assert inbound.unfinished
    assert inbound.held <= 4096


def test_a_long_frame_holds_at_most_twice_what_has_arrived():
    data = framed(bytes(LIMIT))
    inbound = Inbound(memoryview(bytearray(1024)), LIMIT)
    for start in range(0, len(data) - 1000, 1000):
        feed(inbound, data[start : start + 1000], [1000])
        assert inbound.held <= max(4096, 2 * (start + 1000))

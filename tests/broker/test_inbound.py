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


def feed(inbound: Inbound, scratch: memoryview, data: bytes, sizes: list[int]) -> list[bytes]:
    """Deliver ``data`` in gulps as a connection would, no larger than is asked for."""
    frames: list[bytes] = []
    position = 0
    turn = 0
    while position < len(data):
        room = inbound.missing or len(scratch)
        piece = data[position : position + min(room, sizes[turn % len(sizes)])]
        if inbound.missing:
            frames += inbound.add(piece)
        else:
            scratch[: len(piece)] = piece
            frames += inbound.took(len(piece))
        position += len(piece)
        turn += 1
    return frames


@given(
    payloads=st.lists(st.binary(max_size=20_000), max_size=8),
    sizes=st.lists(st.integers(1, 9_000), min_size=1, max_size=5),
    scratch=st.integers(16, 4096),
)
def test_frames_come_out_as_they_went_in_however_they_are_cut(payloads, sizes, scratch):
    buffer = memoryview(bytearray(scratch))
    inbound = Inbound(buffer, LIMIT)
    assert feed(inbound, buffer, b"".join(map(framed, payloads)), sizes) == payloads
    assert not inbound.unfinished
    assert inbound.held == 0


@pytest.mark.parametrize("length", [-1, -(2**31), LIMIT + 1, 2**31 - 1])
def test_an_impossible_length_is_refused_before_memory_is_taken(length):
    scratch = memoryview(bytearray(64))
    inbound = Inbound(scratch, LIMIT)
    with pytest.raises(PeerError):
        feed(inbound, scratch, struct.pack(">i", length), [64])
    assert inbound.held == 0


def test_a_length_that_is_claimed_but_not_sent_costs_nothing():
    scratch = memoryview(bytearray(64))
    inbound = Inbound(scratch, LIMIT)
    feed(inbound, scratch, struct.pack(">i", LIMIT) + b"x", [64])
    assert inbound.unfinished
    assert inbound.held == 1


def test_a_frame_sent_byte_by_byte_is_not_kept_as_so_many_objects():
    scratch = memoryview(bytearray(64))
    inbound = Inbound(scratch, LIMIT)
    feed(inbound, scratch, framed(bytes(10_000))[:-1], [1])
    assert inbound.held == 9_999
    assert len(inbound._pieces) == 1

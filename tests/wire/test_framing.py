"""Frames out of a stream, and the headers inside them."""

from __future__ import annotations

import itertools
import struct
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mq.errors import PeerError
from mq.wire import framing
from mq.wire.framing import FrameReader, RequestHeader
from mq.wire.messages.api_versions import ApiVersionsRequest, ApiVersionsResponse
from mq.wire.messages.fetch import (
    FetchableTopicResponse,
    FetchRequest,
    FetchResponse,
    PartitionData,
)
from mq.wire.messages.heartbeat import HeartbeatRequest, HeartbeatResponse


def framed(*frames):
    return b"".join(struct.pack(">i", len(frame)) + frame for frame in frames)


# --- cutting ---------------------------------------------------------------------------------


@given(st.lists(st.binary(max_size=40)), st.lists(st.integers(0, 60)))
def test_frames_come_out_as_they_went_in_wherever_the_stream_is_cut(frames, cuts):
    stream = framed(*frames)
    places = sorted({min(cut, len(stream)) for cut in cuts} | {0, len(stream)})
    reader = FrameReader()
    out = []
    for start, stop in itertools.pairwise(places):
        out += reader.feed(stream[start:stop])
    assert out == frames
    assert not reader.pending


def test_a_frame_sent_byte_by_byte_costs_little_more_than_its_size():
    size = 50_000
    stream = framed(bytes(size))
    reader = FrameReader()
    pieces = [stream[place : place + 1] for place in range(len(stream))]
    tracemalloc.start()
    try:
        for piece in itertools.islice(pieces, len(pieces) - 1):
            assert reader.feed(piece) == []
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert reader.pending
    assert peak < 4 * size
    assert reader.feed(pieces[-1]) == [bytes(size)]


def test_a_large_frame_between_small_ones_is_whole():
    frames = [b"a", bytes(300_000), b"", b"b" * 5_000]
    stream = framed(*frames)
    reader = FrameReader()
    out = []
    for start in range(0, len(stream), 65_536):
        out += reader.feed(stream[start : start + 65_536])
    assert out == frames


@pytest.mark.parametrize("size", [-1, -(2**31), 1001, 2**31 - 1])
def test_a_size_that_is_negative_or_above_the_limit_is_refused_before_its_bytes_come(size):
    reader = FrameReader(limit=1000)
    assert reader.feed(framed(b"x" * 1000) + b"\0\0") == [b"x" * 1000]
    with pytest.raises(PeerError, match=str(size)):
        FrameReader(limit=1000).feed(struct.pack(">i", size))


def test_a_reader_is_pending_from_the_first_byte_to_the_last():
    reader = FrameReader()
    states = []
    for byte in framed(b"ab"):
        reader.feed(bytes([byte]))
        states.append(reader.pending)
    assert states == [True] * 5 + [False]


# --- requests --------------------------------------------------------------------------------


def request_frame(request, version, client_id="me"):
    return framing.encode_request(7, client_id, request, version)[4:]


@pytest.mark.parametrize("client_id", ["me", "", None, "ü"])
@pytest.mark.parametrize("version", [3, 4])
def test_a_request_arrives_as_it_was_sent(version, client_id):
    request = HeartbeatRequest("g", 1, "m")
    header, arrived = framing.parse_request(request_frame(request, version, client_id))
    assert header == RequestHeader(12, version, 7, client_id)
    assert arrived == request


def test_the_client_id_is_never_compact():
    frame = request_frame(HeartbeatRequest("g"), 4)
    assert frame.startswith(struct.pack(">hhih", 12, 4, 7, 2) + b"me" + b"\0")


def test_bytes_after_a_request_are_ignored():
    frame = request_frame(HeartbeatRequest("g"), 4)
    assert framing.parse_request(frame + b"\1\0\0") == framing.parse_request(frame)


def test_unknown_tags_of_a_header_are_skipped():
    frame = request_frame(HeartbeatRequest("g"), 4)
    tagged = frame[:12] + b"\x01\x07\x03abc" + frame[13:]
    assert framing.parse_request(tagged) == framing.parse_request(frame)


@pytest.mark.parametrize(("key", "version"), [(18, 5), (999, 0), (-1, 0), (0, 2), (4, 0), (12, -1)])
def test_an_unknown_api_or_version_is_told_with_the_header(key, version):
    frame = struct.pack(">hhih", key, version, 7, 2) + b"me" + b"\xff\xff"
    with pytest.raises(framing.UnsupportedRequestError) as caught:
        framing.parse_request(frame)
    assert caught.value.header == RequestHeader(key, version, 7, "me")


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        b"\0\x0c\0\x04\0\0\0\x07\0",
        struct.pack(">hhih", 12, 4, 7, -2),
        struct.pack(">hhih", 12, 4, 7, 9) + b"me",
        struct.pack(">hhih", 12, 3, 7, 2) + b"\xff\xff" + bytes(20),
        struct.pack(">hhih", 12, 4, 7, -1),
        struct.pack(">hhih", 12, 4, 7, -1) + b"\x01\x01\xff\xff\xff\xff\x0f",
    ],
    ids=["empty", "cut", "length -2", "long name", "not UTF-8", "no tags", "long tag"],
)
def test_a_bad_header_is_the_peers_fault(frame):
    with pytest.raises(PeerError):
        framing.parse_request(frame)


@given(st.binary(max_size=60))
def test_garbage_is_a_request_or_the_peers_fault(garbage):
    try:
        header, request = framing.parse_request(garbage)
    except PeerError:
        return
    assert header.api_key == request.API_KEY


@given(st.binary(max_size=60))
def test_garbage_is_a_response_or_the_peers_fault(garbage):
    try:
        _, response = framing.decode_response(garbage, HeartbeatRequest, 4)
    except PeerError:
        return
    assert isinstance(response, HeartbeatResponse)


# --- responses -------------------------------------------------------------------------------


@pytest.mark.parametrize("version", [3, 4])
def test_a_response_arrives_as_it_was_sent(version):
    response = HeartbeatResponse(error_code=27)
    sent = framing.encode_response(7, response, version)
    assert sent[:8] == struct.pack(">ii", len(sent) - 4, 7)
    assert framing.decode_response(sent[4:], HeartbeatRequest, version) == (7, response)


def test_a_flexible_response_has_tags_in_its_header_unless_it_answers_api_versions():
    heartbeat = framing.encode_response(7, HeartbeatResponse(), 4)
    assert heartbeat[8:] == b"\0" + bytes(4) + bytes(2) + b"\0"
    versions = framing.encode_response(7, ApiVersionsResponse(), 3)
    assert versions[8:] == bytes(2) + b"\x01" + bytes(4) + b"\0"
    assert framing.decode_response(versions[4:], ApiVersionsRequest, 3) == (
        7,
        ApiVersionsResponse(),
    )


def test_the_size_of_a_response_in_parts_counts_records_that_are_not_bytes():
    class Extent:
        def __len__(self):
            return 1000

    topic = FetchableTopicResponse("t", partitions=[PartitionData(records=Extent())])
    parts = framing.response_parts(7, FetchResponse(responses=[topic]), 12)
    same = FetchableTopicResponse("t", partitions=[PartitionData(records=bytes(1000))])
    whole = framing.encode_response(7, FetchResponse(responses=[same]), 12)
    joined = b"".join(part if isinstance(part, bytes) else bytes(len(part)) for part in parts)
    assert joined == whole
    assert framing.decode_response(whole[4:], FetchRequest, 12)[1].responses == [same]

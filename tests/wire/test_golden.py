"""What real clients and Apache Kafka 4.3 said to each other, read and said again."""

from __future__ import annotations

import pytest

from mq.errors import PeerError
from mq.wire import framing
from mq.wire.messages import REQUESTS

INTER_BROKER = {83, 84, 85, 87}  # share group state, between the coordinator and itself
API_VERSIONS_5 = (18, 5)  # franz-go asks with a version that Kafka 4.3 does not have


@pytest.fixture(scope="module")
def served(golden):
    frames = [f for f in golden if f.api_key not in INTER_BROKER]
    return [f for f in frames if not (f.is_request and (f.api_key, f.api_version) == (18, 5))]


def again(frame):
    """Decode a frame and encode it again."""
    version = frame.api_version
    if frame.is_request:
        header, request = framing.parse_request(frame.data)
        assert (header.api_key, header.api_version) == (frame.api_key, version)
        assert header.correlation_id == frame.correlation_id
        encoded = framing.encode_request(header.correlation_id, header.client_id, request, version)
    else:
        if (frame.api_key, version) == API_VERSIONS_5:
            version = 0  # how Kafka answers what it does not know
        correlation_id, response = framing.decode_response(
            frame.data, REQUESTS[frame.api_key], version
        )
        assert correlation_id == frame.correlation_id
        encoded = framing.encode_response(correlation_id, response, version)
    assert int.from_bytes(encoded[:4]) == len(encoded) - 4
    return encoded[4:]


def test_every_captured_frame_becomes_the_same_bytes_again(served):
    different = [frame for frame in served if again(frame) != frame.data]
    assert len(served) > 1490
    # librdkafka's metadata request v13 for all topics ends with three bytes that mean nothing.
    assert [(f.client, f.api_key, f.api_version) for f in different] == [("ck-admin", 3, 13)]
    assert again(different[0]) + b"\x01\0\0" == different[0].data


def test_the_capture_has_every_kind_of_frame_that_is_left_out(golden, served):
    left_out = [frame for frame in golden if frame not in served]
    assert {f.api_key for f in left_out if f.api_key in INTER_BROKER} == INTER_BROKER
    assert {(f.api_key, f.api_version) for f in left_out if f.api_key not in INTER_BROKER} == {
        API_VERSIONS_5
    }


def test_api_versions_5_is_told_apart_with_its_header_intact(golden):
    asked = [f for f in golden if f.is_request and (f.api_key, f.api_version) == API_VERSIONS_5]
    assert asked
    for frame in asked:
        with pytest.raises(framing.UnsupportedRequestError) as caught:
            framing.parse_request(frame.data)
        header = caught.value.header
        assert header == framing.RequestHeader(18, 5, frame.correlation_id, frame.client)


def test_no_cut_of_a_captured_frame_reads_as_a_whole_one(served):
    for frame in {(f.is_request, f.api_key, f.api_version): f for f in served}.values():
        for end in {0, 3, 7, len(frame.data) // 2, len(frame.data) - 1}:
            cut = frame._replace(data=frame.data[:end])
            if again_is_impossible_or_shorter(cut, frame):
                continue
            pytest.fail(f"{end} of {len(frame.data)} bytes of {frame} were accepted")


def again_is_impossible_or_shorter(cut, frame):
    """A cut of the bytes after a message leaves the message whole; nothing else may."""
    try:
        return again(cut) == again(frame)
    except PeerError:
        return True

"""Bytes in, requests out; responses in, bytes out: frames and the headers inside them.

A frame is a size (int32) and that many bytes: a header and one message. Here "frame" means those
bytes without the size, as :class:`FrameReader` hands them out; what the ``encode_`` functions give
has the size in front and is ready to be sent.

Headers depend on the API and its version. Requests: version 2 with tagged fields if the API version
is flexible, else version 1; the client id is never compact in either. Responses: likewise 1 and 0,
but an ApiVersions response has header 0 always, as its reader does not yet know what the other side
understands (KIP-511).

This module keeps no state but the unfinished frame. It does not know which versions a broker wants
to serve, only which ones exist.
"""

from __future__ import annotations

import functools
import struct
from typing import Any, Final

import msgspec

from mq.errors import PeerError
from mq.wire import schema
from mq.wire.fields import Message, Request, Response
from mq.wire.messages import REQUESTS
from mq.wire.varint import read_unsigned_varint

__all__ = [
    "FRAME_BYTES_MAX",
    "FrameReader",
    "RequestHeader",
    "UnsupportedRequestError",
    "decode_response",
    "encode_request",
    "encode_response",
    "parse_header",
    "parse_request",
    "response_parts",
]

FRAME_BYTES_MAX: Final = 100 * 1024 * 1024  # Kafka's default of socket.request.max.bytes
_SMALL: Final = 4096  # pieces below this are merged, or a peer sending bytes one by one costs 50×
_API_VERSIONS: Final = 18

_SIZE: Final = struct.Struct(">i")
_HEADER: Final = struct.Struct(">hhih")
_UNTAGGED: Final = struct.Struct(">ii")
_TAGGED: Final = struct.Struct(">iix")


class RequestHeader(msgspec.Struct, frozen=True, gc=False):
    """Who asks what. ``client_id`` is whatever the client calls itself."""

    api_key: int
    api_version: int
    correlation_id: int
    client_id: str | None


class UnsupportedRequestError(PeerError):
    """The API key, or this version of it, does not exist. Answer ApiVersions with its version 0 and
    ``UNSUPPORTED_VERSION``; close the connection for any other."""

    def __init__(self, header: RequestHeader) -> None:
        super().__init__(f"no API has key {header.api_key} and version {header.api_version}")
        self.header = header


# --- frames ----------------------------------------------------------------------------------


class FrameReader:
    """Cuts a stream of bytes into frames.

    A frame that arrives in many pieces is copied once, when it is complete. What is buffered never
    exceeds one frame and what was fed last.
    """

    def __init__(self, limit: int = FRAME_BYTES_MAX) -> None:
        self._limit = limit
        self._pieces: list[bytes | bytearray] = []
        self._missing = 0  # bytes that the frame in ``_pieces`` still needs; 0 if there is none
        self._head = b""  # an incomplete size

    @property
    def pending(self) -> bool:
        """Whether a frame has begun and is not complete."""
        return bool(self._missing or self._head)

    def feed(self, data: bytes) -> list[bytes]:
        """The frames that ``data`` completes, in order.

        Raises:
            PeerError: a frame's size is negative or above the limit. The stream cannot be resumed.
        """
        frames: list[bytes] = []
        position = 0
        if self._missing:
            position = self._continue(data, frames)
        elif self._head:
            data = self._head + data
            self._head = b""
        end = len(data)
        while end - position >= 4:
            (size,) = _SIZE.unpack_from(data, position)
            if not 0 <= size <= self._limit:
                raise PeerError(f"a frame of {size} bytes; the limit is {self._limit}")
            position += 4
            stop = position + size
            if stop > end:
                self._pieces = [data[position:]]
                self._missing = stop - end
                return frames
            frames.append(data[position:stop])
            position = stop
        self._head = data[position:]
        return frames

    def _continue(self, data: bytes, frames: list[bytes]) -> int:
        """Add to the unfinished frame; how much of ``data`` it took."""
        taken = min(self._missing, len(data))
        piece = data if taken == len(data) else data[:taken]
        last = self._pieces[-1]
        if isinstance(last, bytearray) and taken < _SMALL:
            last += piece
        else:
            self._pieces.append(bytearray(piece) if taken < _SMALL else piece)
        self._missing -= taken
        if not self._missing:
            frames.append(b"".join(self._pieces))
            self._pieces = []
        return taken


# --- the side that answers -------------------------------------------------------------------


def parse_header(frame: bytes) -> tuple[RequestHeader, int]:
    """The header of a request and the position of its message.

    Raises:
        UnsupportedRequestError: the API key or the version does not exist.
        PeerError: the bytes are no header.
    """
    try:
        key, version, correlation_id, length = _HEADER.unpack_from(frame)
        position = 10
        client_id = None
        if length >= 0:
            position += length
            client_id = frame[10:position].decode()
        elif length != -1:
            raise ValueError(f"a client id of length {length}")
        header = RequestHeader(key, version, correlation_id, client_id)
        flexible = _request_is_flexible(key, version)
        if flexible is None:
            raise UnsupportedRequestError(header)
        if flexible:
            position = _skip_tags(frame, position)
        if position > len(frame):
            raise IndexError("the bytes end too early")
    except (struct.error, IndexError, ValueError) as error:
        raise PeerError(f"a request header cannot be read: {error}") from error
    return header, position


@functools.lru_cache(1024)  # there are some 400 versions, and no end of nonsense
def _request_is_flexible(key: int, version: int) -> bool | None:
    """Whether it has flexible headers; None if there is no such API or version."""
    kind = REQUESTS.get(key)
    if kind is None or version not in kind.VERSIONS:
        return None
    return _flexible(kind, version)


def parse_request(frame: bytes) -> tuple[RequestHeader, Request]:
    """What a client asks. Bytes after the message are ignored: one librdkafka request has three.

    Raises:
        UnsupportedRequestError: the API key or the version does not exist.
        PeerError: the bytes are no such request.
    """
    header, position = parse_header(frame)
    request, _ = schema.decode(REQUESTS[header.api_key], frame, header.api_version, position)
    return header, request


def response_parts(correlation_id: int, response: Response, version: int) -> list[Any]:
    """An answer ready to be sent, in pieces: see :func:`mq.wire.schema.encode_parts`.

    Raises:
        KafkaError, ValueError: as :func:`mq.wire.schema.encode`.
    """
    parts = schema.encode_parts(response, version)
    size = sum(map(len, parts))
    if _flexible(response, version) and response.API_KEY != _API_VERSIONS:
        parts.insert(0, _TAGGED.pack(size + 5, correlation_id))
    else:
        parts.insert(0, _UNTAGGED.pack(size + 4, correlation_id))
    return parts


def encode_response(correlation_id: int, response: Response, version: int) -> bytes:
    """An answer ready to be sent, as one piece.

    Raises:
        KafkaError, ValueError: as :func:`mq.wire.schema.encode`.
    """
    return b"".join(response_parts(correlation_id, response, version))


# --- the side that asks ----------------------------------------------------------------------


def encode_request(
    correlation_id: int, client_id: str | None, request: Request, version: int
) -> bytes:
    """A question ready to be sent.

    Raises:
        KafkaError, ValueError: as :func:`mq.wire.schema.encode`.
    """
    name = b"" if client_id is None else client_id.encode()
    length = -1 if client_id is None else len(name)
    head = _HEADER.pack(request.API_KEY, version, correlation_id, length) + name
    if _flexible(request, version):
        head += b"\0"
    body = schema.encode(request, version)
    return _SIZE.pack(len(head) + len(body)) + head + body


def decode_response(frame: bytes, kind: type[Request], version: int) -> tuple[int, Response]:
    """The correlation id of an answer to a ``kind`` of request, and the answer.

    Raises:
        PeerError: the bytes are no such answer.
    """
    try:
        (correlation_id,) = _SIZE.unpack_from(frame)
        position = 4
        if _flexible(kind, version) and kind.API_KEY != _API_VERSIONS:
            position = _skip_tags(frame, position)
    except (struct.error, IndexError, ValueError) as error:
        raise PeerError(f"a response header cannot be read: {error}") from error
    response, _ = schema.decode(kind.RESPONSE, frame, version, position)
    return correlation_id, response


def _flexible(message: Message | type[Message], version: int) -> bool:
    first = message.FLEXIBLE
    return first is not None and version >= first


def _skip_tags(frame: bytes, position: int) -> int:
    """The position after the tagged fields of a header; Kafka defines none."""
    if frame[position] == 0:
        return position + 1
    count, position = read_unsigned_varint(frame, position)
    for _ in range(count):
        _, position = read_unsigned_varint(frame, position)
        size, position = read_unsigned_varint(frame, position)
        position += size
    return position

"""Bytes of one connection in, whole frames out.

A Kafka frame is a length (4 bytes, big-endian) and that many bytes. Frames that fit are cut out of
a buffer that all connections share. The pieces of a longer one are kept as they come and joined
once: every byte is copied once, and a length that is claimed but never sent costs nothing.

This module knows neither sockets nor what a frame says. A length that no honest client sends raises
:class:`~mq.errors.PeerError` before anything is allocated.
"""

from __future__ import annotations

from struct import Struct
from typing import Final

from mq.errors import PeerError

__all__ = ["Inbound"]

_LENGTH: Final = Struct(">i")

_SMALL_PIECE: Final = 4096
"""Pieces below this are merged, or a client that sends byte by byte would cost sixty times as much
memory as it sends."""


class Inbound:
    """The receiving side of one connection.

    While ``missing`` is 0 the owner receives into ``scratch`` and says :meth:`took` how many bytes
    came; otherwise at most ``missing`` bytes are due, and given to :meth:`add`.

    Args:
        scratch: receive buffer, shared by the connections of one event loop.
        limit: the longest frame accepted, in bytes.

    Attributes:
        held: bytes of memory that the unfinished frame occupies.
        missing: bytes that the unfinished frame still needs.
    """

    __slots__ = ("_limit", "_pieces", "_prefix", "_scratch", "held", "missing")

    def __init__(self, scratch: memoryview, limit: int) -> None:
        self._scratch = scratch
        self._limit = limit
        self._prefix = b""
        self._pieces: list[bytes | bytearray] = []
        self.held = 0
        self.missing = 0

    @property
    def unfinished(self) -> bool:
        """Whether a part of a frame is here and the rest is not."""
        return self.missing > 0 or bool(self._prefix)

    def took(self, count: int) -> list[bytes]:
        """``count`` bytes were received into the scratch buffer; the frames they complete.

        Raises:
            PeerError: a length is negative or beyond the limit.
        """
        data = self._scratch[:count]
        if self._prefix:
            data = memoryview(self._prefix + bytes(data))
            self._prefix = b""
        frames: list[bytes] = []
        position, end = 0, len(data)
        while end - position >= 4:
            length: int = _LENGTH.unpack_from(data, position)[0]
            if not 0 <= length <= self._limit:
                raise PeerError(f"a frame of {length} bytes; at most {self._limit} are read")
            stop = position + 4 + length
            if stop > end:
                self._keep(bytes(data[position + 4 :]), stop - end)
                return frames
            frames.append(bytes(data[position + 4 : stop]))
            position = stop
        self._prefix = bytes(data[position:])
        return frames

    def add(self, data: bytes) -> list[bytes]:
        """More of the unfinished frame, at most ``missing`` bytes; the frame if it is complete."""
        self._keep(data, self.missing - len(data))
        if self.missing:
            return []
        frame = b"".join(self._pieces)
        self._pieces.clear()
        self.held = 0
        return [frame]

    def _keep(self, piece: bytes, missing: int) -> None:
        self.missing = missing
        self.held += len(piece)
        last = self._pieces[-1] if self._pieces else b""
        if len(piece) >= _SMALL_PIECE:
            self._pieces.append(piece)
        elif isinstance(last, bytearray):
            last += piece
        else:
            self._pieces.append(bytearray(piece))

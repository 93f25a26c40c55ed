"""Bytes of one connection in, whole frames out.

A Kafka frame is a length (4 bytes, big-endian) and that many bytes. Small frames are cut out of a
buffer that all connections share; only a frame that does not fit gets a buffer of its own, and
that buffer grows as bytes arrive: a length that is claimed but never sent costs nothing.

This module knows neither sockets nor what a frame says. A length that no honest client sends raises
:class:`~mq.errors.PeerError` before anything is allocated.
"""

from __future__ import annotations

from struct import Struct
from typing import Final

from mq.errors import PeerError

__all__ = ["Inbound"]

_LENGTH: Final = Struct(">i")

_FIRST_CAPACITY: Final = 4 * 1024
"""A frame's own buffer starts at this size, so that ten thousand stalled frames cost 40 MiB."""


class Inbound:
    """The receiving side of one connection.

    The owner receives into :meth:`room` and then says :meth:`took` how many bytes came. Between the
    two calls nobody else may touch ``scratch``.

    Args:
        scratch: receive buffer, shared by the connections of one event loop.
        limit: the longest frame accepted, in bytes.
    """

    __slots__ = (
        "_capacity",
        "_filled",
        "_frame",
        "_length",
        "_limit",
        "_prefix",
        "_scratch",
        "_view",
    )

    def __init__(self, scratch: memoryview, limit: int) -> None:
        self._scratch = scratch
        self._limit = limit
        self._prefix = b""
        self._frame: bytearray | None = None
        self._view: memoryview | None = None
        self._capacity = 0
        self._filled = 0
        self._length = 0

    @property
    def held(self) -> int:
        """Bytes of memory that the unfinished frame occupies."""
        return self._capacity

    @property
    def unfinished(self) -> bool:
        """Whether a part of a frame is here and the rest is not."""
        return self._frame is not None or bool(self._prefix)

    def room(self) -> memoryview:
        """Where the next bytes of the connection go; never empty."""
        if self._frame is None:
            return self._scratch
        self._view = memoryview(self._frame)[self._filled :]
        return self._view

    def took(self, count: int) -> list[bytes]:
        """Account for ``count`` received bytes and return the frames they completed, in order.

        Raises:
            PeerError: a length prefix is negative or beyond the limit.
        """
        if self._frame is not None:
            return self._continue(self._frame, count)
        if self._prefix:
            data = memoryview(self._prefix + bytes(self._scratch[:count]))
            self._prefix = b""
            return self._split(data)
        return self._split(self._scratch[:count])

    def _continue(self, frame: bytearray, count: int) -> list[bytes]:
        if self._view is not None:
            self._view.release()
            self._view = None
        self._filled += count
        if self._filled == self._length:
            self._frame = None
            self._capacity = 0
            return [bytes(frame)]
        if self._filled == self._capacity:
            self._capacity = min(self._length, self._capacity * 2)
            frame.extend(bytes(self._capacity - self._filled))
        return []

    def _split(self, data: memoryview) -> list[bytes]:
        frames: list[bytes] = []
        position, end = 0, len(data)
        while end - position >= 4:
            length: int = _LENGTH.unpack_from(data, position)[0]
            if not 0 <= length <= self._limit:
                raise PeerError(
                    f"a frame of {length} bytes was announced; at most {self._limit} are read"
                )
            stop = position + 4 + length
            if stop > end:
                self._begin(length, data[position + 4 :])
                return frames
            frames.append(bytes(data[position + 4 : stop]))
            position = stop
        self._prefix = bytes(data[position:])
        return frames

    def _begin(self, length: int, start: memoryview) -> None:
        self._length = length
        self._filled = len(start)
        self._capacity = min(length, max(_FIRST_CAPACITY, 2 * len(start)))
        self._frame = bytearray(self._capacity)
        self._frame[: self._filled] = start

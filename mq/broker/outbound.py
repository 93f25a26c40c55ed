"""Replies on their way into one socket.

A reply is a list of chunks: bytes, and slices of segment files that go from the page cache to the
socket without passing through this process (``sendfile``). Below 8 KiB a read and a single send are
cheaper than that, so small slices become bytes at once. Where the system or the socket has no
sendfile, slices are read and sent in pieces.

This module knows the order of bytes and nothing of what they mean.
"""

from __future__ import annotations

import os
import socket
import sys
from collections import deque
from collections.abc import Iterable
from typing import Final, TypeAlias

from mq.log.slices import Slice

__all__ = ["SENDFILE", "Chunk", "Outbound"]

Chunk: TypeAlias = bytes | Slice

SENDFILE: Final = hasattr(os, "sendfile") and sys.platform in ("linux", "darwin")
"""Whether this system's sendfile takes a socket."""

_INLINE_BYTES: Final = 8 * 1024
"""Slices up to here are read and joined with their neighbours, which was measured as cheaper."""

_PIECE_BYTES: Final = 128 * 1024
"""How much of a slice is read at a time where there is no sendfile."""

_TURN_BYTES: Final = 4 * 1024 * 1024
"""One connection sends at most this much before the others get their turn."""

_BUFFERS_MAX: Final = 64
"""Buffers handed to one ``sendmsg``; far below every system's limit."""

_MORE: Final = getattr(socket, "MSG_MORE", 0)


class Outbound:
    """The sending side of one connection. ``queued`` is what it still has to send, in bytes."""

    __slots__ = ("_chunks", "_sendfile", "_sent", "_socket", "queued")

    def __init__(self, connection: socket.socket, *, sendfile: bool = SENDFILE) -> None:
        self._socket = connection
        self._sendfile = sendfile
        self._chunks: deque[Chunk] = deque()
        self._sent = 0  # bytes of the first chunk that are gone already
        self.queued = 0

    def push(self, chunks: Iterable[Chunk]) -> None:
        """Queue a reply.

        Raises:
            OSError: a small slice cannot be read.
        """
        for chunk in chunks:
            if isinstance(chunk, Slice):
                self.queued += chunk.size
                if chunk.size <= _INLINE_BYTES:
                    self._chunks.append(_read(chunk, 0, chunk.size))
                else:
                    self._chunks.append(chunk)
            elif chunk:
                self.queued += len(chunk)
                self._chunks.append(chunk)

    def flush(self) -> bool:
        """Send what the socket takes. True if it deserves another turn as soon as it is writable.

        Raises:
            OSError: the peer is gone, or a slice cannot be read.
        """
        budget = _TURN_BYTES
        try:
            while self._chunks and budget > 0:
                head = self._chunks[0]
                sent = self._send_slice(head) if isinstance(head, Slice) else self._send_bytes()
                budget -= sent
                self.queued -= sent
                self._advance(sent)
        except BlockingIOError:
            pass
        return bool(self._chunks)

    def _send_bytes(self) -> int:
        buffers: list[bytes | memoryview] = []
        more = 0
        for chunk in self._chunks:
            if isinstance(chunk, Slice) or len(buffers) == _BUFFERS_MAX:
                more = _MORE
                break
            buffers.append(chunk)
        if self._sent:
            buffers[0] = memoryview(buffers[0])[self._sent :]
        if len(buffers) == 1:
            return self._socket.send(buffers[0], more)
        return self._socket.sendmsg(buffers, (), more)

    def _send_slice(self, chunk: Slice) -> int:
        left = chunk.size - self._sent
        if not self._sendfile:
            piece = _read(chunk, self._sent, min(left, _PIECE_BYTES))
            return self._socket.send(piece)
        sent = os.sendfile(self._socket.fileno(), chunk.file, chunk.position + self._sent, left)
        if sent == 0:
            raise OSError("a segment file ends before its slice")
        return sent

    def _advance(self, sent: int) -> None:
        self._sent += sent
        while self._chunks:
            head = self._chunks[0]
            size = head.size if isinstance(head, Slice) else len(head)
            if self._sent < size:
                return
            self._sent -= size
            self._chunks.popleft()


def _read(chunk: Slice, skip: int, size: int) -> bytes:
    data = os.pread(chunk.file, size, chunk.position + skip)
    if len(data) != size:
        raise OSError("a segment file ends before its slice")
    return data

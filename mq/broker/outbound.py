"""Replies on their way into one socket.

A reply is a list of chunks: bytes, and slices of segment files that go from the page cache to the
socket without passing through this process (``sendfile``). Below 8 KiB a read and a single send are
cheaper than that, so small slices become bytes and join their neighbours. Where the system or the
socket has no sendfile, slices are read and sent in pieces.

Nothing here waits. A slice is sent in windows, and a window that is not in the page cache stops the
sending until a thread has brought it there.

This module knows the order of bytes and nothing of what they mean.
"""

from __future__ import annotations

import enum
import os
import socket
import sys
from collections import deque
from collections.abc import Callable, Iterable
from typing import Final, TypeAlias

import msgspec

from mq.broker.page_cache import PageCache, read_slice
from mq.log.slices import Slice

__all__ = ["SENDFILE", "Chunk", "Outbound", "Waits"]

Chunk: TypeAlias = bytes | bytearray | Slice

SENDFILE: Final = hasattr(os, "sendfile") and sys.platform in ("linux", "darwin")
"""Whether this system's sendfile takes a socket."""

_INLINE_BYTES: Final = 8 * 1024
"""Slices up to here are read and joined with their neighbours, which was measured as cheaper."""

_PIECE_BYTES: Final = 128 * 1024
"""How much of a slice is read at a time where there is no sendfile."""

_WINDOW_BYTES: Final = 1024 * 1024
"""How much of a slice is looked up in the page cache, or brought there, at a time."""

_TURN_BYTES: Final = 4 * 1024 * 1024
"""One connection sends at most this much before the others get their turn."""

_BUFFERS_MAX: Final = 64
"""Buffers handed to one ``sendmsg``; far below every system's limit."""

_MORE: Final = getattr(socket, "MSG_MORE", 0)


class Waits(enum.Enum):
    """What keeps the next byte from being sent."""

    FOR_NOTHING = enum.auto()  # there is none
    FOR_SOCKET = enum.auto()
    FOR_DISK = enum.auto()


class Outbound:
    """The sending side of one connection. ``queued`` is what it still has to send, in bytes.

    Args:
        warmed: called when it no longer waits for the disk.
        sendfile: whether the socket takes slices.
    """

    __slots__ = (
        "_chunks",
        "_cold",
        "_page_cache",
        "_sendfile",
        "_sent",
        "_socket",
        "_tell_warmed",
        "_warm",
        "queued",
    )

    def __init__(
        self,
        connection: socket.socket,
        page_cache: PageCache,
        warmed: Callable[[], None],
        *,
        sendfile: bool = SENDFILE,
    ) -> None:
        self._socket = connection
        self._page_cache = page_cache
        self._tell_warmed = warmed
        self._sendfile = sendfile
        self._chunks: deque[Chunk] = deque()
        self._sent = 0  # bytes of the first chunk that are gone already
        self._warm = 0  # bytes from there on that are known to be in the page cache
        self._cold = 0  # bytes from there on that a thread brings into the page cache
        self.queued = 0

    def push(self, chunks: Iterable[Chunk]) -> None:
        """Queue a reply."""
        for chunk in chunks:
            if size := len(chunk):
                self.queued += size
                self._chunks.append(chunk)

    def flush(self) -> Waits:
        """Send what the socket takes, for one turn; then what the rest waits for.

        Raises:
            OSError: the peer is gone, or a slice cannot be read.
        """
        if self._cold:
            return Waits.FOR_DISK
        budget = _TURN_BYTES
        try:
            while self._chunks and budget > 0:
                sent = self._send()
                if not sent:
                    return Waits.FOR_DISK
                budget -= sent
                self.queued -= sent
                self._advance(sent)
        except BlockingIOError:
            self._warm = 0  # who knows what the page cache holds when the socket takes more
        return Waits.FOR_SOCKET if self._chunks else Waits.FOR_NOTHING

    def _send(self) -> int:
        """Send some of what comes first; how much. Nothing if that is cold."""
        buffers: list[bytes | bytearray | memoryview] = []
        more = 0
        for place, chunk in enumerate(self._chunks):
            if len(buffers) == _BUFFERS_MAX:
                more = _MORE
                break
            if isinstance(chunk, Slice):
                data = self._inline(chunk, first=not buffers)
                if data is None:
                    more = _MORE
                    break
                self._chunks[place] = chunk = data
            buffers.append(chunk)
        if not buffers:
            return self._send_slice()
        if self._sent:
            buffers[0] = memoryview(buffers[0])[self._sent :]
        if len(buffers) == 1:
            return self._socket.send(buffers[0], more)
        return self._socket.sendmsg(buffers, (), more)

    def _inline(self, chunk: Slice, *, first: bool) -> bytes | bytearray | None:
        """The bytes of a slice that is small and in the page cache."""
        if chunk.size > _INLINE_BYTES or (self._sent and first):
            return None
        if first and self._warm >= chunk.size:
            return read_slice(chunk)
        return self._page_cache.read(chunk)

    def _send_slice(self) -> int:
        chunk = self._chunks[0]
        assert isinstance(chunk, Slice)
        position = chunk.position + self._sent
        size = min(chunk.size - self._sent, _WINDOW_BYTES)
        if self._warm < size:
            if not self._page_cache.holds(chunk, self._sent, size):
                self._cold = size
                window = msgspec.structs.replace(chunk, position=position, size=size)
                self._page_cache.fetch(window, self._warmed)
                return 0
            self._warm = size
        if self._sendfile:
            sent = os.sendfile(self._socket.fileno(), chunk.file, position, size)
        else:
            sent = self._socket.send(read_slice(chunk, self._sent, min(size, _PIECE_BYTES)))
        if sent == 0:
            raise OSError("a segment file ends before its slice")
        self._warm = max(0, self._warm - sent)
        return sent

    def _warmed(self) -> None:
        self._warm, self._cold = self._cold, 0
        self._tell_warmed()

    def _advance(self, sent: int) -> None:
        self._sent += sent
        while self._chunks:
            size = len(self._chunks[0])
            if self._sent < size:
                return
            self._sent -= size
            self._chunks.popleft()

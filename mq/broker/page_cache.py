"""Whether bytes of a file lie in the system's page cache, and the threads that bring them there.

The event loop must never wait for a disk. What it sends with ``sendfile`` has to be in the page
cache beforehand: that is asked for with ``cachestat`` (Linux 6.5), one call of a microsecond for
any length. Trying to read with RWF_NOWAIT would tell of the first page only, and copy. Where the
system cannot tell (an older kernel, a sandbox, macOS), only what was just written counts as cached,
and the threads read all else first.

The answer holds for now, not for ever: between it and the sending lie microseconds, in which the
system would have to reclaim just these pages.
"""

from __future__ import annotations

import asyncio
import ctypes
import errno
import os
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from mq.log.slices import Slice

__all__ = ["PageCache", "read_slice"]

_READERS_MAX: Final = 2
_READ_BYTES: Final = 256 * 1024
_PAGE_BYTES: Final = os.sysconf("SC_PAGE_SIZE")
_CACHESTAT: Final = 451  # the number of the system call, the same on all of Linux's machines


class _Range(ctypes.Structure):
    _fields_ = (("offset", ctypes.c_uint64), ("length", ctypes.c_uint64))


class _Stat(ctypes.Structure):
    _fields_ = tuple(
        (name, ctypes.c_uint64)
        for name in ("cached", "dirty", "writeback", "evicted", "recently_evicted")
    )


class PageCache:
    """What the page cache holds of slices.

    Args:
        loop: the event loop that everything here is called on.
        tells: whether to ask the system what is cached, where it can tell.
        reads_nowait: whether to try reads that do not wait, where the system has them.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, *, tells: bool = True, reads_nowait: bool = True
    ) -> None:
        self._threads = ThreadPoolExecutor(_READERS_MAX, "mq-cold-read")
        self._loop = loop
        self._range = _Range()
        self._stat = _Stat()
        self._arguments = ctypes.byref(self._range), ctypes.byref(self._stat), 0
        self._syscall = ctypes.PyDLL(None).syscall  # keeps the interpreter: too short to let go
        self._tells = tells and sys.platform == "linux"
        self._reads_nowait = reads_nowait and hasattr(os, "RWF_NOWAIT")

    def holds(self, piece: Slice, skip: int, size: int) -> bool:
        """Whether ``size`` bytes of a slice, after its first ``skip``, are in the page cache."""
        if not self._tells:
            return piece.hot
        position = piece.position + skip
        first = position // _PAGE_BYTES
        pages = (position + size - 1) // _PAGE_BYTES - first + 1
        self._range.offset = first * _PAGE_BYTES
        self._range.length = pages * _PAGE_BYTES
        if self._syscall(_CACHESTAT, piece.file, *self._arguments) != 0:
            self._tells = False
            return piece.hot
        return bool(self._stat.cached >= pages)

    def read(self, piece: Slice) -> bytes | bytearray | None:
        """The bytes of a small slice; None if the disk would have to be waited for.

        Raises:
            OSError: it cannot be read.
        """
        if not self._reads_nowait:
            return read_slice(piece) if piece.hot else None
        data = bytearray(piece.size)
        try:
            count = os.preadv(piece.file, (data,), piece.position, os.RWF_NOWAIT)
        except BlockingIOError:
            return None
        except OSError as error:
            if error.errno != errno.EOPNOTSUPP:
                raise
            self._reads_nowait = False  # not on this file system
            return self.read(piece)
        return data if count == piece.size else None

    def fetch(self, piece: Slice, then: Callable[[], None]) -> None:
        """Bring a slice into the page cache on another thread, then call ``then`` on the loop."""
        done = self._loop.run_in_executor(self._threads, _read_through, piece)
        done.add_done_callback(lambda _: then())

    def close(self) -> None:
        """Begin no more reads."""
        self._threads.shutdown(wait=False, cancel_futures=True)


def read_slice(piece: Slice, skip: int = 0, size: int | None = None) -> bytes:
    """Bytes of a slice, whether or not the disk has to be waited for.

    Raises:
        OSError: they cannot be read.
    """
    wanted = piece.size if size is None else size
    data = os.pread(piece.file, wanted, piece.position + skip)
    if len(data) != wanted:
        raise OSError("a segment file ends before its slice")
    return data


def _read_through(piece: Slice) -> None:
    position, end = piece.position, piece.position + piece.size
    try:
        while position < end:
            read = len(os.pread(piece.file, min(_READ_BYTES, end - position), position))
            if read == 0:
                return
            position += read
    except OSError:
        pass  # sending meets the same error, and that one closes the connection

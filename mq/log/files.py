"""The only disk access of the log.

Everything the log does to a disk is one of the few verbs below, on an instance that is handed in: a
test hands in one that fails, forgets or records instead. The verbs raise :class:`OSError` as the
system does; who calls decides what it means for a partition.

A :class:`File` closes its descriptor when nobody refers to it any more, and never earlier. That is
what lets a sealed segment be deleted while its bytes are still on their way to a socket, or a
partition while its sync is running on another thread: a descriptor number is never reused under
someone who still holds it.

Knows nothing of batches, segments or offsets.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import mmap
import os
import re
import resource
import sys
import threading
from collections import OrderedDict
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Final, TypeAlias

__all__ = ["Buffer", "File", "Files", "OpenFiles", "open_files_max"]

Buffer: TypeAlias = bytes | bytearray | memoryview | mmap.mmap

# The most buffers one pwritev takes (IOV_MAX on Linux and macOS).
BUFFERS_MAX: Final = 1024

SPARE_DESCRIPTORS: Final = 8

_READ_BYTES: Final = 1024 * 1024

# Of the descriptors that a process may have, the log uses this part, and no more than so many: the
# rest is for connections.
_SHARE: Final = 4
_OPEN_FILES_MAX: Final = 8192


# From so many files on it is cheaper to sync the file system than them.
_FEW_FILES: Final = 64

# Before, syncfs of Linux kept quiet about data that could not be written.
_SYNCFS_TELLS: Final = (5, 8)


class File:
    """An open file; its descriptor lives exactly as long as this object."""

    __slots__ = ("__weakref__", "fd", "path")

    def __init__(self, fd: int, path: Path) -> None:
        self.fd = fd
        self.path = path

    def __del__(self) -> None:
        os.close(self.fd)


class _Reserve:
    """Descriptors kept back for the disk, as connections may take all others.

    Where a sync could not open its directory for that reason, the broker would have to stop.
    """

    def __init__(self, count: int) -> None:
        self._count = count
        self._spare: list[int] = []
        self._lock = threading.Lock()

    def open(self, path: Path, flags: int) -> int:
        """A new descriptor, if need be in the place of a spare one."""
        try:
            fd = os.open(path, flags, 0o644)
        except OSError as error:
            if error.errno not in (errno.EMFILE, errno.ENFILE):
                raise
            return self._open_instead(path, flags)
        if len(self._spare) < self._count:
            self._fill()
        return fd

    def _open_instead(self, path: Path, flags: int) -> int:
        with self._lock:
            while self._spare:  # another thread may snatch the place of one, but hardly of all
                os.close(self._spare.pop())
                try:
                    return os.open(path, flags, 0o644)
                except OSError as error:
                    if error.errno not in (errno.EMFILE, errno.ENFILE):
                        raise
        return os.open(path, flags, 0o644)

    def _fill(self) -> None:
        with self._lock:
            try:
                while len(self._spare) < self._count:
                    self._spare.append(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))
            except OSError:
                pass  # later, when there are enough again


_c: Final = ctypes.CDLL(None, use_errno=True)

_reserve = _Reserve(SPARE_DESCRIPTORS)  # of the process, as descriptors are


class Files:
    """The disk. Paths are absolute; positions and sizes are in bytes."""

    def open(self, path: Path, *, create: bool = False) -> File:
        """Open a file to read and write it; with ``create`` make it where it does not exist."""
        flags = os.O_RDWR | os.O_CLOEXEC | (os.O_CREAT if create else 0)
        return File(_reserve.open(path, flags), path)

    def size(self, path: Path) -> int:
        """The length of a file."""
        return path.stat().st_size

    def modified_ms(self, path: Path) -> int:
        """When a file was last written to."""
        return path.stat().st_mtime_ns // 1_000_000

    def set_modified(self, file: File, modified_ms: int) -> None:
        """Say when a file was last written to."""
        os.utime(file.fd, ns=(modified_ms * 1_000_000,) * 2)

    def pread(self, file: File, size: int, position: int) -> bytes:
        """Up to ``size`` bytes from ``position``; fewer only where the file ends."""
        data = os.pread(file.fd, size, position)
        if len(data) == size or not data:
            return data
        parts = [data]
        missing = size - len(data)
        while missing and (data := os.pread(file.fd, missing, position + size - missing)):
            parts.append(data)
            missing -= len(data)
        return b"".join(parts)

    def pwrite(self, file: File, buffers: Sequence[Buffer], position: int) -> None:
        """Write the buffers one after the other from ``position`` on, all of them.

        Raises:
            OSError: not all could be written; what the file holds from ``position`` on is unknown.
        """
        if len(buffers) == 1:
            expected = len(buffers[0])
            written = os.pwrite(file.fd, buffers[0], position)
        else:
            expected = sum(map(len, buffers))
            written = os.pwritev(file.fd, buffers[:BUFFERS_MAX], position)
        while written < expected:  # a signal, a nearly full disk, or more than BUFFERS_MAX
            more = os.pwritev(file.fd, _rest(buffers, written)[:BUFFERS_MAX], position + written)
            if not more:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(file.path))
            written += more

    def write_through(self, file: File, buffers: Sequence[Buffer], position: int) -> None:
        """Write the buffers, and return when they are on stable storage.

        As ``pwrite`` and ``sync``, but only one call of the system where there is one that does
        both: the thread gives up the interpreter once, not twice.

        Raises:
            OSError: as ``sync``; never to be tried again.
        """
        written = 0
        if hasattr(os, "RWF_DSYNC"):
            try:
                written = os.pwritev(file.fd, buffers[:BUFFERS_MAX], position, os.RWF_DSYNC)
            except OSError as error:  # sandboxes and old kernels know no such flag: nothing is done
                if error.errno != errno.EOPNOTSUPP:
                    raise
        if written < sum(map(len, buffers)):
            self.pwrite(file, buffers, position)
            self.sync(file)

    def truncate(self, file: File, size: int) -> None:
        """Cut the file to ``size`` bytes."""
        os.ftruncate(file.fd, size)

    def sync(self, file: File) -> None:
        """Return when all written to the file is on stable storage.

        An error must never be answered by trying again: the kernel may have dropped the pages, and
        the second sync would succeed without them.
        """
        if sys.platform == "darwin":
            fcntl.fcntl(file.fd, fcntl.F_FULLFSYNC)  # fsync there stops at the drive's own cache
        else:
            os.fdatasync(file.fd)

    def sync_directory(self, path: Path) -> None:
        """Return when the names in the directory (made, renamed, removed) are on stable storage."""
        fd = _reserve.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

    def sync_each(self, files: Collection[File | Path], directories: Collection[Path]) -> None:
        """Sync files, then the names in directories."""
        for file in files:
            self.sync(file if isinstance(file, File) else self.open(file))
        for directory in directories:
            self.sync_directory(directory)

    def sync_all(
        self, within: File, files: Collection[File | Path], directories: Collection[Path]
    ) -> None:
        """As ``sync_each``; where they are many and the system can, with one call for all.

        An error must never be answered by trying again, as with ``sync``.

        Args:
            within: a file beside them that was open before any of them was written to, for then
                the system tells of all that went wrong with them.
        """
        if len(files) + len(directories) > _FEW_FILES and _has_syncfs():
            device = os.fstat(within.fd).st_dev
            elsewhere = [path for path in directories if path.stat().st_dev != device]
            if not elsewhere:
                _syncfs(within.fd)
                return
        self.sync_each(files, directories)

    def rename(self, source: Path, target: Path) -> None:
        """Give a file or directory a new name, replacing a file that has it."""
        source.replace(target)

    def unlink(self, path: Path) -> None:
        """Remove a file; one that is not there is no error."""
        path.unlink(missing_ok=True)

    def mkdir(self, path: Path) -> None:
        """Make a directory, and those above it where they are missing."""
        path.mkdir(parents=True, exist_ok=True)

    def rmdir(self, path: Path) -> None:
        """Remove an empty directory."""
        path.rmdir()

    def names(self, path: Path) -> list[str]:
        """What is in a directory, sorted."""
        with os.scandir(path) as entries:
            return sorted(entry.name for entry in entries)

    def directories(self, path: Path) -> list[str]:
        """The names of the directories in a directory, sorted."""
        with os.scandir(path) as entries:
            return sorted(entry.name for entry in entries if entry.is_dir())

    def exists(self, path: Path) -> bool:
        """Whether the name is there."""
        return path.exists()

    def read(self, path: Path) -> bytes | None:
        """A whole file, or None if there is none."""
        try:
            file = File(_reserve.open(path, os.O_RDONLY | os.O_CLOEXEC), path)
        except FileNotFoundError:
            return None
        data = os.read(file.fd, os.fstat(file.fd).st_size)
        while more := os.read(file.fd, _READ_BYTES):  # it grew, or is more than one read takes
            data += more
        return data

    def map(self, path: Path) -> Buffer:
        """A whole file to be read at random, paged in as it is touched; empty if there is none."""
        try:
            file = self.open(path)
        except FileNotFoundError:
            return b""
        if not os.fstat(file.fd).st_size:
            return b""
        return mmap.mmap(file.fd, 0, access=mmap.ACCESS_READ)

    def write(self, path: Path, data: Buffer) -> File:
        """Make a file of these bytes, or make them all of an old one; nothing is synced."""
        file = self.open(path, create=True)
        self.truncate(file, 0)
        if len(data):
            self.pwrite(file, (data,), 0)
        return file

    def replace(self, path: Path, data: Buffer) -> None:
        """Change a file durably and indivisibly: a crash leaves the old bytes or the new ones."""
        scratch = path.with_name(path.name + ".tmp")
        self.sync(self.write(scratch, data))
        self.rename(scratch, path)
        self.sync_directory(path.parent)

    def lock(self, path: Path) -> File | None:
        """Hold the lock file as long as the result lives; None if someone else holds it."""
        file = self.open(path, create=True)
        try:
            fcntl.flock(file.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return None
        return file


def open_files_max() -> int:
    """How many files the log may keep open in this process."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return (
        _OPEN_FILES_MAX if soft == resource.RLIM_INFINITY else min(_OPEN_FILES_MAX, soft // _SHARE)
    )


class OpenFiles:
    """What is open of segments: files and mapped indexes, together at most ``limit``.

    What is dropped here stays open as long as someone reads from it, or waits for its sync.
    """

    def __init__(self, files: Files, limit: int = 512) -> None:
        self.limit = limit
        self._files = files
        # The least recently used one first.
        self._open: OrderedDict[Path, File] = OrderedDict()
        self._mapped: OrderedDict[Path, Buffer] = OrderedDict()

    def get(self, path: Path, *, create: bool = False) -> File:
        """The file at this path, opened now if it is not open; ``create`` as in ``Files.open``."""
        file = self._open.get(path)
        if file is None:
            file = self._open[path] = self._files.open(path, create=create)
            self._shrink()
        else:
            self._open.move_to_end(path)
        return file

    def map(self, path: Path) -> Buffer:
        """The bytes of the file at this path, mapped now if they are not."""
        data = self._mapped.get(path)
        if data is None:
            data = self._mapped[path] = self._files.map(path)
            self._shrink()
        else:
            self._mapped.move_to_end(path)
        return data

    def forget(self, path: Path) -> None:
        """The file is gone or has other content now."""
        self._open.pop(path, None)
        self._mapped.pop(path, None)

    def _shrink(self) -> None:
        if len(self._open) + len(self._mapped) > self.limit:
            fuller = self._open if len(self._open) >= len(self._mapped) else self._mapped
            fuller.popitem(last=False)


def _has_syncfs() -> bool:
    """Whether the system can sync a whole file system, and says so if it cannot."""
    if sys.platform != "linux" or not hasattr(_c, "syncfs"):
        return False
    release = re.match(r"(\d+)\.(\d+)", os.uname().release)
    return release is not None and (int(release[1]), int(release[2])) >= _SYNCFS_TELLS


def _syncfs(fd: int) -> None:
    """Return when all of the file system that ``fd`` is on is on stable storage; see syncfs(2)."""
    if _c.syncfs(fd) != 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))


def _rest(buffers: Sequence[Buffer], written: int) -> list[Buffer]:
    """What is left of the buffers after their first ``written`` bytes."""
    rest: list[Buffer] = []
    for buffer in buffers:
        if written >= len(buffer):
            written -= len(buffer)
        else:
            rest.append(memoryview(buffer)[written:] if written else buffer)
            written = 0
    return rest

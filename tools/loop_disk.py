"""A real file system in a file, whose power can be cut.

An ext4 image is mounted through a loop device, in a mount namespace of its own that a shell holds
and that is reached through `/proc/<shell>/root`: so no mount is ever left behind. `cut_power` is
the kernel's own shutdown of a file system (EXT4_IOC_SHUTDOWN): from that moment nothing reaches the
image any more, not even what the page cache holds. After `mount` the file system is what a machine
finds after a power loss.

This takes root and loop devices. Where they are not to be had, `LoopDiskError` says so.
"""

from __future__ import annotations

import fcntl
import os
import struct
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from tools.apache_kafka import die_with_parent

MIB: Final = 1024 * 1024

# _IOR('X', 125, __u32), and two of its flags: the file system's journal is written before, or not
_SHUTDOWN: Final = 0x8004587D
LOG_FLUSHED: Final = 1
LOG_LOST: Final = 2


class LoopDiskError(Exception):
    """This machine lets nobody mount a file system of his own; the text says what it answered."""


class LoopDisk:
    """A mounted ext4 at `path`, from the start to `close`."""

    def __init__(self, directory: Path, mib: int) -> None:
        """Make and mount a file system of `mib` MiB; its image is in `directory`.

        Raises:
            LoopDiskError: this machine does not allow it.
        """
        self._image = directory / "disk.ext4"
        self._mount_point = directory / "disk"
        self._mount_point.mkdir()
        with self._image.open("wb") as image:
            image.truncate(mib * MIB)
        self._shell = self._hold()
        self.path = Path(f"/proc/{self._shell.pid}/root", *self._mount_point.parts[1:])
        try:
            self._do(f"mkfs.ext4 -q -F {self._image}")
            self.mount()
        except LoopDiskError:
            self.close()
            raise

    def _hold(self) -> subprocess.Popen[str]:
        try:
            return subprocess.Popen(
                ["unshare", "--mount", "sh"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                preexec_fn=die_with_parent(),
            )
        except OSError as error:
            raise LoopDiskError(f"no mount namespace could be made: {error}") from error

    def _do(self, command: str) -> None:
        assert self._shell.stdin is not None
        assert self._shell.stdout is not None
        said: list[str] = []
        try:
            self._shell.stdin.write(f"{command}; echo ended with $?\n")
            self._shell.stdin.flush()
        except BrokenPipeError:
            pass  # the shell never began; what it said is still to be read
        for line in self._shell.stdout:
            if line.startswith("ended with "):
                if line != "ended with 0\n":
                    break
                return
            said.append(line)
        raise LoopDiskError(f"{command}: {''.join(said).strip() or 'no shell'}")

    def mount(self) -> None:
        """Mount it; the file system repairs itself as after any power loss."""
        self._do(f"mount -o loop {self._image} {self._mount_point}")

    def unmount(self) -> None:
        """Unmount it; nobody may have a file open there."""
        self._do(f"umount {self._mount_point}")

    def cut_power(self, how: int = LOG_LOST) -> None:
        """Let nothing reach the disk from now on.

        Raises:
            LoopDiskError: the file system does not know how.
        """
        fd = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.ioctl(fd, _SHUTDOWN, struct.pack("I", how))
        except OSError as error:
            raise LoopDiskError(f"the file system cannot be shut down: {error}") from error
        finally:
            os.close(fd)

    def close(self) -> None:
        """Let the file system go with all that is on it."""
        self._shell.kill()
        self._shell.communicate()
        self._image.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

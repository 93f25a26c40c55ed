"""A filesystem of a few MiB that can be filled up for real, and emptied again.

It is a tmpfs in a mount namespace of its own, held by a process that does nothing else, and reached
through `/proc/<process>/root`. So no mount is ever left behind, and no privilege is needed where
the kernel lets users make namespaces (where it does not, root does).
"""

from __future__ import annotations

import errno
import os
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Self

from tools.apache_kafka import die_with_parent

MIB = 1024 * 1024


class SmallDiskError(Exception):
    """This machine lets nobody make a filesystem; the text says what the system answered."""


class SmallDisk:
    """An empty filesystem at `path`, from the start to `close`."""

    def __init__(self, mount_point: Path, mib: int) -> None:
        """Mount `mib` MiB; `mount_point` is an existing directory, which stays as it is for others.

        Raises:
            SmallDiskError: this machine does not allow it.
        """
        namespaces = ["--mount"] if os.geteuid() == 0 else ["--user", "--map-root-user", "--mount"]
        mount = f'mount -t tmpfs -o size={mib}m tmpfs "$0" && echo mounted && exec cat'
        self._holder = subprocess.Popen(
            ["unshare", *namespaces, "sh", "-c", mount, str(mount_point)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            preexec_fn=die_with_parent(),
        )
        assert self._holder.stdout is not None
        if self._holder.stdout.readline() != b"mounted\n":
            _, said = self._holder.communicate()
            raise SmallDiskError(f"no filesystem could be made: {said.decode().strip()}")
        self.path = Path(f"/proc/{self._holder.pid}/root", *mount_point.resolve().parts[1:])

    @property
    def _ballast(self) -> Path:
        return self.path / "ballast"

    def fill(self) -> None:
        """Take all the space that is left."""
        with self._ballast.open("ab", buffering=0) as file:
            block = bytes(MIB)
            while block:
                try:
                    file.write(block)
                except OSError as error:
                    if error.errno != errno.ENOSPC:
                        raise
                    block = block[: len(block) // 2]

    def free(self) -> None:
        """Give back what `fill` took."""
        self._ballast.unlink(missing_ok=True)

    def close(self) -> None:
        """Let the filesystem go with all that is on it."""
        self._holder.kill()
        self._holder.communicate()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

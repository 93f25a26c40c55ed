"""What of a partition is not yet known to be on stable storage.

Always the file of the active segment; after a roll also what was sealed (log, indexes, snapshot),
and the directory that got new names; for a new partition also the directory above. The owner's
thread adds, a syncing thread takes all at once: it may sync too much, never too little.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from mq.log.files import File, Files

__all__ = ["Pending", "Unsynced"]


class Pending(NamedTuple):
    """One look at what is to do; the active file is the last one and begins at ``sealed_end``."""

    files: tuple[File, ...]
    directories: tuple[Path, ...]
    sealed_end: int


class Unsynced:
    """The files and directories of one partition that await their sync."""

    __slots__ = ("_lock", "pending")

    def __init__(
        self, active: File, sealed_end: int, files: Iterable[File], directories: Iterable[Path]
    ) -> None:
        self.pending = Pending((*files, active), tuple(directories), sealed_end)
        self._lock = threading.Lock()  # around every change of pending; looking needs none

    def roll(self, files: Iterable[File], directory: Path, active: File, sealed_end: int) -> None:
        """A segment was sealed, with these files beside it, and ``active`` begun."""
        with self._lock:
            before = self.pending
            directories = tuple({*before.directories, directory})
            self.pending = Pending((*before.files, *files, active), directories, sealed_end)

    def sync(self, files: Files, pending: Pending, *, sealed_only: bool = False) -> None:
        """Sync what ``pending`` shows.

        Raises:
            OSError: some sync failed.
        """
        for file in pending.files[:-1] if sealed_only else pending.files:
            files.sync(file)
        for directory in pending.directories:
            files.sync_directory(directory)
        if len(pending.files) > 1 or pending.directories:
            with self._lock:
                if self.pending is pending:  # else it grew meanwhile: the next sync takes all
                    self.pending = pending._replace(files=pending.files[-1:], directories=())

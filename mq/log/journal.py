"""The shared journal: one synced write makes a whole group commit durable.

What partitions append goes into their segments at once, and into the page cache only: that is what
readers are served from. The journal gets the same bytes once more, of all partitions of a group end
to end, and that one write is synced. So a group costs one sync, however many partitions it is
about, into a file that never changes its size: less than syncing a single segment that grows.

For each partition holds: everything below its acknowledged offset is synced in its segments, or
lies without a gap in the files of the journal that are not free, from at or below that point on.

Two files take turns (see ``rotation``). They are made of real zeros beforehand, beside traffic, and
until they are there nothing is journaled. A file that is full is freed by
:meth:`Journal.checkpoint` on another thread, after the segments of all partitions with entries in
it were synced. Whoever finds no room here syncs the partitions themselves; nobody ever waits for
the journal.

After a crash ``backlog`` finds what the files hold, and the loader writes behind each log what its
segments have lost. After that everything is synced in the segments, and :meth:`Journal.begin`
declares all that was there before dead, by the first group of a new generation.

Knows nothing of what partitions are, nor of what is worth an entry.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, Generic, Protocol, TypeVar

from mq.log.entries import (
    BLOCK_BYTES,
    GROUP_BYTES_MAX,
    HEAD_BYTES,
    SALT_BYTES,
    Entry,
    GroupHead,
    encode_entries,
    encode_head,
    padded,
)
from mq.log.files import File, Files
from mq.log.rotation import Place, Rotation

__all__ = ["JOURNAL_BYTES", "JOURNAL_FILES", "Journal", "Journaled", "remove", "sync_all"]

JOURNAL_FILES: Final = ("journal.0", "journal.1")
JOURNAL_BYTES: Final = 16 * 1024 * 1024  # each of the two

_ZEROS_BYTES: Final = 1024 * 1024

# Syncs of many files go faster side by side: the file system writes its own journal for several.
_SYNC_THREADS: Final = 4


class Journaled(Protocol):
    """What has entries in the journal: a partition."""

    @property
    def recovery_point(self) -> int: ...

    def sync(self) -> int: ...


_P = TypeVar("_P", bound=Journaled)


class Journal(Generic[_P]):
    """The journal of a data directory, to write.

    One thread calls :meth:`write`, one :meth:`prepare` and :meth:`checkpoint`.

    Attributes:
        on_full: called, on the writing thread, when a file waits to be checkpointed.
    """

    def __init__(self, files: Files, directory: Path, capacity: int = JOURNAL_BYTES) -> None:
        """Nothing is made or changed yet.

        Args:
            capacity: bytes of each file, a multiple of ``BLOCK_BYTES``.
        """
        assert capacity % BLOCK_BYTES == 0
        self.on_full: Callable[[], None] = lambda: None
        self._files = files
        self._directory = directory
        self._capacity = capacity
        self._rotation = Rotation(capacity, 0)
        self._open: tuple[File, File] | None = None
        self._salt = b""
        # By file: who has entries in it, and up to where.
        self._entered: tuple[dict[_P, int], dict[_P, int]] = ({}, {})
        self._lock = threading.Lock()  # around the rotation

    @property
    def ready(self) -> bool:
        """Whether the files are there."""
        return self._open is not None

    def room(self) -> int:
        """The most bytes of entries that :meth:`write` takes now."""
        if self._open is None:
            return 0
        with self._lock:
            room = self._rotation.room()
        return max(0, min(room, GROUP_BYTES_MAX) - HEAD_BYTES)

    # --- writing ---------------------------------------------------------------------------------

    def write(self, entries: Sequence[tuple[_P, Entry]]) -> None:
        """Make entries durable, all in one group; there must be ``room``.

        Raises:
            OSError: it failed. Nobody knows what is on the disk: nothing may be written any more.
        """
        assert self._open is not None
        place = self._write(self._open, [entry for _, entry in entries])
        entered = self._entered[place.file]
        if place.sequence == 0:
            entered.clear()
        entered.update((partition, entry.end_offset) for partition, entry in entries)
        if place.sequence == 0:
            self.on_full()

    def _write(self, files: tuple[File, File], entries: Sequence[Entry]) -> Place:
        encoded = encode_entries(entries)
        length = HEAD_BYTES + len(encoded)
        with self._lock:
            place = self._rotation.place(padded(length))
        assert place is not None, length
        if place.sequence == 0:
            self._salt = os.urandom(SALT_BYTES)
        head = GroupHead(place.generation, place.oldest, place.sequence, self._salt)
        padding = bytes(padded(length) - length)
        group = (encode_head(head, len(entries), encoded), encoded, padding)
        self._files.write_through(files[place.file], group, place.position)
        return place

    # --- beside it -------------------------------------------------------------------------------

    def prepare(self, generation: int) -> None:
        """Make the files where they are missing or of another size, then :meth:`begin`.

        Raises:
            OSError: that failed; it may be tried again.
        """
        if self._open is not None:
            return
        made = False
        for path in self._paths():
            if not self._is_made(path):
                self._make(path)
                made = True
        if made:
            self._files.sync_directory(self._directory)
        self.begin(generation)

    def begin(self, generation: int) -> None:
        """If the files are there, declare dead what earlier generations have left in them.

        Everything that was journaled must have been synced in the segments.

        Args:
            generation: the first one to use, higher than all that were ever used here.

        Raises:
            OSError: it failed.
        """
        paths = self._paths()
        if all(self._is_made(path) for path in paths):
            both = (self._files.open(paths[0]), self._files.open(paths[1]))
            self._rotation = Rotation(self._capacity, generation)
            self._write(both, ())
            self._open = both  # last: from now on the writing thread writes

    def checkpoint(self) -> None:
        """Free the file that is full, if one is: sync the partitions that have entries in it.

        Raises:
            SyncFailed: a sync failed, and the file is kept.
        """
        with self._lock:
            generation, entered = self._rotation.full, self._entered[1 - self._rotation.active]
        if generation is None:
            return
        sync_all(each for each, end in entered.items() if each.recovery_point < end)
        with self._lock:
            self._rotation.free(generation)

    def _paths(self) -> list[Path]:
        return [self._directory / name for name in JOURNAL_FILES]

    def _is_made(self, path: Path) -> bool:
        return self._files.exists(path) and self._files.size(path) == self._capacity

    def _make(self, path: Path) -> None:
        """Write real zeros: a write over them later changes nothing of the file but its bytes."""
        try:
            file = self._files.write(path, b"")
            zeros = bytes(min(_ZEROS_BYTES, self._capacity))
            for start in range(0, self._capacity, len(zeros)):
                count = min(len(zeros), self._capacity - start)
                self._files.pwrite(file, (zeros[:count],), start)
            self._files.sync(file)
        except OSError:
            self._files.unlink(path)  # a full disk needs the space more
            raise


def sync_all(partitions: Iterable[Journaled]) -> None:
    """Sync partitions, several at a time where they are many.

    Raises:
        SyncFailed: one of them.
    """
    todo = list(partitions)
    if len(todo) <= _SYNC_THREADS:
        for partition in todo:
            partition.sync()
        return
    with ThreadPoolExecutor(_SYNC_THREADS, "mq-sync") as threads:
        for _ in threads.map(lambda partition: partition.sync(), todo):
            pass


def remove(files: Files, directory: Path) -> None:
    """Remove the journal's files, durably, if there are any: nothing in them is needed.

    Raises:
        OSError: the disk refuses.
    """
    made = [path for name in JOURNAL_FILES if files.exists(path := directory / name)]
    for path in made:
        files.unlink(path)
    if made:
        files.sync_directory(directory)

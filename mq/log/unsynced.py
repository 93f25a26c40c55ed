"""What of a partition is not yet on stable storage.

Two answers, since there are two ways to get it there. The partition's own files: those written to
since their last sync (the active segment; after a roll also what was sealed, with its indexes and a
snapshot), and the directories that have got new names. And what was appended since the last group
commit, byte for byte, as long as it is small enough for an entry in the journal.

The owner's thread adds. Any thread may sync; only one thread, which commits groups, may take. A
sync covers at least what was added before it began.

Knows nothing of segments, nor of who waits.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Final, NamedTuple

from mq.log.files import Buffer, File, Files

__all__ = ["ENTRY_BYTES_MAX", "Crowd", "SyncFailed", "Taken", "Unsynced", "sync_together"]

# Above, the partition's own files are synced. The journal would still be a little faster, but all
# that goes through it is written twice.
ENTRY_BYTES_MAX: Final = 128 * 1024

# So much is kept in memory for the journal, of all partitions together: about what its files hold.
KEPT_BYTES_MAX: Final = 32 * 1024 * 1024


class SyncFailed(OSError):
    """A sync failed, and nobody knows what is on the disk.

    It fails from then on, as a second try could succeed without having written anything: stop, and
    recover by a restart.
    """


class Taken(NamedTuple):
    """What was appended since the last look; ``batches`` is None if it was too much to keep."""

    first_offset: int
    end_offset: int
    size: int
    batches: Sequence[Buffer] | None


class Crowd:
    """All that have unsynced files, the longest waiting first; each keeps its files open.

    The owner's thread may bring them to ``limit`` files; whoever commits groups brings them down
    again.

    Attributes:
        error: the sync of one of them that failed, on whatever thread: there is no going on.
        kept, taken: how many bytes were ever kept in memory for a group commit (as the owner's
            thread counts), and how many of them it has taken (as its own thread does).
    """

    def __init__(self, files: Files, limit: int) -> None:
        self.error: SyncFailed | None = None
        self.kept = 0
        self.taken = 0
        self._files = files
        self._limit = limit
        self._lock = threading.Lock()  # around all changes of what is below
        self._members: dict[Unsynced, int] = {}
        self._count = 0

    def make_room(self) -> None:
        """Let some more enter, though it takes syncs of others.

        Raises:
            SyncFailed: one of them.
        """
        self._thin(self._limit - 1)

    def thin(self) -> None:
        """Sync some if there are more than half as many as there may be.

        Raises:
            SyncFailed: one of them.
        """
        self._thin(self._limit // 2)

    def _thin(self, limit: int) -> None:
        if self._count > limit:
            for member, _ in zip(list(self._members), range(self._count - limit), strict=False):
                member.sync(self._files)

    def enter(self, member: Unsynced, count: int) -> None:
        """``member`` has ``count`` more files."""
        with self._lock:
            self._members[member] = self._members.get(member, 0) + count
            self._count += count

    def leave(self, member: Unsynced) -> None:
        """``member`` has none any more."""
        with self._lock:
            self._count -= self._members.pop(member, 0)


class Unsynced:
    """One partition's share.

    Attributes:
        recovery_point: everything below is on stable storage in the partition's own files.
    """

    __slots__ = (
        "_abandoned",
        "_batches",
        "_crowd",
        "_directories",
        "_end",
        "_error",
        "_files",
        "_first",
        "_has_new_names",
        "_lock",
        "_size",
        "_syncing",
        "recovery_point",
    )

    def __init__(
        self,
        crowd: Crowd,
        synced_offset: int,
        files: Iterable[File] = (),
        directories: Iterable[Path] = (),
    ) -> None:
        self.recovery_point = synced_offset
        self._crowd = crowd
        self._lock = threading.Lock()  # around all changes of what is below
        self._files: dict[File | Path, None] = dict.fromkeys(files)
        self._directories = dict.fromkeys(directories)
        self._has_new_names = bool(self._directories)
        self._end = synced_offset
        self._first = synced_offset
        self._size = 0
        self._batches: list[Buffer] | None = []
        self._syncing = threading.Lock()  # around a sync, for the kernel tells of an error once
        self._error: SyncFailed | None = None
        self._abandoned = False
        if self._files:
            crowd.enter(self, len(self._files))

    # --- the owner's thread ----------------------------------------------------------------------

    def make_room(self) -> None:
        """To be called before something is written.

        Raises:
            SyncFailed: see ``Crowd.make_room``.
        """
        if not self._files:
            self._crowd.make_room()

    def sync_names(self, files: Files, directory: Path) -> None:
        """To be called before a segment is begun, so that the names before it are durable.

        Else a crash could keep its name and lose that of the segment before it, and the log would
        seem to begin in the middle.

        Raises:
            SyncFailed: that.
        """
        if self._has_new_names:
            with self._syncing:
                if self._error is not None:
                    raise self._error
                self._sync(files, (), (directory,))
            self._has_new_names = False

    def write(self, file: File, end_offset: int, batches: Sequence[Buffer], size: int) -> None:
        """Batches of ``size`` bytes, up to ``end_offset``, were written to the active ``file``."""
        with self._lock:
            self._end = end_offset
            if self._batches is not None:
                self._batches += batches
                self._crowd.kept += size
            self._size += size
            held = self._crowd.kept - self._crowd.taken
            if self._size > ENTRY_BYTES_MAX or held > KEPT_BYTES_MAX:
                self._drop()
            if file not in self._files:
                self._files[file] = None
                self._crowd.enter(self, 1)

    def roll(self, files: Iterable[File], directory: Path, base_offset: int) -> None:
        """A segment was sealed, with these files, and the one at ``base_offset`` was begun."""
        with self._lock:
            self._end = max(self._end, base_offset)
            before = len(self._files)
            self._files.update(dict.fromkeys(files))
            self._directories[directory] = None
            self._has_new_names = True
            self._crowd.enter(self, len(self._files) - before)

    def leave(self, files: Iterable[Path], directory: Path, end_offset: int) -> None:
        """These were written before a stop: none is kept open, as all partitions stop at once."""
        with self._lock:
            self._end = end_offset
            self._files.update(dict.fromkeys(files))
            self._directories[directory] = None

    def abandon(self) -> None:
        """The files are about to go: from now on there is nothing to sync."""
        self._abandoned = True
        with self._lock:
            self._drop()

    def _drop(self) -> None:
        """Keep nothing for the journal until the next group commit; the lock is held."""
        if self._batches is not None:
            self._crowd.kept -= self._size
            self._batches = None

    # --- other threads ---------------------------------------------------------------------------

    def take(self) -> Taken:
        """What was appended since the last time; the caller makes it durable."""
        with self._lock:
            taken = Taken(self._first, self._end, self._size, self._batches)
            if self._batches is not None:
                self._crowd.taken += self._size
            self._first, self._size, self._batches = self._end, 0, []
        return taken

    def sync(self, files: Files) -> int:
        """Sync the partition's own files; the offset below which they are on stable storage.

        Raises:
            SyncFailed: that, now or earlier.
        """
        with self._syncing:
            dirty, directories, end = self._collect()
            self._sync(files, dirty, directories)
            self._synced(end)
            return end

    def _collect(self) -> tuple[Collection[File | Path], Collection[Path], int]:
        """What there is to sync now, up to which offset; for whoever holds the lock of syncs."""
        if self._error is not None:
            raise self._error
        with self._lock:
            dirty, self._files = self._files, {}
            directories, self._directories = self._directories, {}
            self._crowd.leave(self)
            return dirty, directories, self._end

    def _synced(self, end: int) -> None:
        """All that was collected is on stable storage."""
        self.recovery_point = end
        with self._lock:
            if not self._directories:  # else a segment was begun meanwhile
                self._has_new_names = False

    def _sync(
        self, files: Files, dirty: Collection[File | Path], directories: Collection[Path]
    ) -> None:
        try:
            if not self._abandoned:
                files.sync_each(dirty, directories)
        except OSError as error:
            # The directory may have been renamed under our hands.
            if not (self._abandoned and isinstance(error, FileNotFoundError)):
                self._error = self._crowd.error = SyncFailed(*error.args)
                raise self._error from error


def sync_together(files: Files, within: File, members: Collection[Unsynced]) -> None:
    """Sync the files of many partitions, where the system can with one call for all of them.

    Args:
        within: see ``Files.sync_all``.

    Raises:
        SyncFailed: that, for all of them, or earlier for one.
    """
    members = [member for member in members if not member._abandoned]
    with ExitStack() as held:
        for member in members:
            held.enter_context(member._syncing)
        taken = [member._collect() for member in members]
        try:
            files.sync_all(
                within,
                [file for dirty, _, _ in taken for file in dirty],
                list(dict.fromkeys(path for _, paths, _ in taken for path in paths)),
            )
        except OSError as error:
            for member in members:
                member._error = SyncFailed(*error.args)
            raise SyncFailed(*error.args) from error
        for member, (_, _, end) in zip(members, taken, strict=True):
            member._synced(end)

"""Group commit, and the thread that does it.

A group is every partition that waits. What has been appended to them since the last time goes into
the journal, in one synced write; where that is too much for an entry, or the journal has no room,
the partition's own files are synced. What is appended meanwhile forms the next group, so that no
timer is needed to collect one. The report comes on the thread that commits; the owner carries it to
where partitions live.

The first error is the last thing that is done. Nobody knows what a failed sync left on the disk,
and a second one might succeed without having written anything: the owner stops, and recovery is a
restart.

Knows nothing of what waits for the sync.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from queue import SimpleQueue
from typing import Final, TypeAlias

from mq.log.entries import Entry, entry_bytes
from mq.log.journal import Journal
from mq.log.partition import Partition
from mq.log.unsynced import Crowd, SyncFailed

__all__ = ["Flusher", "GroupCommit", "Report", "fitting"]

# How much may become durable before it is written down that it did.
CHECKPOINT_BYTES: Final = 256 * 1024 * 1024

Report: TypeAlias = Callable[[list[tuple[Partition, int]]], None]
"""Hears below which offset each partition is durable now; then call ``Partition.synced``."""


def fitting(sizes: Sequence[int], room: int) -> list[bool]:
    """Which of some entries go into one group: as many as have room, those that wait longest first.

    Args:
        sizes: of the entries, in bytes.
    """
    fits = []
    for size in sizes:
        fits.append(size <= room)
        if fits[-1]:
            room -= size
    return fits


class GroupCommit:
    """Commits groups, one at a time, in the thread that calls it.

    Args:
        journal: of the partitions' data directory, if it has one.
        crowd: the partitions there that have unsynced files; their number is kept in bounds.
        on_checkpoint_due: called after so many bytes that a restart would have much to look at.
    """

    def __init__(
        self,
        journal: Journal[Partition] | None = None,
        crowd: Crowd | None = None,
        on_checkpoint_due: Callable[[], None] = lambda: None,
    ) -> None:
        self._journal = journal
        self._crowd = crowd
        self._on_checkpoint_due = on_checkpoint_due
        self._bytes = 0

    @property
    def error(self) -> SyncFailed | None:
        """A sync that failed, be it one that the owner's thread or a checkpoint had to wait for."""
        return None if self._crowd is None else self._crowd.error

    def run(self, partitions: Iterable[Partition], report: Report) -> None:
        """Make durable what has been appended to these partitions.

        Args:
            report: called with some of them at a time, as soon as they are durable.

        Raises:
            OSError: a sync failed, now or earlier. Nothing may be committed any more.
        """
        if self.error is not None:
            raise self.error
        small: list[tuple[Partition, Entry, int]] = []
        large: list[Partition] = []
        for partition in partitions:
            first, end, size, batches = partition.take()
            self._bytes += size
            if first == end or end <= partition.recovery_point:  # by a checkpoint, meanwhile
                report([(partition, end)])
            elif batches is None or partition.deleted:
                large.append(partition)
            else:
                name = partition.topic_partition
                entry = Entry(partition.topic_id, name, first, end, batches)
                small.append((partition, entry, entry_bytes(name.topic, size)))
        large += self._write(small, report)
        for partition in large:
            report([(partition, partition.sync())])
        if self._crowd is not None:
            self._crowd.thin()
        if self._bytes >= CHECKPOINT_BYTES:
            self._bytes = 0
            self._on_checkpoint_due()

    def _write(self, small: list[tuple[Partition, Entry, int]], report: Report) -> list[Partition]:
        """Put entries into the journal as long as it has room; those that found none."""
        while small and self._journal is not None:
            fits = fitting([size for _, _, size in small], self._journal.room())
            chosen = [each for each, does in zip(small, fits, strict=True) if does]
            if not chosen:
                break
            self._journal.write([(partition, entry) for partition, entry, _ in chosen])
            report([(partition, entry.end_offset) for partition, entry, _ in chosen])
            small = [each for each, does in zip(small, fits, strict=True) if not does]
        return [partition for partition, _, _ in small]


class Flusher:
    """The syncing thread of a data directory.

    Attributes:
        error: what has ended the thread early, if anything; final after :meth:`close`.
    """

    def __init__(
        self,
        commit: GroupCommit,
        on_synced: Report,
        on_error: Callable[[Exception], None],
    ) -> None:
        """Start the thread.

        Args:
            commit: does the work.
            on_synced: the report, on the thread.
            on_error: hears, on the thread, why it has ended.
        """
        self.error: Exception | None = None
        self._commit = commit
        self._on_synced = on_synced
        self._on_error = on_error
        self._waiting: SimpleQueue[Partition | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="mq-flusher", daemon=True)
        self._thread.start()

    def request(self, partition: Partition) -> None:
        """Sync what has been appended to ``partition``; any thread may call this."""
        self._waiting.put(partition)

    def close(self) -> None:
        """Sync what waits, then end the thread; ``error`` says whether all was synced."""
        self._waiting.put(None)
        self._thread.join()

    def _run(self) -> None:
        running = True
        while running:
            group, running = self._take()
            try:
                self._commit.run(group, self._on_synced)
            except Exception as error:  # whatever it was, nothing is known to be durable any more
                self.error = error
                self._on_error(error)
                return

    def _take(self) -> tuple[dict[Partition, None], bool]:
        """All partitions that wait, each once, at least one; and whether more may come."""
        group: dict[Partition, None] = {}
        partition = self._waiting.get()
        while partition is not None:
            group[partition] = None
            if self._waiting.empty():
                return group, True
            partition = self._waiting.get()
        return group, False

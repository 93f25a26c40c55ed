"""What is on stable storage, and who waits for it.

One flusher thread commits the partitions that were written; what is written meanwhile waits for the
next round, and that is all the batching there is: no timer delays anybody. A partition's high
watermark is what is synced, so waiting for a sync and seeing a record come down to the same number.

A failed sync is final. The kernel may have dropped the pages, so trying again could report success
for lost data: everyone who waits is told, nothing is appended any more, and the process has to end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Protocol, TypeAlias

from mq.broker.waiting import SyncWaiters
from mq.errors import ErrorCode, KafkaError
from mq.log.flusher import Flusher, GroupCommit
from mq.log.partition import Partition

__all__ = ["AfterSync", "Syncs"]

AfterSync: TypeAlias = Callable[[Mapping[Partition, ErrorCode]], None]
"""Told, when all syncs have come or never will, which partitions failed and why."""


class Loop(Protocol):
    """The two ways onto the event loop."""

    def call_soon(self, callback: Callable[..., object], *args: object) -> object: ...

    def call_soon_threadsafe(self, callback: Callable[..., object], *args: object) -> object: ...


class Syncs:
    """The partitions that are ahead of their stable storage.

    Args:
        loop: the loop that everything here is called on.
        commit: makes partitions durable, on a thread.
        advanced: called for each partition whose high watermark rose.
        failed: called once if a sync fails.
    """

    def __init__(
        self,
        loop: Loop,
        commit: GroupCommit,
        *,
        advanced: Callable[[Partition], None],
        failed: Callable[[Exception], None],
    ) -> None:
        self._loop = loop
        self._commit = commit
        self._advanced = advanced
        self._report_failure = failed
        self._waiters = SyncWaiters()
        self._dirty: dict[Partition, None] = {}
        self._broken = False
        self._idle: Callable[[], None] | None = None
        self._flusher = Flusher(commit, self._synced_soon, self._fail_soon)

    def when_idle(self, then: Callable[[], None]) -> None:
        """Call ``then`` once, as soon as nobody waits for a sync."""
        self._idle = then
        self._check_idle()

    def check(self) -> None:
        """Refuse to go on after a failed sync, be it one that the loop itself had to wait for.

        Raises:
            KafkaError: KAFKA_STORAGE_ERROR.
        """
        if (error := self._commit.error) is not None:
            self.fail(error)
        if self._broken:
            raise KafkaError(ErrorCode.KAFKA_STORAGE_ERROR, "the disk failed; the broker stops")

    def appended(self, partition: Partition) -> None:
        """Something was written to ``partition``: have it synced, unless nobody asked for that."""
        if partition.high_watermark >= partition.log_end_offset:  # durability "os"
            self._advanced(partition)
        else:
            self.sync_soon(partition)

    def sync_soon(self, partition: Partition) -> None:
        """Have ``partition`` synced in the next round."""
        if not self._dirty:
            self._loop.call_soon(self._kick)
        self._dirty[partition] = None

    def after(self, partitions: Iterable[Partition], then: AfterSync) -> None:
        """Call ``then`` once ``partitions`` are synced up to their ends as they stand now.

        That is at once if they are. Each has a fate of its own: one may be deleted meanwhile.
        """
        behind = [p for p in dict.fromkeys(partitions) if p.high_watermark < p.log_end_offset]
        if not behind:
            then({})
        elif self._broken:
            then(dict.fromkeys(behind, ErrorCode.KAFKA_STORAGE_ERROR))
        else:
            fates = _Fates(len(behind), then)
            for partition in behind:
                outcome = partial(fates.learn, partition)
                self._waiters.add(partition, partition.log_end_offset, outcome)

    def gone(self, partition: Partition) -> None:
        """``partition`` was deleted: nobody needs to wait for it any longer."""
        self._dirty.pop(partition, None)
        for then in self._waiters.take(partition):
            then(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION)

    def close(self) -> None:
        """Stop the flusher thread after the syncs that it has been asked for.

        One that failed is reported before this returns: the loop may not turn again.
        """
        self._kick()
        self._flusher.close()
        if self._flusher.error is not None:
            self.fail(self._flusher.error)

    def _kick(self) -> None:
        dirty, self._dirty = self._dirty, {}
        for partition in dirty:
            self._flusher.request(partition)

    def _synced_soon(self, synced: list[tuple[Partition, int]]) -> None:
        """On the flusher's thread."""
        self._loop.call_soon_threadsafe(self._synced, synced)

    def _fail_soon(self, error: Exception) -> None:
        """On the flusher's thread."""
        self._loop.call_soon_threadsafe(self.fail, error)

    def _synced(self, synced: list[tuple[Partition, int]]) -> None:
        for partition, offset in synced:
            partition.synced(offset)
        for partition, _ in synced:  # all watermarks first: a fetch may look at several
            self._advanced(partition)  # before its producer, who has nothing to read yet
        for partition, _ in synced:
            self._waiters.synced(partition, partition.high_watermark)
        self._check_idle()

    def fail(self, error: Exception) -> None:
        """The disk is not to be trusted any more: tell everyone, append nothing."""
        if self._broken:
            return
        self._broken = True
        for then in self._waiters.take_all():
            then(ErrorCode.KAFKA_STORAGE_ERROR)
        self._report_failure(error)
        self._check_idle()

    def _check_idle(self) -> None:
        if self._idle is not None and not self._waiters:
            idle, self._idle = self._idle, None
            idle()


class _Fates:
    """Collects the outcomes of several partitions and passes them on when all are known."""

    __slots__ = ("_failed", "_missing", "_then")

    def __init__(self, missing: int, then: AfterSync) -> None:
        self._missing = missing
        self._then = then
        self._failed: dict[Partition, ErrorCode] = {}

    def learn(self, partition: Partition, code: ErrorCode) -> None:
        self._missing -= 1
        if code:
            self._failed[partition] = code
        if self._missing == 0:
            self._then(self._failed)

"""Group commit: one thread that makes appends durable.

It takes every partition that waits, syncs each once, reports, and takes again: what is appended
while a sync runs forms the next group, so that no timer is needed to collect one. The report comes
on this thread; the owner carries it to where partitions live.

The first error is the last thing the thread does. Nobody knows what a failed sync left on the
disk, and a second one might succeed without having written anything: the owner stops, and recovery
is a restart.

Knows nothing of what waits for the sync.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import SimpleQueue

from mq.log.partition import Partition

__all__ = ["Flusher"]


class Flusher:
    """The syncing thread of a data directory.

    Attributes:
        error: what has ended the thread early, if anything; final after :meth:`close`.
    """

    def __init__(
        self,
        on_synced: Callable[[list[tuple[Partition, int]]], None],
        on_error: Callable[[Exception], None],
    ) -> None:
        """Start the thread.

        Args:
            on_synced: hears, on the thread, of each group: below which offset each partition is
                durable now. The owner then calls ``Partition.synced``.
            on_error: hears, on the thread, why it has ended.
        """
        self.error: Exception | None = None
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
                synced = [(partition, partition.sync()) for partition in group]
            except Exception as error:  # whatever it was, nothing is known to be durable any more
                self.error = error
                self._on_error(error)
                return
            if synced:
                self._on_synced(synced)

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

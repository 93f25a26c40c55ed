"""What has to be done now and then: old segments go, and progress of syncs is written down.

Retention goes through the partitions one per turn of the loop, so that no request waits for all of
them. Checkpoints, which let a start after a crash scan little, are written on a thread.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Final, Protocol

from mq.broker.settings import Settings
from mq.broker.waiting import Timer
from mq.errors import KafkaError
from mq.log.directory import DataDirectory
from mq.log.partition import Partition

__all__ = ["Housekeeping"]

logger = logging.getLogger("mq.broker")

_FIRST_RETENTION_S: Final = 30.0
_CHECKPOINT_S: Final = 60.0


class Loop(Protocol):
    """What of an event loop is needed here."""

    def call_later(self, delay: float, callback: Callable[..., object], *args: Any) -> Timer: ...

    def call_soon_threadsafe(self, callback: Callable[..., object], *args: Any) -> object: ...


class Housekeeping:
    """The timers of a data directory. ``failed`` is told if the disk is no longer to be trusted."""

    def __init__(
        self,
        directory: DataDirectory,
        settings: Settings,
        loop: Loop,
        failed: Callable[[Exception], None],
    ) -> None:
        self._directory = directory
        self._interval_s = settings.retention_check_interval_ms / 1000
        self._loop = loop
        self._failed = failed
        self._thread = ThreadPoolExecutor(1, "mq-checkpoint")
        self._timers = {
            self._retain: loop.call_later(_FIRST_RETENTION_S, self._retain),
            self._checkpoint: loop.call_later(_CHECKPOINT_S, self._checkpoint),
        }

    def close(self) -> None:
        """Do nothing more; returns when a checkpoint that is under way is written."""
        for timer in self._timers.values():
            timer.cancel()
        self._thread.shutdown()

    def _retain(self) -> None:
        self._retain_next(list(self._directory.partitions.values()))

    def _retain_next(self, partitions: list[Partition]) -> None:
        if not partitions:
            self._timers[self._retain] = self._loop.call_later(self._interval_s, self._retain)
            return
        partition = partitions.pop()
        now_ms = time.time_ns() // 1_000_000
        try:
            if not partition.deleted:
                partition.delete_old(now_ms)
                partition.expire_producers(now_ms)
        except KafkaError as error:
            logger.error("%s", error)
        except Exception:  # retention of the others goes on
            logger.exception("retention of %s failed", partition)
        self._timers[self._retain] = self._loop.call_later(0, self._retain_next, partitions)

    def _checkpoint(self) -> None:
        self._timers[self._checkpoint] = self._loop.call_later(_CHECKPOINT_S, self._checkpoint)
        self._thread.submit(self._directory.checkpoint).add_done_callback(self._checkpointed)

    def _checkpointed(self, done: Future[None]) -> None:
        """On the thread. Where checkpoints are the only syncs, one that failed is final."""
        error = done.exception()
        if error is None:
            return
        logger.error("checkpoints could not be written: %s", error)
        if isinstance(error, Exception) and not self._directory.durable:
            self._loop.call_soon_threadsafe(self._failed, error)

"""What has to be done now and then: old segments go, dirty logs are compacted, and progress of
syncs is written down.

All of it runs on threads, since it waits for the disk; what looks at a partition or changes it is a
step on the loop (:mod:`mq.broker.steps`).
"""

from __future__ import annotations

import errno
import logging
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final, Protocol

from mq.broker.compactor import Compactor
from mq.broker.settings import Settings
from mq.broker.steps import CancelledError, Steps
from mq.broker.waiting import Timer
from mq.errors import KafkaError
from mq.log.directory import DataDirectory
from mq.log.partition import Partition
from mq.log.unsynced import SyncFailed
from mq.log.upkeep import delete_old

__all__ = ["Housekeeping"]

logger = logging.getLogger("mq.broker")

_FIRST_RETENTION_S: Final = 30.0
_CHECKPOINT_S: Final = 60.0


class Loop(Protocol):
    """What of an event loop is needed here."""

    def call_later(self, delay: float, callback: Callable[..., object], *args: Any) -> Timer: ...

    def call_soon_threadsafe(self, callback: Callable[..., object], *args: Any) -> object: ...


class Housekeeping:
    """The timers of a data directory.

    Args:
        now_ms: the time to tell by what is old; called on the loop.
        failed: told if the disk is no longer to be trusted.
    """

    def __init__(
        self,
        directory: DataDirectory,
        settings: Settings,
        loop: Loop,
        now_ms: Callable[[], int],
        failed: Callable[[Exception], None],
    ) -> None:
        self._directory = directory
        self._interval_s = settings.retention_check_interval_ms / 1000
        self._loop = loop
        self._failed = failed
        self._now_ms = now_ms
        self._on_loop = Steps(loop)
        self._thread = ThreadPoolExecutor(1, "mq-housekeeping")
        self._checkpoints = ThreadPoolExecutor(1, "mq-checkpoint")  # the journal waits for them
        self._no_journal = ""  # why there is none
        self._timers = {
            self._retain: loop.call_later(_FIRST_RETENTION_S, self._retain),
            self._checkpoint: loop.call_later(_CHECKPOINT_S, self._checkpoint),
        }
        self._compactor = Compactor(directory, loop, now_ms=now_ms, failed=failed)
        self._checkpoints.submit(self._prepare)
        directory.on_checkpoint_due = self._checkpoint_now

    def close(self) -> None:
        """Do nothing more; returns when what waits for the disk is done."""
        for timer in self._timers.values():
            timer.cancel()
        self._compactor.close()
        self._on_loop.close()
        self._directory.on_checkpoint_due = lambda: None
        self._thread.shutdown(cancel_futures=True)
        self._checkpoints.shutdown()

    def remove(self, path: Path) -> None:
        """Remove the files of a deleted partition soon; what is not removed goes at a start."""
        try:
            self._thread.submit(self._remove, path)
        except RuntimeError:  # closed meanwhile
            pass

    def _remove(self, path: Path) -> None:
        try:
            self._directory.remove(path)
        except OSError as error:
            logger.error("%s could not be removed: %s", path, error)

    # --- retention -------------------------------------------------------------------------------

    def _retain(self) -> None:
        self._thread.submit(self._retain_all)

    def _retain_all(self) -> None:
        """On the thread."""
        try:
            for partition in self._on_loop(lambda: list(self._directory.partitions.values())):
                self._retain_one(partition)
            self._on_loop(self._retain_again)
        except CancelledError:
            pass  # closed

    def _retain_again(self) -> None:
        self._timers[self._retain] = self._loop.call_later(self._interval_s, self._retain)

    def _retain_one(self, partition: Partition) -> None:
        try:
            now_ms = self._on_loop(self._now_ms)
            delete_old(partition, now_ms, self._on_loop)
            self._on_loop(lambda: partition.expire_producers(now_ms))
        except KafkaError as error:
            logger.error("%s", error)
        except CancelledError:
            raise
        except Exception:  # retention of the others goes on
            logger.exception("retention of %s failed", partition)

    # --- checkpoints -----------------------------------------------------------------------------

    def _checkpoint(self) -> None:
        self._timers[self._checkpoint] = self._loop.call_later(_CHECKPOINT_S, self._checkpoint)
        self._checkpoints.submit(self._prepare)
        self._checkpoint_now()

    def _checkpoint_now(self) -> None:
        """On any thread."""
        try:
            done = self._checkpoints.submit(self._directory.checkpoint)
        except RuntimeError:  # closed meanwhile
            return
        done.add_done_callback(self._checkpointed)

    def _checkpointed(self, done: Future[None]) -> None:
        """On the thread. A checkpoint that was not written is late; a sync that failed is final."""
        error = done.exception()
        if error is None:
            return
        logger.error("checkpoints could not be written: %s", error)
        if isinstance(error, SyncFailed):
            self._loop.call_soon_threadsafe(self._failed, error)

    def _prepare(self) -> None:
        """On the thread: have a journal, if there is room for one. All goes on without.

        But not on a disk that fails, be it where nothing was written yet that anybody needs.
        """
        try:
            self._directory.prepare()
        except OSError as error:
            if error.errno == errno.EIO:
                self._loop.call_soon_threadsafe(self._failed, error)
            elif self._no_journal != str(error):
                self._no_journal = str(error)
                logger.warning("there is no journal, so that syncs take longer: %s", error)

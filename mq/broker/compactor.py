"""Compaction in the broker: which log next, the process that does the work, and its failures.

A thread goes from one due log to the next, the dirtiest first. It sees partitions only through
steps on the event loop (``mq.log.upkeep``), and reads and writes no batch itself: that is done by a
process (:mod:`mq.log.compaction`), which is started when something is due and ends when nothing is.

A log that cannot be compacted, because it is damaged or the disk is full, stays as it is. It is
logged once, and tried again later and later; the others are compacted meanwhile.
"""

from __future__ import annotations

import logging
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from mq.broker.steps import CancelledError, Loop, Steps
from mq.embedded.interpreter import command, environment
from mq.errors import MqError
from mq.log import upkeep
from mq.log.compaction import GO, STOP, Done, Failed, Job, Report, Swap
from mq.log.directory import DataDirectory
from mq.log.partition import Partition

__all__ = ["Compactor"]

logger = logging.getLogger("mq.broker")

_CHECK_S: Final = 15.0  # log.cleaner.backoff.ms of Kafka
_RETRY_S: Final = 60.0  # after the first failure of a log; doubled with each
_RETRY_S_MAX: Final = 3600.0
_AT_ONCE: Final = 50  # so many logs are looked at in one step, which takes a millisecond


class HalfSwapped(Exception):
    """A segment could not take the place of others. Nothing is lost: a restart ends it."""


class Compactor:
    """Compacts the logs of a data directory until it is closed.

    Args:
        now_ms: the time that retention goes by; called on the loop.
        failed: told if a log was left half way, which only a restart mends.
    """

    def __init__(
        self,
        directory: DataDirectory,
        loop: Loop,
        *,
        now_ms: Callable[[], int],
        failed: Callable[[Exception], None],
    ) -> None:
        self._directory = directory
        self._loop = loop
        self._now_ms = now_ms
        self._failed = failed
        self._failures: dict[Partition, _Failures] = {}
        self._on_loop = Steps(loop)
        self._lock = threading.Lock()  # around the process and the closing
        self._closing = threading.Event()
        self._process: subprocess.Popen[bytes] | None = None
        self._awake = threading.Event()
        self._thread = threading.Thread(target=self._run, name="mq-compaction", daemon=True)
        self._thread.start()

    def wake(self) -> None:
        """Look now for what is due, which is done every fifteen seconds anyway."""
        self._awake.set()

    def close(self) -> None:
        """Stop; on the loop. What was begun is left to the next start."""
        self._on_loop.close()
        with self._lock:
            self._closing.set()
            if self._process is not None:
                self._process.kill()
        self._awake.set()
        self._thread.join()

    # --- on the thread ---------------------------------------------------------------------------

    def _run(self) -> None:
        while not self._closing.is_set():
            self._awake.wait(_CHECK_S)
            self._awake.clear()
            try:
                while due := self._due():
                    for partition in due:
                        job = self._on_loop(lambda: self._job(partition))  # noqa: B023 - runs at once
                        if job is not None:
                            self._compact(partition, job)
            except CancelledError:  # closing
                return
            except Exception as error:  # a log is half way: nothing more may be done to it
                logger.exception("compaction stops")
                self._loop.call_soon_threadsafe(self._failed, error)
                return
            finally:
                self._end_process()

    def _due(self) -> list[Partition]:
        """The logs that are due, the dirtiest first."""
        candidates = self._on_loop(self._candidates)
        due: list[tuple[float, Partition]] = []
        for start in range(0, len(candidates), _AT_ONCE):
            some = candidates[start : start + _AT_ONCE]
            due += self._on_loop(lambda: self._assess(some))  # noqa: B023 - runs at once
        return [partition for _, partition in sorted(due, key=lambda each: -each[0])]

    def _compact(self, partition: Partition, job: Job) -> None:
        reason: str | Exception | None
        partition.sync()
        # A start after a crash looks for holes in what lies above the recovery point that it finds
        # written down. There must be no compacted segment, which could be taken for one.
        assert partition.recovery_point >= job.end
        try:
            partition.checkpoint()
            reason = self._pass(partition, job)
        except (MqError, OSError) as error:
            reason = error
        if reason is None:
            self._failures.pop(partition, None)
        elif not partition.deleted:  # else no wonder
            self._failures.setdefault(partition, _Failures()).add(partition, reason)

    def _pass(self, partition: Partition, job: Job) -> str | None:
        """Have the process do a job; why it did not, or None."""
        process = self._started()
        self._tell(process, msgspec.json.encode(job) + b"\n")
        while line := process.stdout.readline():  # type: ignore[union-attr]  # it is a pipe
            match msgspec.json.decode(line, type=Report):
                case Swap() as made:
                    self._tell(process, GO if self._swap(partition, made) else STOP)
                case Done(cleaned_to):
                    self._on_loop(lambda: _cleaned(partition, cleaned_to))
                    partition.checkpoint()
                    return None
                case Failed(reason):
                    return reason
        self._end_process()
        if self._closing.is_set():
            raise CancelledError
        return "the process has died"

    def _swap(self, partition: Partition, made: Swap) -> bool:
        try:
            return upkeep.swap(partition, made, self._on_loop)
        except OSError as error:
            raise HalfSwapped(f"{partition.path} is half compacted: {error}") from error

    def _started(self) -> subprocess.Popen[bytes]:
        with self._lock:
            if self._closing.is_set():
                raise CancelledError
            if self._process is None:
                self._process = subprocess.Popen(
                    command("mq.log.compaction"),
                    env=environment(),
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    start_new_session=True,  # a Ctrl-C is for the broker
                )
            return self._process

    def _tell(self, process: subprocess.Popen[bytes], line: bytes) -> None:
        assert process.stdin is not None
        try:
            process.stdin.write(line)
            process.stdin.flush()
        except BrokenPipeError:
            pass  # it has died: its output ends, too

    def _end_process(self) -> None:
        with self._lock:
            process, self._process = self._process, None
        if process is not None:
            process.kill()  # it has done what it was asked for
            with process:  # closes the pipes and waits
                pass

    # --- on the loop -----------------------------------------------------------------------------

    def _candidates(self) -> list[Partition]:
        self._failures = {p: f for p, f in self._failures.items() if not p.deleted}
        partitions = self._directory.partitions.values()
        return [each for each in partitions if each.config.compact and not self._waits(each)]

    def _assess(self, partitions: Sequence[Partition]) -> list[tuple[float, Partition]]:
        """Which of some logs are due, and how dirty they are."""
        now_ms = self._now_ms()
        due: list[tuple[float, Partition]] = []
        for partition in partitions:
            if partition.deleted:
                continue
            try:
                upkeep.roll_old(partition, now_ms)
                found = upkeep.uncleaned(partition, now_ms)
            except Exception as error:  # the others are looked at all the same
                self._failures.setdefault(partition, _Failures()).add(partition, error)
                continue
            if found.is_due(partition.config):
                due.append((found.ratio, partition))
        return due

    def _job(self, partition: Partition) -> Job | None:
        """What to do about a log, if it is due still."""
        if partition.deleted:
            return None
        now_ms = self._now_ms()
        try:
            found = upkeep.uncleaned(partition, now_ms)
            if found.is_due(partition.config):
                return upkeep.compaction_job(partition, found, now_ms)
        except Exception as error:  # the others are compacted all the same
            self._failures.setdefault(partition, _Failures()).add(partition, error)
        return None

    def _waits(self, partition: Partition) -> bool:
        failures = self._failures.get(partition)
        return failures is not None and failures.waits()


class _Failures:
    """The failures of one log in a row."""

    def __init__(self) -> None:
        self._wait_s = _RETRY_S
        self._until_s = 0.0
        self._reason = ""

    def add(self, partition: Partition, reason: str | Exception) -> None:
        """One more; it is logged unless the last one was of the same kind."""
        if str(reason) != self._reason:
            bug = reason if not isinstance(reason, str | MqError | OSError) else None
            logger.error("%s cannot be compacted: %s", partition.path, reason, exc_info=bug)
        self._reason = str(reason)
        self._until_s = time.monotonic() + self._wait_s
        self._wait_s = min(2 * self._wait_s, _RETRY_S_MAX)

    def waits(self) -> bool:
        """Whether it is too early to try again."""
        return time.monotonic() < self._until_s


def _cleaned(partition: Partition, offset: int) -> None:
    partition.cleaned_offset = offset

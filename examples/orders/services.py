"""The services of the demo as real processes: ``mq run``, one per service."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Self

__all__ = ["Services", "mq"]

DRAIN_S = 20.0


def mq(*arguments: str) -> list[str]:
    """The command line of ``mq`` with these arguments, in this very interpreter."""
    return [sys.executable, "-m", "mq", *arguments]


class Services:
    """Starts services, and drains them at the end. Each writes to a log of its own in ``logs``."""

    def __init__(self, logs: Path) -> None:
        self.logs = logs
        self._running: list[subprocess.Popen[bytes]] = []

    def start(self, name: str) -> None:
        """Run the application ``examples.orders.<name>:app``."""
        with (self.logs / f"{name}.log").open("wb") as log:
            process = subprocess.Popen(
                mq("run", f"examples.orders.{name}:app"),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C is for the demo, which then drains them
            )
        self._running.append(process)

    def kill(self, process: int) -> None:
        """Kill one worker process with no warning, as a crash or a lost machine would."""
        os.kill(process, signal.SIGKILL)

    def stop(self) -> list[int]:
        """Let all services finish what they have begun; their exit codes, which should be 0."""
        for process in self._running:
            process.terminate()
        return [process.wait(DRAIN_S) for process in self._running]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for process in self._running:
            if process.poll() is None:
                process.kill()
                process.wait()

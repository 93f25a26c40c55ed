"""Our own broker as a process beside us, under the same verbs as `tools.apache_kafka`.

Tests and benchmarks start it, kill it and bring it back on the same data and the same port. It is
always the real program, `python -m mq.broker`, spoken to over its socket; nothing of `mq` is
imported here.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from tools.apache_kafka import answers, die_with_parent

START_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 30.0


class MqBrokerError(Exception):
    """Our broker did not come up or did not stop; the text holds the end of its log."""


class MqBroker:
    """One running `python -m mq.broker` with a data directory of its own.

    with MqBroker.start() as broker:
        client = Producer({"bootstrap.servers": broker.bootstrap})
    """

    def __init__(self, directory: Path | None = None, durability: str = "sync") -> None:
        """Describe a broker; `directory` (default: a temporary one) gets its data and its log."""
        self._own_directory = directory is None
        self.directory = directory or Path(tempfile.mkdtemp(prefix="mq-broker-"))
        self.directory.mkdir(parents=True, exist_ok=True)
        self.durability = durability
        self.bootstrap = f"127.0.0.1:{_free_port()}"
        self._process: subprocess.Popen[bytes] | None = None

    @classmethod
    def start(cls, directory: Path | None = None, *, durability: str = "sync") -> Self:
        """Return a broker that answers; without a `directory` it gets a temporary one.

        Raises:
            MqBrokerError: it did not come up.
        """
        broker = cls(directory, durability)
        try:
            broker.restart()
        except BaseException:
            broker.close()
            raise
        return broker

    @property
    def data(self) -> Path:
        """The broker's data directory."""
        return self.directory / "data"

    @property
    def log(self) -> Path:
        """The file that gets what the broker prints."""
        return self.directory / "broker.out"

    @property
    def pid(self) -> int:
        """The process id of the running broker."""
        if self._process is None:
            raise MqBrokerError("the broker is not running")
        return self._process.pid

    def restart(self, *, wait: bool = True) -> None:
        """Start the stopped or killed broker again; return when it answers (or at once)."""
        if self._process is not None:
            raise MqBrokerError("the broker is running already")
        where = ("--data", str(self.data), "--listen", self.bootstrap)
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "mq.broker", *where, "--durability", self.durability],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                preexec_fn=die_with_parent(),
                cwd=Path(__file__).parent.parent,
                env={**os.environ, "PYTHONFAULTHANDLER": "1"},
            )
        if wait:
            self.wait_until_it_answers()

    def wait_until_it_answers(self) -> None:
        """Return when the broker answers an ApiVersions request.

        Raises:
            MqBrokerError: it ended, or did not answer in time.
        """
        deadline = time.monotonic() + START_TIMEOUT_S
        while not answers(self.bootstrap):
            assert self._process is not None
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                raise MqBrokerError(f"the broker did not come up; its log ends so:\n{self.tail()}")
            time.sleep(0.005)

    def stop(self) -> int:
        """End the broker in order (SIGTERM) and return its exit code.

        Raises:
            MqBrokerError: it did not end within its time and was killed.
        """
        process, self._process = self._process, None
        if process is None:
            raise MqBrokerError("the broker is not running")
        process.terminate()
        try:
            return process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise MqBrokerError(f"the broker did not stop; its log:\n{self.tail()}") from None

    def kill(self) -> None:
        """End the broker at once (SIGKILL)."""
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(signal.SIGKILL)
            process.wait()

    def close(self) -> None:
        """Kill the broker if it runs and remove its directory if it was a temporary one."""
        self.kill()
        if self._own_directory:
            shutil.rmtree(self.directory, ignore_errors=True)

    def tail(self, lines: int = 30) -> str:
        """The last lines that the broker printed."""
        printed = self.log.read_text(errors="replace") if self.log.exists() else ""
        return "\n".join(printed.splitlines()[-lines:])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _free_port() -> int:
    """A port nobody listens on now; kept for the broker's whole life, across its restarts."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port

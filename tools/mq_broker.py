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
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from tools.apache_kafka import answers, die_with_parent

START_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 120.0  # a stop syncs every partition, of which there may be thousands
PROGRAM = ("-m", "mq.broker")


class MqBrokerError(Exception):
    """Our broker did not come up or did not stop; the text holds the end of its log."""


class MqBroker:
    """One running `python -m mq.broker` with a data directory of its own.

    with MqBroker.start() as broker:
        client = Producer({"bootstrap.servers": broker.bootstrap})
    """

    def __init__(
        self,
        directory: Path | None = None,
        durability: str = "sync",
        *,
        data: Path | None = None,
        environment: Mapping[str, str] | None = None,
        program: Sequence[str] = PROGRAM,
    ) -> None:
        """Describe a broker.

        Args:
            directory: gets its log and its data; a temporary one if not given.
            data: where its data is instead.
            environment: variables that its process gets in addition to ours.
            program: what Python runs, for tests that change something in it first.
        """
        self._own_directory = directory is None
        self.directory = directory or Path(tempfile.mkdtemp(prefix="mq-broker-"))
        self.directory.mkdir(parents=True, exist_ok=True)
        self.data = data or self.directory / "data"
        self.durability = durability
        self.bootstrap = f"127.0.0.1:{_free_port()}"
        self._program = program
        self._environment = {"PYTHONFAULTHANDLER": "1", **(environment or {})}
        self._process: subprocess.Popen[bytes] | None = None

    @classmethod
    def start(
        cls,
        directory: Path | None = None,
        *,
        durability: str = "sync",
        data: Path | None = None,
        environment: Mapping[str, str] | None = None,
        program: Sequence[str] = PROGRAM,
    ) -> Self:
        """Return a broker that answers; for the arguments see the class.

        Raises:
            MqBrokerError: it did not come up.
        """
        broker = cls(directory, durability, data=data, environment=environment, program=program)
        try:
            broker.restart()
        except BaseException:
            broker.close()
            raise
        return broker

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
                [sys.executable, *self._program, *where, "--durability", self.durability],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                preexec_fn=die_with_parent(),
                cwd=Path(__file__).parent.parent,
                env={**os.environ, **self._environment},
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

    def wait(self) -> int:
        """Wait for the broker to end by itself and return its exit code.

        Raises:
            MqBrokerError: it did not end within its time and was killed.
        """
        process, self._process = self._process, None
        if process is None:
            raise MqBrokerError("the broker is not running")
        try:
            return process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise MqBrokerError(f"the broker did not stop; its log:\n{self.tail()}") from None

    def stop(self) -> int:
        """End the broker in order (SIGTERM) and return its exit code.

        Raises:
            MqBrokerError: it did not end within its time and was killed.
        """
        if self._process is not None:
            self._process.terminate()
        return self.wait()

    def freeze(self) -> None:
        """Let the broker do nothing more (SIGSTOP), until it is killed; return when it stands."""
        os.kill(self.pid, signal.SIGSTOP)
        tasks = Path(f"/proc/{self.pid}/task")
        deadline = time.monotonic() + STOP_TIMEOUT_S
        while any(_state(task) not in "TDZX" for task in tasks.iterdir()):
            if time.monotonic() > deadline:
                raise MqBrokerError("the broker cannot be stopped")
            time.sleep(0.0005)

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


def _state(task: Path) -> str:
    """What a thread does, in the letter of the kernel: T stands still, D is in a system call."""
    try:
        return (task / "stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return "X"

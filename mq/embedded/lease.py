"""The side that uses the broker: join it or start it, hold on to it, bring it back if it dies."""

from __future__ import annotations

import contextlib
import json
import logging
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

from mq.embedded import directory, interpreter
from mq.errors import BrokerUnreachable, ConfigurationError, MqError

__all__ = ["Lease", "attach"]

logger = logging.getLogger("mq.embedded")

START_TIMEOUT_S: Final = 30.0
"""How long a starting broker may show no sign of work. Most start in a third of a second; one that
recovers a large log takes as long as it needs, and says each second that it gets on."""

ANSWER_TIMEOUT_S: Final = 5.0
"""How long a running broker may take to grant a lease."""

HEAL_PAUSE_MAX_S: Final = 5.0
"""The longest pause between two attempts to start a broker again that was killed."""

LOG_BYTES_MAX: Final = 1 << 20
"""A ``broker.log`` larger than this is set aside when the broker starts."""


class Lease:
    """Keeps the broker of a directory alive until :meth:`close`; also a context manager.

    ``bootstrap`` is the broker's address and ``started`` tells whether this lease started it. A
    broker that dies is started again on the same port, by a thread of the lease's own.
    """

    def __init__(self, data: Path, held: _Held) -> None:
        self.data = data
        self.bootstrap = held.address
        self.started = held.process is not None
        self._held = held
        self._closed = threading.Event()
        threading.Thread(target=self._watch, name="mq-lease", daemon=True).start()

    def close(self) -> None:
        """Give the lease back. The broker ends shortly after the last one."""
        self._closed.set()
        with contextlib.suppress(OSError):  # wakes the watching thread; the broker may be gone
            self._held.connection.shutdown(socket.SHUT_RDWR)
        self._held.connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def _watch(self) -> None:
        while True:
            held = self._held
            with contextlib.suppress(OSError):
                while held.connection.recv(64):
                    pass
            if held.process:
                held.process.wait()
            if self._closed.is_set() or not held.heals:
                return
            held.connection.close()
            logger.warning("the broker of %s died; bringing it back", self.data)
            if not self._heal():
                return

    def _heal(self) -> bool:
        pause_s = 0.1
        while not self._closed.is_set():
            try:
                self._held = _attach(self.data)
            except MqError as error:
                logger.error("%s", error)
                self._closed.wait(pause_s)
                pause_s = min(2 * pause_s, HEAL_PAUSE_MAX_S)
            else:
                if self._closed.is_set():  # closed while starting: nobody else closes this one
                    self._held.connection.close()
                return not self._closed.is_set()
        return False


@dataclass(frozen=True, slots=True)
class _Held:
    """A live lease connection, and the broker's process if it is our child."""

    connection: socket.socket
    address: str
    heals: bool
    process: subprocess.Popen[bytes] | None = None


def attach(data: Path) -> Lease:
    """Lease the broker of the directory ``data``, starting it if it does not run. Blocks.

    Raises:
        ConfigurationError: the directory cannot be used, or its port is taken.
        BrokerUnreachable: the broker did not start; the message tells why.
    """
    data = data.absolute()
    directory.prepare(data)
    return Lease(data, _attach(data))


def _attach(data: Path) -> _Held:
    held = _join(data)
    if held:
        return held
    try:
        with _starting(data) as lock:
            return _join(data) or _start(data, lock)
    except OSError as error:
        raise ConfigurationError(f"{data} cannot hold data: {error.strerror}") from error


def _join(data: Path) -> _Held | None:
    """Lease a running broker; None if there is none, whatever an old ``broker.json`` says."""
    announced = directory.Announcement.read(data)
    if announced is None:
        return None
    try:
        connection = socket.create_connection(directory.split(announced.lease), ANSWER_TIMEOUT_S)
    except (OSError, ValueError):
        return None
    try:
        connection.sendall(announced.token.encode() + b"\n")
        answer = _read_answer(connection)
    except (OSError, ValueError):
        answer = {}  # another program that got the port since, or a broker about to end
    if "address" not in answer:
        connection.close()
        return None
    return _hold(connection, answer)


def _hold(
    connection: socket.socket,
    answer: dict[str, Any],
    process: subprocess.Popen[bytes] | None = None,
) -> _Held:
    connection.settimeout(None)
    return _Held(connection, answer["address"], bool(answer.get("embedded")), process)


def _read_answer(connection: socket.socket) -> dict[str, Any]:
    """One line of JSON, the last one that has come, or nothing if the other end closed."""
    line = bytearray()
    while not line.endswith(b"\n"):
        received = connection.recv(4096)
        if not received or len(line) > 65_536:
            return {}
        line += received
    answer = json.loads(line.splitlines()[-1])
    return answer if isinstance(answer, dict) else {}


@contextlib.contextmanager
def _starting(data: Path) -> Iterator[Path]:
    """Be the only one who starts a broker here. Released by the kernel if we are killed.

    Gives a file; to touch it tells those who wait for their turn that the start gets on.
    """
    if sys.platform == "win32":
        raise ConfigurationError(
            "the embedded broker needs Linux, macOS or WSL: set MQ_BOOTSTRAP to a broker's address"
        )
    import fcntl

    path = data / "start.lock"
    touched_ns, deadline = 0, 0.0
    with path.open("a") as lock:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError as error:
                if path.stat().st_mtime_ns != touched_ns:
                    touched_ns = path.stat().st_mtime_ns
                    deadline = time.monotonic() + 2 * START_TIMEOUT_S
                if time.monotonic() > deadline:
                    raise BrokerUnreachable(
                        f"another program starts the broker of {data}, which has shown no sign of "
                        f"work for {2 * START_TIMEOUT_S:.0f} s"
                    ) from error
                time.sleep(0.01)
        path.touch()
        yield path


def _start(data: Path, lock: Path) -> _Held:
    ours, theirs = socket.socketpair()
    try:
        with theirs:
            process = _spawn(data, theirs)
        ours.settimeout(START_TIMEOUT_S)
        while "progress_s" in (answer := _read_answer(ours)):
            lock.touch()
    except (TimeoutError, ConnectionError):
        answer = {}
    except BaseException:
        ours.close()
        raise
    if "address" in answer:
        return _hold(ours, answer, process)
    ours.close()
    if "error" in answer:
        _end(process)
        failure = ConfigurationError if answer.get("exit_code") == 2 else BrokerUnreachable
        raise failure(answer["error"])
    process.kill()
    _end(process)
    raise BrokerUnreachable(f"the broker of {data} did not start{_last_words(data)}")


def _end(process: subprocess.Popen[bytes]) -> None:
    """Wait for a broker that has given up, but not for one that hangs while doing so."""
    try:
        process.wait(ANSWER_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _spawn(data: Path, lease: socket.socket) -> subprocess.Popen[bytes]:
    """Start the broker process: a session of its own, so that no terminal's Ctrl-C reaches it."""
    log = data / "broker.log"
    if log.exists() and log.stat().st_size > LOG_BYTES_MAX:
        log.replace(data / "broker.log.1")
    with log.open("ab") as output:
        return subprocess.Popen(
            interpreter.command("mq.broker", "--data", str(data), "--embedded"),
            stdin=lease.fileno(),
            stdout=output,
            stderr=output,
            cwd=data,
            env=interpreter.environment(),
            start_new_session=True,
        )


def _last_words(data: Path, lines: int = 8) -> str:
    try:
        tail = (data / "broker.log").read_text(errors="replace").splitlines()[-lines:]
    except OSError:
        tail = []
    return "".join(f"\n  {line}" for line in tail)

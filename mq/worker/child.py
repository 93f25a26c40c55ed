"""A worker's child process: loads one application and runs it until it is told to stop.

It is started by the supervisor alone, as ``python -m mq.worker.child MODULE:APP``, and talks to it
through its standard input. It never decides whether it should live: it reports, and does what it is
told. A child whose supervisor is gone drains for as long as the embedded broker surely stays, and
ends.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import logging
import os
import signal
import socket
import stat
import sys
import threading
import time
import traceback
from collections.abc import Callable
from typing import Final

import anyio

from mq.app.app import App
from mq.errors import ConfigurationError, MqError
from mq.worker import pipe
from mq.worker.application import load

__all__ = ["main"]

ORPHAN_S: Final = 1.0
"""How long a child outlives its supervisor: less than a broker outlives its last lease."""


class Supervisor:
    """The child's end of the pipe."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._lines = connection.makefile("rb")
        self._sending = threading.Lock()

    @classmethod
    def from_standard_input(cls) -> Supervisor:
        """Take the pipe from standard input, where the application will find nothing to read.

        Raises:
            ConfigurationError: this process was not started by a supervisor.
        """
        if not stat.S_ISSOCK(os.fstat(0).st_mode):
            raise ConfigurationError("this module belongs to mq run; call that instead")
        connection = socket.socket(fileno=os.dup(0))
        nowhere = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nowhere, 0)
        os.close(nowhere)
        return cls(connection)

    def tell(self, message: pipe.FromChild) -> None:
        """Report ``message``; from any thread. A supervisor that is gone need not be told."""
        with self._sending:
            try:
                self._connection.sendall(pipe.encode(message))
            except OSError:
                pass

    def wait(self) -> pipe.ToChild | None:
        """The next order; None if the supervisor is gone."""
        line = self._lines.readline()
        return pipe.decode_to_child(line) if line.endswith(b"\n") else None

    def obey(self, drain: Callable[[], None]) -> None:
        """Wait for orders in a thread of its own, so that a busy event loop obeys too."""

        def listen() -> None:
            while isinstance(self.wait(), pipe.Drain):
                drain()
            drain()
            time.sleep(ORPHAN_S)
            os._exit(1)

        threading.Thread(target=listen, name="mq-orders", daemon=True).start()


def main(arguments: list[str]) -> int:
    """Be a child for ``MODULE:APP LOG_LEVEL CHILD``; returns the exit code."""
    target, log_level, number = arguments
    try:
        supervisor = Supervisor.from_standard_input()
    except ConfigurationError as error:
        print(f"mq: {error}", file=sys.stderr)  # noqa: T201
        return error.exit_code
    try:
        app = load(target)
        _log_to_stderr(log_level, number)
        return _run(app, supervisor)
    except MqError as error:
        supervisor.tell(pipe.Failed(str(error), error.exit_code))
        return error.exit_code
    except Exception as error:
        traceback.print_exc()
        supervisor.tell(pipe.Failed(f"{type(error).__name__}: {error}", 1))
        return 1


def _run(app: App, supervisor: Supervisor) -> int:
    handlers = tuple(
        pipe.Handling(tuple(each.topics), each.group, each.name) for each in app.handlers
    )
    supervisor.tell(pipe.Loaded(app.name, app.bootstrap, app.limits.drain_s, handlers))
    order = supervisor.wait()
    if not isinstance(order, pipe.Run):
        return 0
    app.bootstrap = order.bootstrap
    app.limits = dataclasses.replace(app.limits, drain_s=order.drain_s)
    asked: list[int] = []

    def on_signal(number: int, _frame: object) -> None:
        asked.append(number)
        app.stop()

    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, on_signal)
    supervisor.obey(app.stop)
    faster = {"use_uvloop": importlib.util.find_spec("uvloop") is not None}
    anyio.run(_serve, app, supervisor, backend_options=faster)
    return 128 + asked[0] if asked else 0


async def _serve(app: App, supervisor: Supervisor) -> None:
    await app.run(on_member=lambda group, member: supervisor.tell(pipe.Joined(group, member)))


def _log_to_stderr(level: str, number: str) -> None:
    """Unless the application has arranged its own logging."""
    if not logging.getLogger().handlers:
        layout = f"%(asctime)s %(levelname)-7s [{number}] %(name)s: %(message)s"
        logging.basicConfig(level=level.upper(), format=layout, datefmt="%H:%M:%S")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

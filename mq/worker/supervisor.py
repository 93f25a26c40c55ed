"""Runs an application in several processes and keeps them running.

All decisions are :mod:`mq.worker.lifecycle`'s; this module performs them on real processes. The
supervisor never imports the application: a module that crashes, leaks or starts threads on import
does so in a child. Children are spawned, never forked, because clients with threads do not survive
a fork. Each is a process group of its own, so a terminal's Ctrl-C reaches the supervisor alone.

The embedded broker, if that is where the application runs, is leased here for all children and
given back after the last has drained.
"""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

from mq import embedded
from mq.client.connection import leave_group
from mq.errors import ApplicationError, BrokerUnreachable, ConfigurationError, MqError
from mq.worker import lifecycle, pipe
from mq.worker.lifecycle import Lifecycle
from mq.worker.process import ChildProcess

__all__ = ["Died", "Draining", "Killing", "Notice", "Ready", "Worker", "supervise"]

logger = logging.getLogger("mq.worker")

KILL_AFTER_S: Final = 5.0
"""How long a child may take to end after its handlers had their time: to commit and to leave."""

LEAVE_TIMEOUT_S: Final = 5.0
"""How long to try to leave a group for a dead child; after that the session timeout does it."""


@dataclass(frozen=True, slots=True)
class Worker:
    """What to run: the application ``MODULE:APP`` in so many processes.

    ``drain_s`` None leaves it to the application how long its handlers may take to finish.
    """

    target: str
    processes: int = 1
    bootstrap: str | None = None
    data: Path | None = None
    drain_s: float | None = None
    log_level: str = "info"


class Ready(NamedTuple):
    """The application is imported for the first time, and its broker is found."""

    app: str
    bootstrap: embedded.Bootstrap
    address: str
    handlers: tuple[pipe.Handling, ...]


class Died(NamedTuple):
    """A child died and will be started again after ``pause_s``."""

    child: int
    how: str
    pause_s: float


class Draining(NamedTuple):
    """The children finish what they have begun."""


class Killing(NamedTuple):
    """The child gets no more time."""

    child: int


Notice = Ready | Died | Draining | Killing


async def supervise(worker: Worker, tell: Callable[[Notice], None]) -> int:
    """Run ``worker`` until a signal, or until it cannot work; returns the exit code.

    ``tell`` hears what a person may want to know.

    Raises:
        MqError: no child can work; the error says why and carries the exit code.
    """
    return await _Supervisor(worker, tell).run()


class _Supervisor:
    def __init__(self, worker: Worker, tell: Callable[[Notice], None]) -> None:
        self._worker = worker
        self._tell = tell
        self._lifecycle = Lifecycle(worker.processes, drain_s=KILL_AFTER_S)
        self._events: asyncio.Queue[lifecycle.Event] = asyncio.Queue()
        self._children = [ChildProcess(number) for number in range(worker.processes)]
        self._tasks = asyncio.TaskGroup()
        self._finding: asyncio.Task[str] | None = None
        self._lease: embedded.Lease | None = None
        self._failure: MqError | None = None

    async def run(self) -> int:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            if signal.getsignal(number) is not signal.SIG_IGN:  # nohup, or & in a script
                asked = lifecycle.Signalled(number)
                loop.add_signal_handler(number, self._events.put_nowait, asked)
        try:
            async with self._tasks:  # what is still being left when the last child is gone
                exit_code = await self._decide(loop)
        finally:
            if self._lease:
                self._lease.close()
        if self._failure:
            raise self._failure
        return exit_code

    async def _decide(self, loop: asyncio.AbstractEventLoop) -> int:
        effects = self._lifecycle.tick(loop.time())
        while True:
            for effect in effects:
                if isinstance(effect, lifecycle.End):
                    return effect.exit_code
                self._perform(effect)
            try:
                async with asyncio.timeout_at(self._lifecycle.deadline()):
                    event = await self._events.get()
            except TimeoutError:
                effects = self._lifecycle.tick(loop.time())
            else:
                if isinstance(event, lifecycle.Signalled) and not self._lifecycle.draining:
                    self._tell(Draining())
                effects = self._lifecycle.receive(event, loop.time())

    def _perform(self, effect: lifecycle.Effect) -> None:
        match effect:
            case lifecycle.Spawn(number):
                self._children[number] = ChildProcess(number)
                self._tasks.create_task(self._live(self._children[number]))
            case lifecycle.Drain(number):
                self._children[number].order(pipe.Drain())
            case lifecycle.Kill(number):
                self._tell(Killing(number))
                self._children[number].kill()
            case lifecycle.Leave(number):
                self._tasks.create_task(self._leave(self._children[number]))
            case lifecycle.Pause(number, code, pause_s):
                self._tell(Died(number, self._how(number, code), pause_s))
            case lifecycle.GiveUp(number, code):
                self._failure = _FAILURES.get(code, MqError)(self._how(number, code))
            case lifecycle.End():
                raise AssertionError("the caller ends the worker")

    async def _live(self, child: ChildProcess) -> None:
        try:
            code = await child.live(self._worker.target, self._worker.log_level, self._hear)
        except OSError as error:
            child.reason, code = f"no process can be started: {error}", 1
        self._events.put_nowait(lifecycle.Exited(child.number, code))

    def _hear(self, child: ChildProcess, message: pipe.FromChild) -> None:
        match message:
            case pipe.Loaded():
                if self._finding is None:
                    self._finding = asyncio.create_task(self._find(message))
                self._tasks.create_task(self._let_run(child, message.drain_s))
            case pipe.Joined():
                self._events.put_nowait(lifecycle.Serving(child.number))
            case pipe.Failed():
                pass  # the process says the rest by its exit code

    async def _let_run(self, child: ChildProcess, own_drain_s: float) -> None:
        assert self._finding is not None
        drain_s = own_drain_s if self._worker.drain_s is None else self._worker.drain_s
        self._lifecycle.drain_s = drain_s + KILL_AFTER_S
        try:
            address = await asyncio.shield(self._finding)
        except (MqError, OSError) as error:
            told = error if isinstance(error, MqError) else MqError(f"no broker: {error}")
            self._failure = told
            self._events.put_nowait(lifecycle.Hopeless(told.exit_code))
        else:
            child.order(pipe.Run(address, drain_s))

    async def _find(self, loaded: pipe.Loaded) -> str:
        """Find the application's broker, or start it: once for all children, now and later."""
        given, origin = self._worker.bootstrap, "from --bootstrap"
        if self._worker.data:
            origin = "from --data"
        elif not given and loaded.bootstrap:
            given, origin = loaded.bootstrap, "from the application"
        found = embedded.resolve(given, data=self._worker.data, origin=origin)
        if found.data:
            self._lease = await asyncio.to_thread(embedded.attach, found.data)
        address = self._lease.bootstrap if self._lease else str(found.address)
        self._tell(Ready(loaded.app, found, address, loaded.handlers))
        return address

    def _how(self, number: int, code: int) -> str:
        """Why a child ended: in its own words, or what its exit code says to a person."""
        if self._children[number].reason:
            return str(self._children[number].reason)
        if code >= 0:
            return f"it ended with exit code {code}"
        known = {each.value for each in signal.Signals}
        return f"killed by {signal.Signals(-code).name if -code in known else f'signal {-code}'}"

    async def _leave(self, child: ChildProcess) -> None:
        """Say in the child's name what it could not say itself, so that its partitions move now."""
        if self._finding is None or not child.members:
            return
        address = await self._finding
        for group, member_id in child.members.items():
            try:
                async with asyncio.timeout(LEAVE_TIMEOUT_S):
                    await leave_group(address, group, member_id)
            except (MqError, OSError) as error:  # TimeoutError is an OSError
                logger.warning("group %s waits for its dead member: %s", group, error)


_FAILURES: Final[dict[int, type[MqError]]] = {
    error.exit_code: error for error in (ConfigurationError, BrokerUnreachable, ApplicationError)
}

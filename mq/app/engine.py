"""The delivery engine of one process: it brings groups up, watches over them, and takes them down.

Everything that decides anything is elsewhere; this is the order in which things begin and end.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import Final

import anyio
import anyio.abc

from mq.app.crew import Crew, RunningHandler
from mq.app.declaration import Declaration, check_conflicts
from mq.app.group import Group
from mq.app.lanes import Intake
from mq.app.limits import Limits
from mq.app.publishing import Publisher
from mq.app.retry import Tier
from mq.app.surroundings import Surroundings
from mq.app.threads import Threads
from mq.app.timers import Timers
from mq.app.topics import Source
from mq.app.topology import Topology
from mq.app.workers import Workers
from mq.client.admin import Admin
from mq.client.connection import has_consumer_protocol
from mq.client.consumer import GroupProtocol
from mq.client.endpoint import Endpoint
from mq.client.mailbox import Mailbox
from mq.errors import MqError

__all__ = ["Engine"]

logger = logging.getLogger("mq.app")

COMMIT_S: Final = 0.2
WATCH_S: Final = 0.05
BYTES_PER_TOPIC_MIN: Final = 1024 * 1024
CLOSE_S: Final = 10.0
"""How long leaving the groups may take when the brokers do not answer any more."""


class Engine:
    """Runs the handlers of an application until it is stopped or cannot go on."""

    def __init__(
        self,
        declarations: Iterable[Declaration],
        endpoint: Endpoint,
        publisher: Publisher,
        mailbox: Mailbox,
        limits: Limits,
        on_member: Callable[[str, str], object],
    ) -> None:
        self._declarations = list(declarations)
        check_conflicts(self._declarations)
        self._endpoint = endpoint
        self._publisher = publisher
        self._mailbox = mailbox
        self._limits = limits
        self._on_member = on_member
        self._timers = Timers()
        self._admin = Admin(endpoint)
        self._sources = self._all_sources()
        self._topology = Topology(self._admin, self._sources)
        self._groups: list[Group] = []
        self._crews: list[Crew] = []
        self._failure: BaseException | None = None
        self._asked_to_end = anyio.Event()
        self._tasks: anyio.abc.TaskGroup
        self._growth_asked = anyio.Event()

    def _all_sources(self) -> list[Source]:
        """Every topic of every group, with all the tiers that its handlers want."""
        tiers: dict[tuple[str, str], set[Tier]] = {}
        for declaration in self._declarations:
            for topic in declaration.topics:
                tiers.setdefault((declaration.group, topic), set()).update(declaration.tiers)
        sources = [Source(*place, sorted(wanted)) for place, wanted in sorted(tiers.items())]
        for source in sources:
            source.check()
        return sources

    def stop(self) -> None:
        """Ask for the end: what runs may finish, nothing more starts. From any thread."""
        self._mailbox.post(self._asked_to_end.set)

    def fail(self, error: BaseException) -> None:
        """End with an error."""
        if self._failure is None:
            self._failure = error
        self._asked_to_end.set()

    def grow(self) -> None:
        """Have the topics made or grown that are missing."""
        self._growth_asked.set()

    async def run(self) -> None:
        """Work until :meth:`stop`.

        Raises:
            BrokerUnreachable: no broker answers.
            MqError: the brokers refuse what the application needs.
        """
        await self._topology.ensure(self._limits.connect_s)
        protocol = await self._choose_protocol()
        async with anyio.create_task_group() as tasks:
            self._tasks = tasks
            try:
                self._start(protocol)
                await self._asked_to_end.wait()
                await self._drain()
            except Exception as error:
                self.fail(error)
            finally:
                with anyio.CancelScope(shield=True):
                    await self._leave()
            tasks.cancel_scope.cancel()
        if self._failure is not None:
            raise self._failure

    async def _choose_protocol(self) -> GroupProtocol:
        """The newest one that the brokers have."""
        if not self._endpoint.is_plaintext:
            return "classic"  # the question can be asked over plain TCP only
        try:
            has_it = await has_consumer_protocol(self._endpoint.bootstrap)
        except MqError as error:
            logger.warning("%s; the classic group protocol is used", error)
            return "classic"
        return "consumer" if has_it else "classic"

    def _start(self, protocol: GroupProtocol) -> None:
        surroundings = Surroundings(
            self._endpoint,
            protocol,
            self._limits,
            self._mailbox,
            self._timers,
            self._topology,
            self,
            self._on_member,
        )
        for name in sorted({source.group for source in self._sources}):
            handlers = [self._running(d) for d in self._declarations if d.group == name]
            intakes = {s.topic: self._intake() for s in self._sources if s.group == name}
            self._groups.append(Group(name, handlers, intakes, surroundings))
        for task in (self._timers.run, self._commit, self._watch, self._grow):
            self._tasks.start_soon(self._guard, task)
        for crew in self._crews:
            crew.start()
        for group in self._groups:
            group.start()

    def _intake(self) -> Intake:
        """An equal share, for one topic of one group, of what is allowed in flight."""
        count, limits = len(self._sources), self._limits
        size = max(limits.bytes_in_flight // count, BYTES_PER_TOPIC_MIN)
        return Intake(max(limits.records_in_flight // count, 1), size)

    def _running(self, declaration: Declaration) -> RunningHandler:
        lanes = declaration.options.lanes
        crew: Crew
        if declaration.is_async:
            crew = Workers(lanes, self._tasks)
        else:
            crew = Threads(lanes, self._mailbox, declaration.name)
        self._crews.append(crew)
        return RunningHandler(
            declaration,
            declaration.group,
            self._topology.cluster,
            crew,
            self._publisher,
            self._timers,
        )

    async def _guard(self, task: Callable[[], Awaitable[None]]) -> None:
        """An error in one of our own tasks ends the application, in order."""
        try:
            await task()
        except Exception as error:
            logger.exception("an error of mq's own")
            self.fail(error)

    async def _commit(self) -> None:
        while True:
            await anyio.sleep(COMMIT_S)
            for group in self._groups:
                group.commit()

    async def _watch(self) -> None:
        watched = [crew for crew in self._crews if crew.timeout_s is not None]
        while watched:
            await anyio.sleep(WATCH_S)
            now = time.monotonic()
            for crew in watched:
                crew.watch(now)

    async def _grow(self) -> None:
        """Topics grow while we run: their retry topics have to follow."""
        while True:
            await self._growth_asked.wait()
            self._growth_asked = anyio.Event()
            try:
                await self._topology.ensure(self._limits.connect_s)
            except MqError as error:
                logger.error("topics cannot be made or grown: %s", error)
                await anyio.sleep(self._limits.connect_s)
            else:
                for group in self._groups:
                    group.grown()

    async def _drain(self) -> None:
        within_s = self._limits.drain_s if self._failure is None else 0.0
        async with anyio.create_task_group() as drains:
            for group in self._groups:
                drains.start_soon(group.drain, within_s)

    async def _leave(self) -> None:
        with anyio.move_on_after(CLOSE_S) as scope:
            async with anyio.create_task_group() as leaves:
                for group in self._groups:
                    leaves.start_soon(group.leave)
        if scope.cancelled_caught:
            logger.error("the groups could not be left within %g s", CLOSE_S)
        for crew in self._crews:
            crew.close()

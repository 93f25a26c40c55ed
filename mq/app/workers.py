"""Tasks that run an async handler's deliveries, one after another, many side by side.

A task per record would cost more than most handlers do. A worker is a task that goes from record to
record; as long as handlers do not suspend, one worker does all the work without the event loop
ever being asked. When a handler suspends, the next worker goes on: whoever takes a record and
leaves others behind nudges one more worker, so there are soon as many as can be used, and never
more than ``concurrency``. One is always idle or on its way while more are allowed, because only a
task can start a task, and nudges come from callbacks.

Each record runs in a context of its own, as if it had a task of its own. Timeouts need no scope per
record either: each worker lives in a scope, and the watchdog cancels that; the worker then renews
it.
"""

from __future__ import annotations

import math
import time
from collections.abc import Coroutine, Generator
from contextvars import Context, copy_context
from types import coroutine
from typing import Any, Final, NamedTuple

import anyio
import anyio.abc
import anyio.lowlevel

from mq.app.crew import Crew
from mq.app.delivery import Delivery
from mq.app.lanes import Lanes
from mq.app.publishing import current_sender

__all__ = ["Workers"]

SLICE_S: Final = 0.005
"""How long a worker may go on before the rest of the program has its turn."""


class _Slot:
    """What the watchdog must know of a worker."""

    __slots__ = ("delivery", "overdue", "scope", "started_at")

    def __init__(self) -> None:
        self.delivery: Delivery | None = None
        self.started_at = 0.0
        self.overdue = False
        self.scope: anyio.CancelScope | None = None


class Workers(Crew):
    """The crew of an async handler."""

    def __init__(self, lanes: Lanes, tasks: anyio.abc.TaskGroup) -> None:
        super().__init__(lanes)
        self._tasks = tasks
        self._slots: list[_Slot] = []
        self._idle: list[anyio.Event] = []
        self._nudged = False  # a worker has been called and has not come yet

    def start(self) -> None:
        self._start_worker()

    def nudge(self) -> None:
        # If nobody idles, a worker is on its way or there are as many as there may be.
        if self._idle and not self._nudged and self.lanes.takeable:
            self._nudged = True
            self._idle.pop().set()

    def watch(self, now: float) -> None:
        if self.timeout_s is None:
            return
        for slot in self._slots:
            running = slot.delivery is not None and not slot.overdue
            if running and now - slot.started_at > self.timeout_s:
                slot.overdue = True
                slot.scope.cancel()  # type: ignore[union-attr]  # it runs, so it has one

    def close(self) -> None:
        pass  # workers end with the task group

    def _start_worker(self) -> None:
        self._nudged = True
        slot = _Slot()
        self._slots.append(slot)
        self._tasks.start_soon(self._work, slot)

    async def _work(self, slot: _Slot) -> None:
        """A worker's life."""
        self._nudged = False
        while True:
            slot.overdue = False
            with anyio.CancelScope() as slot.scope:
                await self._go_on(slot)
            self._cut_off(slot)

    def _cut_off(self, slot: _Slot) -> None:
        """If the watchdog has ended an attempt, the attempt has failed."""
        delivery = slot.delivery
        if delivery is not None:
            slot.delivery = None
            delivery.failed(TimeoutError(f"not done within {self.timeout_s:g} s"))

    async def _go_on(self, slot: _Slot) -> None:
        """Run deliveries until the watchdog has used the slot's scope up."""
        lanes = self.lanes
        slice_ends = time.monotonic() + SLICE_S
        while True:
            delivery = lanes.take()
            if delivery is None:
                await self._idle_until_nudged()
                slice_ends = time.monotonic() + SLICE_S
                continue
            if not self._nudged:
                self._call_the_next()
            slot.started_at = now = time.monotonic()
            suspended = self._begin(delivery, slot)
            if suspended is not None:
                await self._go_through(suspended, delivery, slot)
                if slot.overdue:
                    return
            if now > slice_ends:
                await anyio.lowlevel.checkpoint()
                slice_ends = time.monotonic() + SLICE_S

    async def _idle_until_nudged(self) -> None:
        call = anyio.Event()
        self._idle.append(call)
        await call.wait()
        self._nudged = False

    def _call_the_next(self) -> None:
        """In case the handler suspends: have somebody else take what is left, now or later on."""
        if self._idle:
            self.nudge()
        elif len(self._slots) < self.lanes.concurrency:
            self._start_worker()

    def _begin(self, delivery: Delivery, slot: _Slot) -> _Suspended | None:
        """Run a delivery as far as it goes without waiting; None if that was to its end."""
        delivery.took()
        slot.delivery = delivery
        current_sender.set(delivery)
        context = copy_context()
        try:
            steps = delivery.start()
            return _Suspended(context, steps, context.run(steps.send, None))
        except StopIteration as stop:  # a coroutine's way to return
            slot.delivery = None
            delivery.returned(stop.value)
        except BaseException as error:
            self._ended_by(error, delivery, slot)
        return None

    async def _go_through(self, suspended: _Suspended, delivery: Delivery, slot: _Slot) -> None:
        """Run a delivery that waits for something to its end."""
        try:
            result = await suspended.rest()
        except BaseException as error:
            self._ended_by(error, delivery, slot)
        else:
            slot.delivery = None
            delivery.returned(result)

    def _ended_by(self, error: BaseException, delivery: Delivery, slot: _Slot) -> None:
        """The handler raised; if it is being cut off, it must not be held up."""
        if _is_failure(error):
            slot.delivery = None
            delivery.failed(error)
            return
        if not slot.overdue:
            slot.delivery = None
            delivery.abandoned()
        raise error


class _Suspended(NamedTuple):
    """A handler's coroutine that waits for something, in a context of its own."""

    context: Context
    steps: Coroutine[Any, Any, Any]
    awaited: Any

    @coroutine
    def rest(self) -> Generator[Any, Any, Any]:
        """Go on to the end, as a part of the task that awaits this."""
        context, steps, awaited = self
        while True:
            try:
                argument, step = (yield awaited), steps.send
            except BaseException as error:  # cancellation, or the event loop being torn down
                argument, step = error, steps.throw
            try:
                awaited = context.run(step, argument)
            except StopIteration as stop:
                return stop.value


def _is_failure(error: BaseException) -> bool:
    """Whether the handler failed, rather than being cut off together with us.

    A handler may well raise its event loop's cancellation by itself, by awaiting something that
    somebody else cancelled. That is a failure like any other, and so is ``sys.exit()``.
    """
    if isinstance(error, Exception | SystemExit):
        return True
    if isinstance(error, KeyboardInterrupt | GeneratorExit):
        return False
    return anyio.current_effective_deadline() != -math.inf

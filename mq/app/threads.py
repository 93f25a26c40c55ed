"""Threads that run a synchronous handler's deliveries.

The event loop decides what runs and hears how it ended; between the two lie a queue and a mailbox,
so a thread is woken for a record and nothing else. Threads are made when they are needed, up to
``concurrency``, and stay. They are daemons: a handler that hangs must not keep the process alive.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from contextvars import Context, copy_context
from queue import SimpleQueue
from typing import Any

from mq.app.crew import Crew
from mq.app.delivery import Delivery
from mq.app.lanes import Lanes
from mq.app.publishing import current_sender
from mq.client.mailbox import Mailbox

__all__ = ["Threads"]

logger = logging.getLogger("mq.app")


class _Slot:
    """What the watchdog must know of a thread."""

    __slots__ = ("delivery", "overdue", "started_at")

    def __init__(self) -> None:
        self.delivery: Delivery | None = None
        self.started_at = 0.0
        self.overdue = False


class Threads(Crew):
    """The crew of a synchronous handler."""

    def __init__(self, lanes: Lanes, mailbox: Mailbox, name: str) -> None:
        super().__init__(lanes)
        self._mailbox = mailbox
        self._name = name
        self._queue: SimpleQueue[Delivery | None] = SimpleQueue()
        self._slots: list[_Slot] = []
        self._context = copy_context()

    def start(self) -> None:
        pass  # threads are started when there is something for them

    def nudge(self) -> None:
        lanes = self.lanes
        while (delivery := lanes.take()) is not None:
            delivery.took()
            self._queue.put(delivery)
            if len(self._slots) < lanes.running:
                self._start_thread()

    def watch(self, now: float) -> None:
        if self.timeout_s is None:
            return
        for slot in self._slots:
            delivery = slot.delivery
            if delivery is None or slot.overdue or now - slot.started_at <= self.timeout_s:
                continue
            slot.overdue = True
            logger.error(
                "%s is not done within %g s; a thread cannot be stopped, so its lane stays closed",
                *(delivery, self.timeout_s),
            )

    @property
    def overdue(self) -> int:
        """How many threads are at work for longer than they may."""
        return sum(slot.overdue for slot in self._slots)

    def close(self) -> None:
        for _ in self._slots:
            self._queue.put(None)

    def _start_thread(self) -> None:
        slot = _Slot()
        self._slots.append(slot)
        name = f"mq-{self._name}-{len(self._slots)}"
        threading.Thread(target=self._work, args=(slot,), name=name, daemon=True).start()

    def _work(self, slot: _Slot) -> None:
        """A thread's life."""
        while (delivery := self._queue.get()) is not None:
            slot.started_at = time.monotonic()
            slot.delivery = delivery
            outcome, ending = _run(self._context.copy(), delivery)
            slot.delivery = None
            slot.overdue = False
            self._mailbox.post(self._settle, outcome, ending)

    def _settle(self, outcome: Any, ending: Callable[[Any], None]) -> None:
        ending(outcome)
        self.nudge()


def _run(context: Context, delivery: Delivery) -> tuple[Any, Callable[[Any], None]]:
    """Run the handler; its outcome, and who wants to hear of it."""
    context.run(current_sender.set, delivery)
    try:
        return context.run(delivery.start), delivery.returned
    except BaseException as error:  # sys.exit() in a handler ends neither thread nor process
        return error, delivery.failed

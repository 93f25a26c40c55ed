"""What is to happen later on the event loop, by the clock that never jumps."""

from __future__ import annotations

import heapq
import itertools
import math
import time
from collections.abc import Callable

import anyio

__all__ = ["Timer", "Timers"]


class Timer:
    """One call in the future; :meth:`cancel` forgets it and all that it holds on to."""

    __slots__ = ("call",)

    def __init__(self, call: Callable[[], object]) -> None:
        self.call: Callable[[], object] | None = call

    def cancel(self) -> None:
        """Never make the call."""
        self.call = None


class Timers:
    """Makes calls when they are due, never early, while :meth:`run` runs."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Timer]] = []
        self._order = itertools.count()
        self._sooner: anyio.Event | None = None

    def after(self, delay_s: float, call: Callable[[], object]) -> Timer:
        """Have ``call`` made in so many seconds."""
        timer = Timer(call)
        due = time.monotonic() + delay_s
        if self._sooner is not None and (not self._heap or due < self._heap[0][0]):
            self._sooner.set()
        heapq.heappush(self._heap, (due, next(self._order), timer))
        return timer

    async def run(self) -> None:
        """Make calls for ever. An error of a call ends this."""
        while True:
            wait_s = self._make_calls()
            self._sooner = anyio.Event()
            with anyio.move_on_after(wait_s):
                await self._sooner.wait()
            self._sooner = None

    def _make_calls(self) -> float:
        """Make those that are due; how long until the next one."""
        heap = self._heap
        while heap:
            due, _, timer = heap[0]
            now = time.monotonic()
            if due > now and timer.call is not None:
                return due - now
            heapq.heappop(heap)
            call, timer.call = timer.call, None
            if call is not None:
                call()
        return math.inf

"""Many timers that are nearly always put off before they are due.

Every heartbeat of every member of every group puts a timer off. So that is the cheap operation
here: a number in a dictionary. A heap holds at least one entry per timer, never later than the
timer is due; an entry that surfaces too early goes down again to where its timer is now, and one
whose timer is gone, or that was overtaken by an earlier one, is dropped.

What a timer means is its key, and the owner's business.
"""

from __future__ import annotations

from collections.abc import Hashable
from heapq import heapify, heappop, heappush, heapreplace
from typing import Final, Generic, TypeVar

__all__ = ["Timers"]

Key = TypeVar("Key", bound=Hashable)

# Rebuilding a heap when more than half of it is dead keeps the cost of a cancelled timer constant.
_DEAD_ENTRIES_MIN: Final = 64


class _Timer:
    __slots__ = ("due_ms", "queued_ms")

    def __init__(self, due_ms: int) -> None:
        self.due_ms = due_ms
        self.queued_ms = due_ms


class Timers(Generic[Key]):
    """Timers by key, at most one each. Times are milliseconds on one clock of the caller's."""

    def __init__(self) -> None:
        self._timers: dict[Key, _Timer] = {}
        self._heap: list[tuple[int, int, Key]] = []
        self._pushed = 0

    def __len__(self) -> int:
        return len(self._timers)

    def __contains__(self, key: Key) -> bool:
        return key in self._timers

    def schedule(self, key: Key, due_ms: int) -> None:
        """Let ``key`` be due at ``due_ms``, whenever it was due before."""
        timer = self._timers.get(key)
        if timer is None:
            self._timers[key] = _Timer(due_ms)
            self._push(due_ms, key)
            return
        timer.due_ms = due_ms
        if due_ms < timer.queued_ms:
            timer.queued_ms = due_ms
            self._push(due_ms, key)

    def cancel(self, key: Key) -> None:
        """Let ``key`` not be due, if it ever was to be."""
        self._timers.pop(key, None)

    def deadline(self) -> int | None:
        """When the next timer is due, None if there is none."""
        self._settle()
        return self._heap[0][0] if self._heap else None

    def pop(self, now_ms: int) -> Key | None:
        """Take out the earliest key that is due by ``now_ms``, None if none is."""
        self._settle()
        if not self._heap or self._heap[0][0] > now_ms:
            return None
        key = heappop(self._heap)[2]
        del self._timers[key]
        return key

    def _push(self, due_ms: int, key: Key) -> None:
        self._pushed += 1  # keys need no order: the earlier pushed one goes first
        heappush(self._heap, (due_ms, self._pushed, key))
        if len(self._heap) > 2 * len(self._timers) + _DEAD_ENTRIES_MIN:
            self._rebuild()

    def _rebuild(self) -> None:
        for timer in self._timers.values():
            timer.queued_ms = timer.due_ms
        self._heap = [
            (timer.due_ms, order, key) for order, (key, timer) in enumerate(self._timers.items())
        ]
        heapify(self._heap)

    def _settle(self) -> None:
        """Bring an entry to the top that is due exactly when it says, or empty the heap."""
        while self._heap:
            time_ms, order, key = self._heap[0]
            timer = self._timers.get(key)
            if timer is None or timer.queued_ms != time_ms:
                heappop(self._heap)
            elif timer.due_ms > time_ms:
                timer.queued_ms = timer.due_ms
                heapreplace(self._heap, (timer.due_ms, order, key))
            else:
                return

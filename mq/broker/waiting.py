"""Those who wait: replies for a sync, fetches for records.

Both are woken by what they wait for and by nothing else: nobody walks through all waiters. Neither
class knows what a reply or a fetch is, nor reads a clock: timers come from the owner.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Iterable
from typing import Protocol

from mq.errors import ErrorCode

__all__ = ["CallLater", "FetchWaiters", "Outcome", "Poll", "SyncWaiters", "Timer"]


class Timer(Protocol):
    """A call that can still be prevented."""

    def cancel(self) -> None: ...


Outcome = Callable[[ErrorCode], None]
"""Told NONE when the sync has come, or why it never will."""

CallLater = Callable[[float, Callable[[], None]], Timer]
"""Call something once after so many seconds."""


class SyncWaiters:
    """Callbacks that wait until a partition is on stable storage up to an offset.

    Waits are made for the end of the log as it stands at that moment, so those of one partition
    are in order by themselves and the first one is always the next to be called.
    """

    def __init__(self) -> None:
        self._waiting: dict[Hashable, deque[tuple[int, Outcome]]] = {}

    def __len__(self) -> int:
        """How many partitions are waited for."""
        return len(self._waiting)

    def add(self, partition: Hashable, offset: int, then: Outcome) -> None:
        """Call ``then`` once everything below ``offset`` is synced."""
        self._waiting.setdefault(partition, deque()).append((offset, then))

    def synced(self, partition: Hashable, offset: int) -> None:
        """Everything below ``offset`` is synced."""
        queue = self._waiting.get(partition)
        if queue is None:
            return
        while queue and queue[0][0] <= offset:
            queue.popleft()[1](ErrorCode.NONE)
        if not queue:
            self._waiting.pop(partition, None)

    def take(self, partition: Hashable) -> list[Outcome]:
        """Forget those who wait for ``partition`` and return them."""
        return [then for _, then in self._waiting.pop(partition, ())]

    def take_all(self) -> list[Outcome]:
        """Forget everyone who waits and return them: the sync they wait for will never come."""
        return [then for partition in list(self._waiting) for then in self.take(partition)]


class Poll(Protocol):
    """A request that may be parked."""

    def enough(self, partition: Hashable) -> bool:
        """Look at a partition that has more to read now: should the request be answered?"""

    def answer(self) -> None:
        """Answer with whatever there is."""


class FetchWaiters:
    """Long polls, by the partitions they look at.

    A partition that moves asks each of its own waiters once; a waiter that is satisfied, or whose
    time is over, is forgotten everywhere before it is answered.
    """

    def __init__(self, call_later: CallLater) -> None:
        self._call_later = call_later
        self._by_partition: dict[Hashable, dict[Poll, None]] = {}
        self._parked: dict[Poll, tuple[tuple[Hashable, ...], Timer]] = {}

    def __len__(self) -> int:
        return len(self._parked)

    def park(self, poll: Poll, partitions: Iterable[Hashable], seconds: float) -> None:
        """Keep ``poll`` until one of ``partitions`` satisfies it, or until the time is over."""
        keys = tuple(dict.fromkeys(partitions))  # a request may name a partition twice
        for key in keys:
            self._by_partition.setdefault(key, {})[poll] = None
        timer = self._call_later(seconds, lambda: self._finish(poll))
        self._parked[poll] = (keys, timer)

    def advanced(self, partition: Hashable) -> None:
        """There is more to read in ``partition``."""
        waiters = self._by_partition.get(partition)
        if waiters is None:
            return
        for poll in [poll for poll in waiters if poll.enough(partition)]:
            self._finish(poll)

    def gone(self, partition: Hashable) -> None:
        """``partition`` exists no longer: whoever waits for it is answered."""
        for poll in list(self._by_partition.get(partition, ())):
            self._finish(poll)

    def forget(self, poll: Poll) -> None:
        """Nobody is left who would hear the answer."""
        found = self._parked.pop(poll, None)
        if found is None:
            return
        keys, timer = found
        timer.cancel()
        for key in keys:
            waiters = self._by_partition[key]
            del waiters[poll]
            if not waiters:
                del self._by_partition[key]

    def release_all(self) -> None:
        """Answer everyone now: no more records will come."""
        for poll in list(self._parked):
            self._finish(poll)

    def _finish(self, poll: Poll) -> None:
        if poll in self._parked:
            self.forget(poll)
            poll.answer()

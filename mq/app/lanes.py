"""Which record may run now: order, concurrency, back-pressure.

Three machines, none of which knows what a record is:

:class:`LaneTable` keeps order. A record enters the lane of its key (or of its partition, or none);
one record at a time is in a lane's front and may run, those behind it wait. What may run lies in
one queue, of which at most ``concurrency`` are taken at a time. What waits for its retry elsewhere
has left its lane, so later records pass it; what waits in place keeps its lane closed.

:class:`Intake` counts what one handler has in this process, in records and bytes, from fetched to
finished. Two threads share it without a lock: each counter has one writer.

:class:`Throttle` turns full intakes into advice for the thread that polls. Pausing a partition
throws away what librdkafka has prefetched of it, to be fetched again later, so a short wait comes
first. The wait is over at once if another handler still has room, for it must not starve.

Nothing here reads a clock; time is an argument, in seconds.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Final, Generic, Literal, TypeVar

from mq.errors import ConfigurationError

__all__ = ["PATIENCE_S", "Intake", "LaneTable", "Lanes", "Throttle"]

T = TypeVar("T")

PATIENCE_S: Final = 1.0
"""How long fetching is put off before partitions are paused."""


@dataclass(frozen=True, slots=True)
class Lanes:
    """How a handler's records run side by side.

    ``order``: ``"key"`` runs records of one key one after another in their order and different keys
    side by side (records without a key run in the order of their partition); ``"partition"`` runs
    each partition in order; ``"none"`` keeps no order. A record that waits for a retry longer than
    the policy's ``in_place`` lets later ones pass.
    ``concurrency``: how many records the handler runs at a time in one process.
    ``timeout``: seconds after which an attempt has failed; None means never. An async handler is
    cancelled. A thread cannot be: the record stays unfinished and its lane closed until the handler
    returns.
    """

    order: Literal["key", "partition", "none"] = "key"
    concurrency: int = 64
    timeout: float | None = None

    def __post_init__(self) -> None:
        if self.order not in ("key", "partition", "none"):
            raise ConfigurationError(
                f'Lanes(order={self.order!r}): the order is "key", "partition" or "none"'
            )
        if self.concurrency < 1:
            raise ConfigurationError(f"Lanes(concurrency={self.concurrency}): at least 1 is needed")
        if self.timeout is not None and not self.timeout > 0:
            raise ConfigurationError(f"Lanes(timeout={self.timeout}): more than 0 seconds, or None")


class LaneTable(Generic[T]):
    """The queue of what may run, behind it the lanes.

    A lane is any hashable value; ``None`` is no lane at all: such items never wait for each other.
    """

    __slots__ = ("_behind", "_ready", "concurrency", "running")

    def __init__(self, concurrency: int) -> None:
        self.concurrency = concurrency
        self.running = 0
        self._ready: deque[T] = deque()
        # A lane is here while someone is in its front; behind it waits a queue, or (mostly) nobody.
        self._behind: dict[Hashable, deque[T] | None] = {}

    def enter(self, item: T, lane: Hashable | None) -> None:
        """Queue ``item`` behind all that came before it in its lane."""
        if lane is not None:
            behind = self._behind
            if lane in behind:
                waiting = behind[lane]
                if waiting is None:
                    waiting = behind[lane] = deque()
                waiting.append(item)
                return
            behind[lane] = None
        self._ready.append(item)

    def enter_first(self, item: T, lane: Hashable | None) -> None:
        """Queue ``item`` before all that wait, as a retry that is due deserves."""
        if lane is not None:
            if lane in self._behind:
                waiting = self._behind[lane]
                if waiting is None:
                    waiting = self._behind[lane] = deque()
                waiting.appendleft(item)
                return
            self._behind[lane] = None
        self._ready.appendleft(item)

    def again(self, item: T) -> None:
        """Queue ``item``, which ran, rested and kept its lane closed, before all others."""
        self._ready.appendleft(item)

    @property
    def takeable(self) -> bool:
        """Whether :meth:`take` would return an item."""
        return bool(self._ready) and self.running < self.concurrency

    def take(self) -> T | None:
        """The next item to run; None if there is none, or if enough are running."""
        if self.running < self.concurrency and self._ready:
            self.running += 1
            return self._ready.popleft()
        return None

    def rest(self) -> None:
        """A running item stops running and keeps its lane; :meth:`again` brings it back."""
        self.running -= 1

    def leave(self, lane: Hashable | None) -> None:
        """A running item ends and lets the next one of its lane come to the front."""
        self.running -= 1
        if lane is None:
            return
        if self._behind[lane]:
            self.open(lane)
        else:
            del self._behind[lane]

    def open(self, lane: Hashable | None) -> None:
        """An item that is not running gives up the front of its lane."""
        if lane is None:
            return
        waiting = self._behind[lane]
        if waiting:
            self._ready.append(waiting.popleft())
        else:
            del self._behind[lane]

    def purge(
        self, unwanted: Callable[[T], bool], lane_of: Callable[[T], Hashable | None]
    ) -> list[T]:
        """Take out and return every item that does not run and that nobody wants any more."""
        purged: list[T] = []
        for waiting in self._behind.values():
            if waiting and any(map(unwanted, waiting)):
                purged += filter(unwanted, waiting)
                kept = [item for item in waiting if not unwanted(item)]
                waiting.clear()
                waiting.extend(kept)
        front = [item for item in self._ready if unwanted(item)]
        if front:
            kept = [item for item in self._ready if not unwanted(item)]
            self._ready = deque(kept)
            for item in front:
                self.open(lane_of(item))
        return purged + front

    def __len__(self) -> int:
        """How many items do not run yet."""
        return len(self._ready) + sum(len(waiting) for waiting in self._behind.values() if waiting)


class Intake:
    """What one handler has in this process: fetched and not yet finished.

    ``fetched`` is called only by the thread that polls, ``finished`` only by the event loop.
    """

    __slots__ = ("_bytes_in", "_bytes_out", "_in", "_out", "bytes_max", "records_max")

    def __init__(self, records_max: int, bytes_max: int) -> None:
        self.records_max = records_max
        self.bytes_max = bytes_max
        self._in = self._out = self._bytes_in = self._bytes_out = 0

    def fetched(self, records: int, size: int) -> None:
        """Records came in, ``size`` bytes together."""
        self._in += records
        self._bytes_in += size

    def finished(self, size: int) -> None:
        """One record of ``size`` bytes went out."""
        self._out += 1
        self._bytes_out += size

    @property
    def records(self) -> int:
        """How many records are inside."""
        return self._in - self._out

    @property
    def size(self) -> int:
        """How many bytes are inside."""
        return self._bytes_in - self._bytes_out

    @property
    def full(self) -> bool:
        """Whether one of the limits is reached."""
        return (
            self._in - self._out >= self.records_max
            or self._bytes_in - self._bytes_out >= self.bytes_max
        )

    @property
    def half_empty(self) -> bool:
        """Whether both measures are at most half of their limits."""
        return self.records * 2 <= self.records_max and self.size * 2 <= self.bytes_max


class Throttle:
    """Whether to fetch now, and which intakes' partitions are to be paused."""

    __slots__ = ("_full_since", "_intakes", "_patience_s", "paused")

    def __init__(self, intakes: Sequence[Intake], patience_s: float = PATIENCE_S) -> None:
        self._intakes = list(intakes)
        self._patience_s = patience_s
        self._full_since: float | None = None
        self.paused: frozenset[Intake] = frozenset()

    def may_fetch(self, now: float) -> bool:
        """Advise the poller; ``paused`` is what is to be paused from now on.

        False means: do not even poll, ask again in some milliseconds. That is never the answer for
        longer than the patience, so the poller is never away from its group for longer either.
        """
        if self.paused:
            self.paused = frozenset(i for i in self.paused if not i.half_empty)
        full = [i for i in self._intakes if i.full and i not in self.paused]
        if not full:
            self._full_since = None
            return True
        if len(full) + len(self.paused) < len(self._intakes):
            self.paused |= set(full)  # someone has room: waiting for the full ones would starve him
            return True
        if self._full_since is None:
            self._full_since = now
        if now - self._full_since < self._patience_s:
            return False
        self._full_since = None
        self.paused |= set(full)
        return True

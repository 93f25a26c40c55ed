"""Waiting for the end of what runs, with a limit, without anyone being blocked by it."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass

from mq.app.partition import Partition
from mq.app.timers import Timers

__all__ = ["Drains"]


@dataclass(frozen=True, slots=True, eq=False)
class _Drain:
    """Partitions that are being given up together, and what is to be done then."""

    partitions: Collection[Partition]
    then: Callable[[], None]


class Drains:
    """All drains of a group that are going on."""

    def __init__(self, timers: Timers) -> None:
        self._timers = timers
        self._drains: list[_Drain] = []

    def begin(
        self, partitions: Collection[Partition], within_s: float, then: Callable[[], None]
    ) -> None:
        """Close partitions, and go on once nothing of them runs any more or the time is over."""
        drain = _Drain(partitions, then)
        self._drains.append(drain)
        for partition in partitions:
            partition.close()
        if within_s > 0 and any(partition.busy for partition in partitions):
            self._timers.after(within_s, lambda: self._end(drain))
        else:
            self._end(drain)

    def went_idle(self, partition: Partition) -> None:
        """The last running delivery of a closing partition has ended."""
        for drain in [drain for drain in self._drains if partition in drain.partitions]:
            if not any(other.busy for other in drain.partitions):
                self._end(drain)

    def _end(self, drain: _Drain) -> None:
        if drain in self._drains:
            self._drains.remove(drain)
            drain.then()

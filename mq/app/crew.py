"""Those who run a handler's deliveries, as many at a time as its lanes allow.

Tasks do it for async handlers, threads for others; what they have in common is here: the lanes that
their work comes from.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mq.app.declaration import Declaration
from mq.app.lanes import Lanes, LaneTable
from mq.app.publishing import Publisher
from mq.app.timers import Timers

if TYPE_CHECKING:
    from mq.app.delivery import Delivery
    from mq.app.partition import Partition

__all__ = ["Crew", "RunningHandler"]


class Crew(ABC):
    """The lanes of one handler and whoever empties them. Belongs to the event loop.

    Whoever puts something into ``lanes`` directly nudges afterwards.
    """

    def __init__(self, lanes: Lanes) -> None:
        self.order = lanes.order
        self.lanes: LaneTable[Delivery] = LaneTable(lanes.concurrency)
        self.timeout_s = lanes.timeout

    def enter_first(self, delivery: Delivery) -> None:
        """Queue a delivery in its lane before the others."""
        self.lanes.enter_first(delivery, delivery.lane)
        self.nudge()

    def again(self, delivery: Delivery) -> None:
        """Queue a delivery that rested and kept its lane."""
        self.lanes.again(delivery)
        self.nudge()

    def open(self, delivery: Delivery) -> None:
        """A delivery that does not run leaves its lane."""
        self.lanes.open(delivery.lane)
        self.nudge()

    def purge(self, partition: Partition) -> list[Delivery]:
        """Take out what waits and belongs to the partition."""
        purged = self.lanes.purge(lambda d: d.partition is partition, lambda d: d.lane)
        self.nudge()
        return purged

    @abstractmethod
    def start(self) -> None:
        """Be ready. Called within a task, unlike all else."""

    @abstractmethod
    def nudge(self) -> None:
        """There may be something to run."""

    @abstractmethod
    def watch(self, now: float) -> None:
        """Deal with attempts that have run for too long; ``now`` is the monotonic clock's."""

    @abstractmethod
    def close(self) -> None:
        """No more work will come."""


@dataclass(slots=True, eq=False)
class RunningHandler:
    """One handler in one process, with all that its deliveries need to run and to end."""

    declaration: Declaration
    group: str
    cluster: str
    crew: Crew
    publisher: Publisher
    timers: Timers

"""One assigned partition, as the event loop sees it: how far it is, and who is at work on it."""

from __future__ import annotations

from collections.abc import Hashable
from typing import TYPE_CHECKING, Final

from mq.app.lanes import Intake
from mq.app.progress import Progress, write_note
from mq.app.retry import Tier
from mq.client.consumer import Commit, RawMessage
from mq.record import TopicPartition

if TYPE_CHECKING:
    from mq.app.crew import RunningHandler
    from mq.app.delivery import Delivery
    from mq.app.group import Group
    from mq.app.timers import Timer

__all__ = ["BEGINNING", "COUNT_FIELD", "Partition"]

BEGINNING: Final = -2
"""librdkafka's name for the first offset there is, whichever that is."""


NOWHERE: Final = -1

COUNT_FIELD: Final = "n"
"""The field of a commit's note that tells how many partitions the topic had then."""


class Partition:
    """A partition of a source topic, or (with a ``tier``) of one of its retry topics.

    It is *closing* from the moment it is to be given up: nothing new starts, and what rests hops.
    It is *fenced* once it is given up: what still runs ends without a trace.
    """

    __slots__ = (
        "busy",
        "closing",
        "committed",
        "fenced",
        "first_offset",
        "group",
        "handlers",
        "has_moved",
        "intake",
        "lane",
        "number",
        "progress",
        "resting",
        "sole_handler",
        "source",
        "tier",
        "topic",
        "waiting",
    )

    def __init__(
        self,
        group: Group,
        source: TopicPartition,
        topic: str,
        offset: int,
        intake: Intake,
        tier: Tier | None = None,
    ) -> None:
        self.group = group
        self.source = source
        self.topic = topic
        self.number = source.partition
        self.tier = tier
        self.intake = intake
        self.handlers: tuple[RunningHandler, ...] = group.handlers_by_topic[topic]
        only = self.handlers[0]
        self.sole_handler = None if len(self.handlers) > 1 or only.declaration.match else only
        self.progress = Progress(max(offset, 0))
        self.first_offset = self.progress.committable
        self.committed: int | None = None if offset < 0 else offset  # None: never
        self.lane = (topic, source.partition)  # of keyless records; a retry shares its source's
        self.has_moved = False
        self.closing = self.fenced = False
        self.busy = 0  # deliveries that have started and not ended
        self.resting: dict[Delivery, Timer] = {}
        self.waiting: dict[int, tuple[Timer, int]] = {}  # not yet due: by offset, with their sizes

    def lane_of(self, handler: RunningHandler, raw: RawMessage) -> Hashable | None:
        """What a record has to keep its order with."""
        order = handler.crew.order
        key = raw.key() if order == "key" else None
        return self.lane if key is None and order != "none" else key

    def finish(self, offset: int, size: int) -> None:
        """A record is dealt with, and its delivery over."""
        self.intake.finished(size)
        group = self.group
        group.finished += 1
        if self.progress.finish(offset) and not self.has_moved:
            self._move()
        self.busy -= 1
        if self.closing:
            self._idle()

    def ended(self) -> None:
        """A delivery that had started is over and unfinished."""
        self.busy -= 1
        if self.closing:
            self._idle()

    def _idle(self) -> None:
        if self.busy == 0:
            self.group.went_idle(self)

    def close(self) -> None:
        """Start nothing more. What never started is forgotten, what has failed hops away."""
        if self.closing:
            return
        self.closing = True
        for timer, size in self.waiting.values():
            timer.cancel()
            self.intake.finished(size)
        self.waiting.clear()
        for delivery, timer in list(self.resting.items()):
            timer.cancel()
            delivery.wake()
        for handler in self.handlers:
            for delivery in handler.crew.purge(self):
                delivery.purged()

    def fence(self) -> None:
        """Others may have it now: nothing that is still at work counts."""
        self.fenced = True
        self.close()

    def reach(self, offset: int) -> None:
        """There is nothing before this offset that is yet to come."""
        if self.progress.reach(offset):
            self._move()

    def commit(self) -> Commit | None:
        """What is to be committed; None if nothing has moved since."""
        self.has_moved = False
        offset = self.progress.committable
        if offset == (self.first_offset if self.committed is None else self.committed):
            return None
        self.committed = offset
        return self._commit(offset)

    def last_commit(self) -> Commit | None:
        """What is to be committed before it is given up.

        What was asked for earlier may still be on its way, or be refused, and counts for nothing.
        """
        offset = self.progress.committable
        return None if offset == self.first_offset else self._commit(offset)

    def _commit(self, offset: int) -> Commit:
        count = self.group.topology.partitions_of(self.topic)
        return Commit(self.source, offset, write_note({COUNT_FIELD: str(count)}))

    def commit_again(self) -> None:
        """Its last commit was refused, or is to be renewed."""
        if self.committed is not None:
            self.committed = NOWHERE
            self._move()

    def commit_first(self) -> None:
        """It begins where nothing was ever committed, and that place must not be chosen again."""
        self.committed = NOWHERE
        self._move()

    def _move(self) -> None:
        if not self.has_moved:
            self.has_moved = True
            self.group.moved.append(self)

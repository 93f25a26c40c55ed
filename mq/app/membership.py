"""A group's member consumer: what it does when partitions come and go.

Everything here runs on the consumer's thread; the event loop hears of it through the mailbox, in
order: that a partition was assigned before its first record, and of its revocation after the last.
The set of owned partitions belongs to the thread, so nothing is committed for a partition that was
lost, whatever the event loop has asked for meanwhile.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal

from mq.app.lanes import Intake, Throttle
from mq.app.partition import BEGINNING, COUNT_FIELD
from mq.app.progress import read_note
from mq.client.consumer import Commit, Consumer, RawMessage
from mq.client.mailbox import Mailbox
from mq.errors import MqError
from mq.record import TopicPartition

if TYPE_CHECKING:
    from mq.app.group import Group
    from mq.app.topology import Topology

__all__ = ["Membership", "Revocation"]

logger = logging.getLogger("mq.app")

ASK_AGAIN: Final = 3
"""How often the committed offsets are asked for before the member gives up."""

ASK_AGAIN_S: Final = 0.3
"""How long the member waits before it asks for the second time; then longer."""

ANSWER_SLACK_S: Final = 1.0
"""How long beyond its drain the event loop may take to answer a revocation."""


@dataclass(slots=True, eq=False)
class Revocation:
    """Partitions that are to be given up. The event loop fills in ``commits`` and sets ``done``."""

    partitions: list[TopicPartition]
    commits: list[Commit] = field(default_factory=list)
    done: threading.Event = field(default_factory=threading.Event)


class Membership:
    """The listener of the consumer that subscribes to the source topics."""

    def __init__(
        self,
        group: Group,
        mailbox: Mailbox,
        *,
        intakes: Mapping[str, Intake],
        starts: Mapping[str, Literal["earliest", "latest"]],
        topology: Topology,
        revoke_s: float,
    ) -> None:
        self.consumer: Consumer
        self.revoke_s = revoke_s
        self.draining = False  # set by the event loop: let nothing more come in
        self._group = group
        self._mailbox = mailbox
        self._intakes = intakes
        self._throttle = Throttle(list(intakes.values()))
        self._starts = starts
        self._topology = topology
        self._owned: set[TopicPartition] = set()
        self._source_of: dict[str, str] = {}  # the source of each retry topic

    # what may come

    def may_poll(self) -> bool:
        """See :class:`mq.client.consumer.Listener`, also for all that follows."""
        return self.draining or self._throttle.may_fetch(time.monotonic())

    def is_paused(self, partition: TopicPartition) -> bool:
        return self.draining or self._intakes[partition.topic] in self._throttle.paused

    def received(self, messages: list[RawMessage]) -> None:
        records = [message for message in messages if message.error() is None]
        if records:
            self._count(records)
            self._mailbox.post(self._group.admit, records)
        if len(records) < len(messages):
            events = [message for message in messages if message.error() is not None]
            self._mailbox.post(self._group.look_at, events)

    def _count(self, records: list[RawMessage]) -> None:
        intakes = self._intakes
        if len(intakes) == 1:
            (intake,) = intakes.values()
            intake.fetched(len(records), sum(map(len, records)))
        else:
            for record in records:
                intakes[record.topic() or ""].fetched(1, len(record))

    # partitions

    def assigned(self, partitions: list[TopicPartition]) -> dict[TopicPartition, int]:
        retries = self._retries_of(partitions)
        commits = self._commits([*partitions, *retries])
        fresh = [partition for partition in partitions if partition not in commits]
        offsets = {each.partition: each.offset for each in commits.values()}
        offsets.update({partition: BEGINNING for partition in retries if partition not in commits})
        offsets.update({partition: self._start(partition) for partition in fresh})
        self._owned.update(partitions)
        self._mailbox.post(self._group.assigned, offsets, fresh)
        return {partition: offsets[partition] for partition in partitions}

    def revoked(self, partitions: list[TopicPartition]) -> list[Commit]:
        revocation = Revocation(partitions)
        self._mailbox.post(self._group.revoke, revocation, self.revoke_s)
        if not revocation.done.wait(self.revoke_s + ANSWER_SLACK_S):
            logger.error(
                "%s: the event loop is blocked, so %s go without a last commit",
                *(self._group.name, _listed(partitions)),
            )
        return revocation.commits

    def released(self, partitions: list[TopicPartition]) -> None:
        self._owned.difference_update(partitions)

    def lost(self, partitions: list[TopicPartition]) -> None:
        self._owned.difference_update(partitions)
        self._mailbox.post(self._group.lost, partitions)

    def assign_retries(self) -> None:
        """Read retry partitions that came into being after their source was assigned."""
        retries = self._retries_of(sorted(self._owned))
        commits = self._commits(retries)
        offsets = {
            partition: commits[partition].offset if partition in commits else BEGINNING
            for partition in retries
        }
        self._mailbox.post(self._group.assigned, offsets, [])

    def _retries_of(self, partitions: Sequence[TopicPartition]) -> list[TopicPartition]:
        """The partitions of the same numbers in the retry topics."""
        found = []
        for topic, number in partitions:
            for retry in self._topology.retry_topics(self._group.name, topic):
                self._source_of[retry.name] = topic
                if number < retry.partitions:
                    found.append(TopicPartition(retry.name, number))
        return found

    def _commits(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, Commit]:
        for attempt in range(1, ASK_AGAIN + 1):
            try:
                return self.consumer.commits(partitions)
            except MqError as error:
                if attempt == ASK_AGAIN:
                    raise
                logger.warning("%s; asking again", error)
                time.sleep(ASK_AGAIN_S * attempt)
        raise AssertionError("unreachable")

    def _start(self, partition: TopicPartition) -> int:
        """Where a partition begins that was never committed.

        "latest" is for a group that is new to the topic. A partition that was added to a topic
        which the group knew without it is read from its first record, for nobody else reads it.
        """
        topic, number = partition
        if self._starts[topic] == "earliest":
            return BEGINNING
        known = self._topology.partitions_of(topic)
        siblings = self._commits(TopicPartition(topic, other) for other in range(known))
        counts = [read_note(each.note).get(COUNT_FIELD, "") for each in siblings.values()]
        if any(count.isdecimal() and int(count) <= number for count in counts):
            return BEGINNING
        return self.consumer.edges(partition)[1]

    def may_commit(self, partition: TopicPartition) -> bool:
        topic = self._source_of.get(partition.topic, partition.topic)
        return TopicPartition(topic, partition.partition) in self._owned

    # news

    def committed(self, error: MqError | None) -> None:
        self._mailbox.post(self._group.committed, error)

    def joined(self, member_id: str) -> None:
        self._mailbox.post(self._group.joined, member_id)

    def failed(self, error: MqError) -> None:
        logger.warning("%s: %s", self._group.name, error)

    def ended(self, error: BaseException | None) -> None:
        self._mailbox.post(self._group.ended, error)


def _listed(partitions: Sequence[TopicPartition]) -> str:
    return ", ".join(str(partition) for partition in partitions)

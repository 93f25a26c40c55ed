"""One consumer group in this process: records come in, finished offsets go out.

Lives on the event loop and holds the table of assigned partitions. Its two consumers, the member
and the reader of retries, live in their threads and reach it through the mailbox alone.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Mapping
from typing import Final

import anyio
from confluent_kafka import KafkaError as RawError

from mq.app.crew import RunningHandler
from mq.app.delivery import Delivery
from mq.app.drains import Drains
from mq.app.lanes import Intake
from mq.app.membership import Membership, Revocation
from mq.app.partition import Partition
from mq.app.provenance import Hop
from mq.app.retries import Retries
from mq.app.surroundings import Surroundings
from mq.client.connection import leave_group
from mq.client.consumer import Consumer, Prefetch, RawMessage
from mq.client.faults import translate
from mq.errors import MqError
from mq.record import TopicPartition

__all__ = ["Group", "UnmatchedError"]

logger = logging.getLogger("mq.app")

COMMIT_RECORDS: Final = 1_000
"""So many finished records are committed without waiting for the clock."""

LEAVE_S: Final = 2.0
"""How long saying goodbye to a group may take; its session timeout does the same, later."""

PREFETCH_RECORDS: Final = 2_000
RENEW_S: Final = 86_400.0
"""Kafka forgets offsets of topics that a group does not subscribe to, such as its retry topics,
some days after their last commit; so they are committed again."""


class UnmatchedError(MqError):
    """No handler of the group takes the record. Widen a ``match``, or set ``unmatched="drop"``."""


class Group:
    """The work of one consumer group."""

    def __init__(
        self,
        name: str,
        handlers: Iterable[RunningHandler],
        intakes: Mapping[str, Intake],
        surroundings: Surroundings,
    ) -> None:
        self.name = name
        self.handlers = list(handlers)
        self.finished = 0  # records since the last commit
        self.timers = surroundings.timers
        self.topology = surroundings.topology
        self._surroundings = surroundings
        self._intakes = intakes
        self.handlers_by_topic = {
            topic: tuple(h for h in self.handlers if topic in h.declaration.topics)
            for topic in intakes
        }
        self._partitions: dict[tuple[str, int], Partition] = {}
        self.moved: list[Partition] = []  # more of them may be committed than is
        self._committing = False
        self._drains = Drains(self.timers)
        self._consumers_left = 2
        self._member_id = ""
        self._over = anyio.Event()
        self._membership = self._join()
        self._retries = Retries(
            self, surroundings.endpoint, surroundings.mailbox, surroundings.limits
        )

    def _join(self) -> Membership:
        around = self._surroundings
        starts = {
            t: handlers[0].declaration.options.start
            for t, handlers in self.handlers_by_topic.items()
        }
        membership = Membership(
            self,
            around.mailbox,
            intakes=self._intakes,
            starts=starts,
            topology=around.topology,
            revoke_s=around.limits.revoke_s,
        )
        kbytes = sum(intake.bytes_max for intake in self._intakes.values()) // 1024
        records = min(intake.records_max for intake in self._intakes.values())
        membership.consumer = Consumer(
            around.endpoint,
            self.name,
            membership,
            protocol=around.protocol,
            prefetch=Prefetch(min(records, PREFETCH_RECORDS), max(kbytes, 64)),
        )
        return membership

    def start(self) -> None:
        """Join the group and begin to read."""
        self._membership.consumer.subscribe(sorted(self._intakes))
        self._membership.consumer.start()
        self._retries.consumer.start()
        self.timers.after(RENEW_S, self._renew)

    # records come in

    def admit(self, records: list[RawMessage]) -> None:
        """Put records of the sources into their lanes."""
        partition: Partition | None = None
        topic, number = None, None
        for raw in records:
            if raw.partition() != number or raw.topic() != topic:
                topic, number = raw.topic(), raw.partition()
                partition = self._partitions.get((topic or "", number or 0))
            offset = raw.offset() or 0
            if partition is None or partition.closing or not partition.progress.begin(offset):
                self._intakes[topic or ""].finished(len(raw))
                continue
            handler = partition.sole_handler or self.handler_for(partition, raw)
            if handler is None:
                self.unmatched(partition, raw, offset, None)
                continue
            lane = partition.lane_of(handler, raw)
            handler.crew.lanes.enter(Delivery(handler, partition, raw, offset, lane), lane)
        for handler in self.handlers:
            handler.crew.nudge()
        if self.finished >= COMMIT_RECORDS:
            self.commit()

    def handler_for(self, partition: Partition, raw: RawMessage) -> RunningHandler | None:
        """Whose record it is, by its headers."""
        headers = raw.headers()
        for handler in partition.handlers:
            if handler.declaration.matches(headers):  # type: ignore[arg-type]  # they are bytes
                return handler
        return None

    def unmatched(
        self, partition: Partition, raw: RawMessage, offset: int, hop: Hop | None
    ) -> None:
        """A record that nobody handles is dead, or dropped if that was declared."""
        handler = partition.handlers[0]
        if handler.declaration.options.unmatched == "drop":
            partition.busy += 1
            partition.finish(offset, len(raw))
            return
        delivery = Delivery(handler, partition, raw, offset, None, hop)
        delivery.refused(UnmatchedError(f"no handler of {self.name} matches the record's headers"))

    def look_at(self, events: list[RawMessage]) -> None:
        """Ends of partitions, and errors."""
        for event in events:
            error = event.error()
            assert error is not None
            place = TopicPartition(event.topic() or "", event.partition() or 0)
            partition = self._partitions.get(place)
            if error.code() == RawError._PARTITION_EOF:
                # one that is closing has turned records away: they are before the end and undone
                if partition is not None and not partition.closing:
                    partition.reach(event.offset() or 0)
                continue
            told = translate(error, f"{self.name}, {place}" if event.topic() else self.name)
            if error.fatal() or error.code() in _HOPELESS:
                self._surroundings.supervision.fail(told)
            elif error.code() == RawError._AUTO_OFFSET_RESET:
                logger.error(
                    "%s; its committed offset is no longer there, so nothing more is read of it "
                    "until the group's offset is set",
                    told,
                )
            else:
                logger.error("%s", told)

    # partitions come and go

    def partition(self, source: TopicPartition) -> Partition | None:
        """The partition, if it is assigned."""
        return self._partitions.get(source)

    def assigned(
        self, offsets: Mapping[TopicPartition, int], fresh: Collection[TopicPartition]
    ) -> None:
        """Partitions came, of sources and of their retry topics; ``fresh``: never committed."""
        retry_topics = {
            retry.name: (topic, retry.tier)
            for topic in self._intakes
            for retry in self.topology.retry_topics(self.name, topic)
        }
        for source in offsets:  # it comes back while its last time is still being ended
            if (known := self._partitions.get(source)) is not None and known.closing:
                self._forget(known)
        new = {s: offset for s, offset in offsets.items() if s not in self._partitions}
        self._retries.assign({s: offset for s, offset in new.items() if s.topic in retry_topics})
        for source, offset in new.items():
            topic, tier = retry_topics.get(source.topic, (source.topic, None))
            intake = self._retries.intake_of(source) or self._intakes[topic]
            partition = Partition(self, source, topic, offset, intake, tier)
            self._partitions[source] = partition
            if source in fresh and offset >= 0:
                partition.commit_first()
            if self._membership.draining:
                partition.close()
        logger.info("%s reads %s", self.name, _listed(s for s in new if s.topic in self._intakes))
        self._look_for_growth(offsets)

    def _look_for_growth(self, offsets: Mapping[TopicPartition, int]) -> None:
        """A new partition of a source needs partners in the retry topics."""
        for topic, number in offsets:
            if topic in self._intakes and number >= self.topology.partitions_of(topic):
                self._surroundings.supervision.grow()
                return

    def grown(self) -> None:
        """Retry topics got new partitions."""
        self._membership.consumer.order(self._membership.assign_retries)

    def revoke(self, revocation: Revocation, within_s: float) -> None:
        """Give partitions up once what runs has ended, or the time is over."""
        partitions = self._with_retries(revocation.partitions)
        logger.info("%s gives up %s", self.name, _listed(revocation.partitions))
        self._retries.unassign({p.source for p in partitions if p.tier is not None})

        def give_up() -> None:
            for partition in partitions:
                if commit := partition.last_commit():
                    revocation.commits.append(commit)
                self._forget(partition)
            revocation.done.set()

        self._drains.begin(partitions, within_s, give_up)

    def lost(self, sources: Collection[TopicPartition]) -> None:
        """Partitions belong to others already."""
        partitions = self._with_retries(sources)
        logger.warning("%s lost %s", self.name, _listed(sources))
        self._retries.unassign({p.source for p in partitions if p.tier is not None})
        for partition in partitions:
            self._forget(partition)

    def _with_retries(self, sources: Collection[TopicPartition]) -> list[Partition]:
        wanted = set(sources)
        return [
            partition
            for partition in self._partitions.values()
            if TopicPartition(partition.topic, partition.number) in wanted
        ]

    def _forget(self, partition: Partition) -> None:
        partition.fence()
        if self._partitions.get(partition.source) is partition:
            del self._partitions[partition.source]

    def went_idle(self, partition: Partition) -> None:
        """The last running delivery of a closing partition has ended."""
        self._drains.went_idle(partition)

    # finished offsets go out

    def commit(self) -> None:
        """Commit what has moved. One request at a time: the next one will carry what came since."""
        if self._committing or not self.moved:
            return
        moved, self.moved = self.moved, []
        self.finished = 0
        ours = (partition for partition in moved if not partition.fenced)
        commits = [commit for partition in ours if (commit := partition.commit())]
        if commits:
            self._committing = True
            self._membership.consumer.commit(commits)

    def committed(self, error: MqError | None) -> None:
        """The outcome of the last commit."""
        self._committing = False
        if error is not None:
            logger.warning("%s; to be tried again", error)
            self._commit_all_again()

    def _renew(self) -> None:
        self._commit_all_again()
        self.timers.after(RENEW_S, self._renew)

    def _commit_all_again(self) -> None:
        for partition in self._partitions.values():
            partition.commit_again()

    def could_not_forward(self) -> None:
        """A hop failed; perhaps its topic lacks the partition."""
        self._surroundings.supervision.grow()

    # the end

    async def drain(self, within_s: float) -> None:
        """Start nothing more, and wait until what runs has ended or the time is over."""
        self._membership.draining = True
        idle = anyio.Event()
        self._drains.begin(list(self._partitions.values()), within_s, idle.set)
        await idle.wait()

    async def leave(self) -> None:
        """Commit what is finished and leave the group. Whatever still runs is left to itself."""
        self._membership.draining = True
        self._membership.revoke_s = 0.0
        self._membership.consumer.stop()
        self._retries.consumer.stop()
        await self._over.wait()
        await self._take_leave()

    async def _take_leave(self) -> None:
        """Make sure that nobody waits for us: librdkafka says nothing while it is joining."""
        if not self._member_id:
            return
        bootstrap = self._surroundings.endpoint.bootstrap
        with anyio.move_on_after(LEAVE_S):
            try:
                await leave_group(bootstrap, self.name, self._member_id)
            except (MqError, OSError) as error:
                logger.info("%s: our session has to expire: %s", self.name, error)

    def joined(self, member_id: str) -> None:
        """We are a member of the group."""
        self._member_id = member_id
        self._surroundings.on_member(self.name, member_id)

    def ended(self, error: BaseException | None) -> None:
        """One of the two consumers is gone."""
        if error is not None:
            self._surroundings.supervision.fail(error)
        self._consumers_left -= 1
        if self._consumers_left == 0:
            self._over.set()


# librdkafka would try these for ever, and they stay as they are until a person does something.
_HOPELESS: Final = frozenset(
    {
        RawError.TOPIC_AUTHORIZATION_FAILED,
        RawError.GROUP_AUTHORIZATION_FAILED,
        RawError.CLUSTER_AUTHORIZATION_FAILED,
        RawError.SASL_AUTHENTICATION_FAILED,
        RawError._AUTHENTICATION,
        RawError.INVALID_GROUP_ID,
        RawError.UNSUPPORTED_ASSIGNOR,
        RawError.INCONSISTENT_GROUP_PROTOCOL,
        RawError.GROUP_MAX_SIZE_REACHED,
    }
)


def _listed(partitions: Iterable[TopicPartition]) -> str:
    """Partitions as people read them: ``orders-0,1,2``."""
    numbers: dict[str, list[int]] = {}
    for topic, number in sorted(partitions):
        numbers.setdefault(topic, []).append(number)
    return (
        " ".join(f"{topic}-{','.join(map(str, ns))}" for topic, ns in numbers.items()) or "nothing"
    )

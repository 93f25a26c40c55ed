"""The second consumer of a group: it reads the retry topics and holds records until they are due.

It is assigned, never a member, and reads the retry partitions whose numbers the member owns in the
source. Had the group one consumer for both, a retry that is due would wait behind everything that
is prefetched of the source.

Records wait in memory, each with its own timer, so the order in which they were written does not
matter. A partition with too many waiting is paused; one that lies further ahead than its tier hops
on to a longer one, so no topic needs to keep records for longer than its tier says.

The listener runs on the consumer's thread, :class:`Retries` on the event loop.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Mapping
from functools import partial
from typing import TYPE_CHECKING, Final

from mq.app.delivery import Delivery
from mq.app.identity import place_id
from mq.app.lanes import Intake
from mq.app.limits import Limits
from mq.app.partition import Partition
from mq.app.provenance import Hop
from mq.client.consumer import Commit, Consumer, Prefetch, RawMessage
from mq.client.endpoint import Endpoint
from mq.client.mailbox import Mailbox
from mq.errors import MqError
from mq.record import TopicPartition

if TYPE_CHECKING:
    from mq.app.group import Group

__all__ = ["Retries"]

logger = logging.getLogger("mq.app")

SHARE_BYTES_MIN: Final = 1024 * 1024
PREFETCH: Final = Prefetch(records=1_000, kbytes=16 * 1024)

TIER_STRETCH: Final = 1.1
"""A record whose delay exceeds its tier by less than this stays where it is."""


class Retries:
    """What a group has waiting for its next attempt."""

    def __init__(self, group: Group, endpoint: Endpoint, mailbox: Mailbox, limits: Limits) -> None:
        self._group = group
        self._limits = limits
        self._intakes: dict[TopicPartition, Intake] = {}
        self._listener = _Listener(self, mailbox, group.name)
        self.consumer = Consumer(
            endpoint, group.name, self._listener, protocol=None, prefetch=PREFETCH
        )

    def assign(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Read these partitions."""
        fresh = {partition: Intake(self._limits.retries_waiting, 0) for partition in offsets}
        self._intakes = {**self._intakes, **fresh}
        self._share_out()
        self.consumer.order(lambda: self._listener.reads.update(fresh))
        self.consumer.assign(dict(offsets))

    def unassign(self, partitions: Collection[TopicPartition]) -> None:
        """Read these partitions no longer."""
        gone = list(partitions)
        self.consumer.unassign(gone)
        self.consumer.order(lambda: self._listener.forget(gone))
        self._intakes = {p: i for p, i in self._intakes.items() if p not in partitions}
        self._share_out()

    def intake_of(self, partition: TopicPartition) -> Intake | None:
        """What is inside of a partition. None if it is not assigned."""
        return self._intakes.get(partition)

    def _share_out(self) -> None:
        """Every partition may keep as many bytes: a slow tier must not crowd a quick one out."""
        share = self._limits.bytes_in_flight // max(len(self._intakes), 1)
        for intake in self._intakes.values():
            intake.bytes_max = max(share, SHARE_BYTES_MIN)

    def admit(self, records: list[tuple[RawMessage, Intake]]) -> None:
        """Take over records that the consumer has read."""
        now = time.time_ns() // 1_000_000
        for raw, intake in records:
            source = TopicPartition(raw.topic() or "", raw.partition() or 0)
            partition = self._group.partition(source)
            offset = raw.offset() or 0
            if partition is None or partition.closing or partition.intake is not intake:
                continue  # it was given up meanwhile, and its intake with it
            if partition.progress.begin(offset):
                self._hold(partition, raw, offset, now)
            else:
                intake.finished(len(raw))

    def _hold(self, partition: Partition, raw: RawMessage, offset: int, now: int) -> None:
        """Keep a record until it is due, or until it has to hop on."""
        hop = self._read(partition, raw, offset)
        delay_s = (hop.due_at - now) / 1000
        assert partition.tier is not None
        hops_on = delay_s > partition.tier.seconds * TIER_STRETCH
        end = partial(self._leave, partition, raw, offset, hop, hops_on)
        if delay_s <= 0:
            end()
            return
        wait_s = partition.tier.seconds if hops_on else delay_s
        timer = self._group.timers.after(wait_s, end)
        partition.waiting[offset] = (timer, len(raw))

    def _leave(
        self, partition: Partition, raw: RawMessage, offset: int, hop: Hop, hops_on: bool
    ) -> None:
        """The wait is over."""
        partition.waiting.pop(offset, None)
        handler = self._group.handler_for(partition, raw)
        if handler is None:
            self._group.unmatched(partition, raw, offset, hop)
            return
        delivery = Delivery(handler, partition, raw, offset, partition.lane_of(handler, raw), hop)
        if hops_on:
            delivery.hop_again()
        else:
            handler.crew.enter_first(delivery)

    def _read(self, partition: Partition, raw: RawMessage, offset: int) -> Hop:
        """The record's provenance; a record that has none was put here by hand and is due now."""
        group = self._group
        stranger = Hop(
            id=place_id(group.topology.cluster, *partition.source, offset),
            topic=partition.topic,
            partition=partition.number,
            offset=offset,
            timestamp=raw.timestamp()[1],
            group=group.name,
            handler="",
        )
        return Hop.read(raw.headers(), stranger)  # type: ignore[arg-type]  # they are bytes

    # news of the consumer, on the event loop

    def look_at(self, events: list[tuple[RawMessage, Intake | None]]) -> None:
        """Ends of partitions and errors, unless they are of an earlier time with the partition."""
        current = []
        for event, intake in events:
            place = TopicPartition(event.topic() or "", event.partition() or 0)
            partition = self._group.partition(place)
            if partition is None or partition.intake is intake:
                current.append(event)
        self._group.look_at(current)

    def ended(self, error: BaseException | None) -> None:
        """The consumer is gone."""
        self._group.ended(error)


class _Listener:
    """The consumer's thread. It is no member, so nothing is assigned, revoked or committed.

    ``reads`` is what the consumer reads at this moment. It changes on this thread alone, in order
    with the assignments, so no record is taken for one of a later time with its partition.
    """

    def __init__(self, retries: Retries, mailbox: Mailbox, group: str) -> None:
        self.reads: dict[TopicPartition, Intake] = {}
        self._retries = retries
        self._mailbox = mailbox
        self._group = group
        self._paused: set[TopicPartition] = set()

    def forget(self, partitions: Collection[TopicPartition]) -> None:
        """These partitions are no longer read."""
        for partition in partitions:
            self.reads.pop(partition, None)

    def may_poll(self) -> bool:
        return True

    def is_paused(self, partition: TopicPartition) -> bool:
        intake = self.reads.get(partition)
        if intake is None:
            return True
        if partition in self._paused and intake.half_empty:
            self._paused.discard(partition)
        elif intake.full:
            self._paused.add(partition)
        return partition in self._paused

    def received(self, messages: list[RawMessage]) -> None:
        records, events = [], []
        for message in messages:
            place = TopicPartition(message.topic() or "", message.partition() or 0)
            intake = self.reads.get(place)
            if message.error() is not None:
                events.append((message, intake))
            elif intake is not None:
                intake.fetched(1, len(message))
                records.append((message, intake))
        if records:
            self._mailbox.post(self._retries.admit, records)
        if events:
            self._mailbox.post(self._retries.look_at, events)

    def assigned(self, partitions: list[TopicPartition]) -> dict[TopicPartition, int]:
        raise AssertionError(f"not a member, but given {partitions}")

    def revoked(self, partitions: list[TopicPartition]) -> list[Commit]:  # noqa: ARG002
        return []

    def released(self, partitions: list[TopicPartition]) -> None:
        pass

    def lost(self, partitions: list[TopicPartition]) -> None:
        pass

    def may_commit(self, partition: TopicPartition) -> bool:  # noqa: ARG002
        return False

    def committed(self, error: MqError | None) -> None:
        pass

    def joined(self, member_id: str) -> None:
        pass

    def failed(self, error: MqError) -> None:
        logger.warning("%s: %s", self._group, error)

    def ended(self, error: BaseException | None) -> None:
        self._mailbox.post(self._retries.ended, error)

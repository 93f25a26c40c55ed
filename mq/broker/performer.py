"""Gives a machine requests and time, and performs what it asks for.

:mod:`mq.coordinators.effects` is the agreement between a machine and its owner; this is the owner's
side of it, the same for every coordinator that keeps its state in the partitions of a topic of its
own. That topic is made when the first record is to be written.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from mq.broker.catalog import OFFSETS_TOPIC, Topic
from mq.broker.replay import Damaged, replay
from mq.broker.waiting import Timer
from mq.coordinators.effects import Effects, Ending, Now, Reply, RequestContext
from mq.errors import ErrorCode, KafkaError
from mq.log.partition import Partition
from mq.log.transactions import Marker
from mq.wire.batch import (
    NO_PRODUCER,
    TRANSACTIONAL,
    BatchHeader,
    BatchRecord,
    Producer,
    decode_batch,
    encode_batch,
)

if TYPE_CHECKING:
    from mq.broker.broker import Broker

__all__ = ["Machine", "Performer"]

logger = logging.getLogger("mq.broker")

_NO_SEQUENCE = -1


class Machine(Protocol):
    """The verbs of a machine, as its owner needs them."""

    def handle(
        self, request: Any, context: RequestContext, token: int, now: Now
    ) -> list[Effects]: ...

    def apply(
        self, partition: int, key: bytes, value: bytes | None, producer_id: int
    ) -> str | None:
        """``producer_id`` is -1 unless the record is part of that producer's transaction."""

    def refused(self, effects: Effects, now: Now) -> list[Effects]: ...

    def deadline(self) -> int | None: ...

    def tick(self, now: Now) -> list[Effects]: ...


class Performer:
    """One machine over the partitions of its state topic.

    Args:
        topic: the name of the state topic.
        make_topic: gives the topic, made if it does not exist; raises KafkaError.
        stored: the machine's verb, if its effects ever name a ``then``.
        ended: called in a replay with the partition, the producer id, and whether a transaction of
            that producer was committed, if there are transactions in the topic.
    """

    def __init__(
        self,
        broker: Broker,
        machine: Machine,
        topic: str,
        make_topic: Callable[[], Topic],
        *,
        stored: Callable[[Any, Now], list[Effects]] | None = None,
        ended: Callable[[int, int, bool], None] | None = None,
    ) -> None:
        self._broker = broker
        self._machine = machine
        self._topic = topic
        self._make_topic = make_topic
        self._stored = stored
        self._ended = ended
        self._waiting: dict[int, Callable[[Any], None]] = {}
        self._last_token = 0
        self._timer: Timer | None = None
        self._due_ms: int | None = None

    def ask(self, request: Any, context: RequestContext, then: Callable[[Any], None]) -> None:
        """Hand over a request; ``then`` is called with the answer, now or later, exactly once."""
        self._last_token += 1
        self._waiting[self._last_token] = then
        now = self._broker.now()
        self.perform(self._machine.handle(request, context, self._last_token, now), now)

    def replay(self) -> None:
        """Bring the machine to where its records were when the process ended."""
        topic = self._broker.catalog.topics.get(self._topic)
        for partition in self._broker.partitions.existing(topic) if topic else ():
            try:
                replay(
                    partition,
                    partial(self._apply, partition.index, producer_id=NO_PRODUCER.id),
                    partial(self._replay, partition.index),
                )
            except Damaged as error:
                raise self._broker.damaged(partition, error.offset) from error

    def _replay(self, partition: int, header: BatchHeader, batch: bytes) -> None:
        if header.is_control:
            marker = Marker.decode(batch)
            if marker is not None and self._ended is not None:
                self._ended(partition, marker.producer_id, marker.commit)
            return
        producer_id = header.producer_id if header.is_transactional else NO_PRODUCER.id
        for record in decode_batch(batch):
            self._apply(partition, record.key or b"", record.value, producer_id)

    def perform(self, steps: Iterable[Effects], now: Now) -> None:
        """Do what the machine asks for, in its order."""
        for effects in steps:
            if self._store(effects, now):
                self._answer(effects)
        self._set_timer()

    def close(self) -> None:
        """Let no more time pass."""
        if self._timer is not None:
            self._timer.cancel()

    # --- performing ------------------------------------------------------------------------------

    def _store(self, effects: Effects, now: Now) -> bool:
        """Append and apply; if a log refuses, say so instead."""
        try:
            if effects.append:
                self._append(effects, now)
            if effects.ending is not None:
                self._end(effects.ending, self._log_of(effects).leader_epoch)
        except KafkaError as error:
            logger.error("%s: a coordinator's state could not be stored: %s", self._topic, error)
            self._send(effects.otherwise)
            self.perform(self._machine.refused(effects, now), now)
            return False
        return True

    def _append(self, effects: Effects, now: Now) -> None:
        records = [
            BatchRecord(record.key, record.value, timestamp=now.wall_ms)
            for record in effects.append
        ]
        producer, attributes = NO_PRODUCER, 0
        if effects.producer is not None:
            producer, attributes = Producer(*effects.producer, _NO_SEQUENCE), TRANSACTIONAL
        batch = encode_batch(records, attributes=attributes, producer=producer)
        self._broker.append(self._log_of(effects), batch, client=False)
        for record in effects.append:
            self._apply(effects.partition, record.key, record.value, producer.id)

    def _log_of(self, effects: Effects) -> Partition:
        return self._broker.partitions.of(self._make_topic(), effects.partition)

    def _apply(self, partition: int, key: bytes, value: bytes | None, producer_id: int) -> None:
        unknown = self._machine.apply(partition, key, value, producer_id)
        if unknown is not None:
            logger.warning("%s: skipped %s", self._topic, unknown)

    def _end(self, ending: Ending, coordinator_epoch: int) -> None:
        """Write the markers of a transaction; partitions that are deleted need none."""
        marker = Marker(ending.producer_id, ending.producer_epoch, coordinator_epoch, ending.commit)
        for partition in self._touched(ending):
            try:
                self._broker.append_marker(partition, marker)
            except KafkaError as error:
                if error.code == ErrorCode.KAFKA_STORAGE_ERROR:
                    raise
                logger.error("%s takes no marker: %s", partition, error)
                continue
            if partition.topic == OFFSETS_TOPIC:
                self._broker.groups.transaction_ended(
                    partition.index, marker.producer_id, marker.commit
                )

    def _touched(self, ending: Ending) -> Iterator[Partition]:
        for name, index in sorted(ending.partitions):
            if self._broker.catalog.has_partition(name, index):
                yield self._broker.partitions.by_name(name, index)

    def _answer(self, effects: Effects) -> None:
        if not effects.replies and effects.then is None:
            return

        def outcome(failed: Mapping[Partition, ErrorCode]) -> None:
            # A topic that was deleted while its markers were written needs them no longer.
            lost = any(
                partition.topic == self._topic or code == ErrorCode.KAFKA_STORAGE_ERROR
                for partition, code in failed.items()
            )
            self._send(effects.otherwise if lost else effects.replies)
            if effects.then is not None and self._stored is not None and not lost:
                now = self._broker.now()
                self.perform(self._stored(effects.then, now), now)

        self._broker.after_syncs(self._logs(effects), outcome)

    def _logs(self, effects: Effects) -> Iterator[Partition]:
        """The partitions that the replies speak of; one that was never used holds nothing."""
        topic = self._broker.catalog.topics.get(self._topic)
        if topic is not None:
            spoken_of = {effects.partition, *effects.reveals}
            for partition in self._broker.partitions.existing(topic):
                if partition.index in spoken_of:
                    yield partition
        if effects.ending is not None:
            yield from self._touched(effects.ending)

    def _send(self, replies: Iterable[Reply]) -> None:
        for reply in replies:
            then = self._waiting.pop(reply.token, None)
            if then is not None:
                then(reply.response)

    # --- time ------------------------------------------------------------------------------------

    def _set_timer(self) -> None:
        """Have :meth:`tick` called at the machine's deadline, or before."""
        due_ms = self._machine.deadline()
        if due_ms is None or (self._due_ms is not None and self._due_ms <= due_ms):
            return
        if self._timer is not None:
            self._timer.cancel()
        self._due_ms = due_ms
        seconds = max(0, due_ms - self._broker.now().monotonic_ms) / 1000
        self._timer = self._broker.call_later(seconds, self.tick)

    def tick(self) -> None:
        """Let the first thing happen that is due, and have the next one happen in its time."""
        self._timer = self._due_ms = None
        now = self._broker.now()
        self.perform(self._machine.tick(now), now)

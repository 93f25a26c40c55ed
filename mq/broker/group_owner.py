"""The owner of the group coordinator: gives it requests and time, and performs what it asks for.

:mod:`mq.coordinators.effects` is the agreement between a machine and its owner. The state topic is
made when the first record is to be written.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from mq.broker.call import Call
from mq.broker.catalog import OFFSETS_TOPIC, Topic
from mq.broker.waiting import Timer
from mq.coordinators.effects import Effects, Now, Reply, RequestContext
from mq.coordinators.group_config import GroupConfig
from mq.coordinators.groups import GroupCoordinator
from mq.errors import ErrorCode, KafkaError, MqError
from mq.log.partition import Partition
from mq.wire.batch import BatchRecord, encode_batch

if TYPE_CHECKING:
    from mq.broker.broker import Broker

__all__ = ["GroupOwner"]

logger = logging.getLogger("mq.broker")


class GroupOwner:
    """One coordinator over the partitions of ``__consumer_offsets``."""

    def __init__(self, broker: Broker, config: GroupConfig) -> None:
        self._broker = broker
        self._calls: dict[int, Call[Any]] = {}
        self._last_token = 0
        self._timer: Timer | None = None
        self._due_ms: int | None = None
        self._coordinator = GroupCoordinator(config, broker.catalog, lambda: str(uuid.uuid4()))

    def handle(self, call: Call[Any]) -> None:
        """Have the coordinator answer ``call``, now or later."""
        self._last_token += 1
        self._calls[self._last_token] = call
        context = RequestContext(
            client_id=call.header.client_id or "",
            client_host=f"/{call.client_host}",
            api_version=call.version,
        )
        now = self._broker.now()
        self._perform(self._coordinator.handle(call.request, context, self._last_token, now), now)

    def topic_removed(self, topic: Topic) -> None:
        """Forget what groups committed for a topic that exists no longer."""
        self._perform(self._coordinator.forget_topic(topic.name, topic.id), self._broker.now())

    def replay(self) -> None:
        """Bring the coordinator to where its records were when the process ended."""
        topic = self._broker.catalog.topics.get(OFFSETS_TOPIC)
        for partition in self._broker.partitions.existing(topic) if topic else ():
            for record in self._broker.records_of(partition):
                try:
                    self._apply(partition.index, record.key or b"", record.value)
                except MqError as error:
                    raise self._broker.damaged(partition, record.offset) from error
        self._coordinator.loaded(self._broker.now())
        self._set_timer()

    def close(self) -> None:
        """Let no more time pass."""
        if self._timer is not None:
            self._timer.cancel()

    # --- performing ------------------------------------------------------------------------------

    def _perform(self, steps: Iterable[Effects], now: Now) -> None:
        for effects in steps:
            if not effects.append or self._store(effects, now):
                self._answer(effects)
        self._set_timer()

    def _store(self, effects: Effects, now: Now) -> bool:
        """Append and apply; if the log refuses, say so instead."""
        batch = encode_batch(
            [
                BatchRecord(record.key, record.value, timestamp=now.wall_ms)
                for record in effects.append
            ]
        )
        try:
            topic = self._broker.offsets_topic()
            partition = self._broker.partitions.of(topic, effects.partition)
            self._broker.append(partition, batch, client=False)
        except KafkaError as error:
            logger.error("the state of groups could not be stored: %s", error)
            self._send(effects.otherwise)
            self._perform(self._coordinator.refused(effects, now), now)
            return False
        for record in effects.append:
            self._apply(effects.partition, record.key, record.value)
        return True

    def _apply(self, partition: int, key: bytes, value: bytes | None) -> None:
        unknown = self._coordinator.apply(partition, key, value)
        if unknown is not None:
            logger.warning("%s: skipped %s", OFFSETS_TOPIC, unknown)

    def _answer(self, effects: Effects) -> None:
        if not effects.replies:
            return

        def outcome(failed: Mapping[Partition, ErrorCode]) -> None:
            self._send(effects.otherwise if failed else effects.replies)

        self._broker.after_syncs(self._logs(effects), outcome)

    def _logs(self, effects: Effects) -> Iterator[Partition]:
        """The partitions that the replies speak of; one that was never used holds nothing."""
        topic = self._broker.catalog.topics.get(OFFSETS_TOPIC)
        if topic is not None:
            spoken_of = {effects.partition, *effects.reveals}
            for partition in self._broker.partitions.existing(topic):
                if partition.index in spoken_of:
                    yield partition

    def _send(self, replies: Iterable[Reply]) -> None:
        for reply in replies:
            call = self._calls.pop(reply.token, None)
            if call is not None:
                call.reply(reply.response)

    # --- time ------------------------------------------------------------------------------------

    def _set_timer(self) -> None:
        """Have :meth:`_tick` called at the coordinator's deadline, or before."""
        due_ms = self._coordinator.deadline()
        if due_ms is None or (self._due_ms is not None and self._due_ms <= due_ms):
            return
        if self._timer is not None:
            self._timer.cancel()
        self._due_ms = due_ms
        seconds = max(0, due_ms - self._broker.now().monotonic_ms) / 1000
        self._timer = self._broker.call_later(seconds, self._tick)

    def _tick(self) -> None:
        self._timer = self._due_ms = None
        now = self._broker.now()
        self._perform(self._coordinator.tick(now), now)

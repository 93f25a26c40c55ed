"""The owner of the group coordinator: see :mod:`mq.broker.performer` for what owners do."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

from mq.broker.call import Call
from mq.broker.catalog import OFFSETS_TOPIC, Topic
from mq.broker.performer import Performer
from mq.coordinators.effects import RequestContext
from mq.coordinators.group_config import GroupConfig
from mq.coordinators.groups import GroupCoordinator

if TYPE_CHECKING:
    from mq.broker.broker import Broker

__all__ = ["GroupOwner"]


class GroupOwner:
    """One coordinator over the partitions of ``__consumer_offsets``."""

    def __init__(self, broker: Broker, config: GroupConfig) -> None:
        self._broker = broker
        self._coordinator = GroupCoordinator(config, broker.catalog, lambda: str(uuid.uuid4()))
        self._performer = Performer(
            broker,
            self._coordinator,
            OFFSETS_TOPIC,
            broker.offsets_topic,
            ended=self.transaction_ended,
        )

    def handle(self, call: Call[Any]) -> None:
        """Have the coordinator answer ``call``, now or later."""
        context = RequestContext(
            client_id=call.header.client_id or "",
            client_host=f"/{call.client_host}",
            api_version=call.version,
        )
        self._performer.ask(call.request, context, call.reply)

    def partition_for(self, group_id: str) -> int:
        """The partition of the state topic that a group lives in."""
        return self._coordinator.partition_for(group_id)

    def transaction_ended(self, partition: int, producer_id: int, commit: bool) -> None:
        """A marker was written into a partition of the state topic."""
        self._coordinator.ended(partition, producer_id, commit=commit)

    def topic_removed(self, topic: Topic) -> None:
        """Forget what groups committed for a topic that exists no longer."""
        steps = self._coordinator.forget_topic(topic.name, topic.id)
        self._performer.perform(steps, self._broker.now())

    def replay(self) -> None:
        """Bring the coordinator to where its records were when the process ended."""
        self._performer.replay()
        self._coordinator.loaded(self._broker.now())
        self._performer.perform((), self._broker.now())

    def tick(self) -> None:
        """Let happen what is due."""
        self._performer.tick()

    def close(self) -> None:
        """Let no more time pass."""
        self._performer.close()

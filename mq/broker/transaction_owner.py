"""The owner of the transaction coordinator: see :mod:`mq.broker.performer` for what owners do.

Beside requests it asks the coordinator on behalf of those who write into logs: whether a producer
may write into these partitions as part of its transaction.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from mq.broker.call import Call
from mq.broker.catalog import OFFSETS_TOPIC, TRANSACTION_TOPIC
from mq.broker.performer import Performer
from mq.coordinators.admission import Admission
from mq.coordinators.effects import RequestContext
from mq.coordinators.transaction_config import TransactionConfig
from mq.coordinators.transactions import TransactionCoordinator
from mq.errors import ErrorCode, KafkaError
from mq.log.partition import Partition
from mq.log.transactions import Marker
from mq.record import TopicPartition

if TYPE_CHECKING:
    from mq.broker.broker import Broker

__all__ = ["TransactionOwner"]

logger = logging.getLogger("mq.broker")

_OURSELVES: Final = RequestContext("", "", 0)


class TransactionOwner:
    """One coordinator over the partitions of ``__transaction_state``."""

    def __init__(self, broker: Broker, config: TransactionConfig) -> None:
        self._broker = broker
        self._coordinator = TransactionCoordinator(
            config, broker.catalog, broker.take_producer_id, self._offsets_partition
        )
        self._performer = Performer(
            broker,
            self._coordinator,
            TRANSACTION_TOPIC,
            broker.transaction_topic,
            stored=self._coordinator.stored,
        )

    def _offsets_partition(self, group_id: str) -> TopicPartition:
        return TopicPartition(OFFSETS_TOPIC, self._broker.groups.partition_for(group_id))

    def handle(self, call: Call[Any]) -> None:
        """Have the coordinator answer ``call``, now or later."""
        context = RequestContext(call.header.client_id or "", f"/{call.client_host}", call.version)
        self._performer.ask(call.request, context, call.reply)

    def admit(
        self, admission: Admission, then: Callable[[Mapping[TopicPartition, ErrorCode]], None]
    ) -> None:
        """Ask whether a producer may write into partitions; ``then`` is told of each.

        Answers come in the order of the questions. Those that say NONE hold as long as
        :meth:`admits` says so.
        """
        self._performer.ask(admission, _OURSELVES, then)

    def admits(self, admission: Admission) -> bool:
        """Whether a producer may write into all these partitions at this moment."""
        return self._coordinator.admits(admission)

    def replay(self) -> None:
        """Bring the coordinator to where its records were, and carry out what was decided."""
        self._performer.replay()
        self._broker.skip_producer_ids(self._coordinator.highest_producer_id)
        self._abort_unknown()
        now = self._broker.now()
        self._performer.perform(self._coordinator.loaded(now), now)

    def _abort_unknown(self) -> None:
        """Abort what nobody else would ever end.

        A transaction is known before its first record is written. But with durability ``os`` a
        crash may forget the one and keep the other, and readers would wait for ever.
        """
        broker = self._broker
        for topic in tuple(broker.catalog.topics.values()):
            for partition in broker.partitions.existing(topic):
                for producer_id in partition.producers.open_producers:
                    if not self._coordinator.knows(producer_id, partition.topic_partition):
                        logger.warning("%s: aborting an unknown transaction", partition)
                        self._abort(partition, producer_id)

    def _abort(self, partition: Partition, producer_id: int) -> None:
        state = partition.producers.get(producer_id)
        assert state is not None
        coordinator_epoch = max(state.coordinator_epoch, 0)
        try:
            marker = Marker(producer_id, state.epoch, coordinator_epoch, commit=False)
            self._broker.append_marker(partition, marker)
        except KafkaError as error:
            logger.error("%s takes no marker: %s", partition, error)
        else:
            if partition.topic == OFFSETS_TOPIC:
                self._broker.groups.transaction_ended(partition.index, producer_id, False)

    def tick(self) -> None:
        """Let happen what is due."""
        self._performer.tick()

    def close(self) -> None:
        """Let no more time pass."""
        self._performer.close()

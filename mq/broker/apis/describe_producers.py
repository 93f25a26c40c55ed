"""DescribeProducers (61), version 0: who writes into a partition, and whose transaction is open.

It tells what the log knows (KIP-664), so that an administrator can find a transaction that keeps
readers of committed records waiting. It is told once it is on stable storage.

Left out: nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from mq.broker.call import Call
from mq.errors import ErrorCode, KafkaError
from mq.log.partition import Partition
from mq.wire.messages.describe_producers import (
    DescribeProducersRequest,
    DescribeProducersResponse,
    PartitionResponse,
    ProducerState,
    TopicResponse,
)

if TYPE_CHECKING:
    from mq.broker.broker import Broker

__all__ = ["handle"]


def handle(broker: Broker, call: Call[DescribeProducersRequest]) -> None:
    told_of: list[Partition] = []
    response = DescribeProducersResponse(
        topics=[
            TopicResponse(
                topic.name,
                [
                    _described(broker, topic.name, index, told_of)
                    for index in topic.partition_indexes
                ],
            )
            for topic in call.request.topics
        ]
    )

    def synced(failed: Mapping[Partition, ErrorCode]) -> None:
        if ErrorCode.KAFKA_STORAGE_ERROR in failed.values():
            call.refuse("the disk failed")
        else:
            call.reply(response)

    broker.after_syncs(told_of, synced)


def _described(
    broker: Broker, topic: str, index: int, told_of: list[Partition]
) -> PartitionResponse:
    try:
        partition = broker.partitions.by_name(topic, index)
    except KafkaError as error:
        return PartitionResponse(index, error.code, error.message or None)
    told_of.append(partition)
    return PartitionResponse(
        index,
        active_producers=[
            ProducerState(
                producer_id,
                state.epoch,
                state.last_sequence,
                state.timestamp,
                state.coordinator_epoch,
                state.transaction_first_offset,
            )
            for producer_id, state in partition.producers
        ],
    )

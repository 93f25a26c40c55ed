"""AlterPartitionReassignments (45), versions 0-1: move partitions to other brokers (KIP-455).

There are no others. To be here is granted, anything else is refused, and no move is ever under
way that could be cancelled. Left out: nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mq.broker.call import Call
from mq.broker.catalog import check_replicas
from mq.errors import ErrorCode, KafkaError
from mq.wire.messages.alter_partition_reassignments import (
    AlterPartitionReassignmentsRequest,
    AlterPartitionReassignmentsResponse,
    ReassignablePartition,
    ReassignablePartitionResponse,
    ReassignableTopicResponse,
)

if TYPE_CHECKING:
    from mq.broker.broker import Broker

__all__ = ["handle"]


def handle(broker: Broker, call: Call[AlterPartitionReassignmentsRequest]) -> None:
    request = call.request
    response = AlterPartitionReassignmentsResponse(
        allow_replication_factor_change=request.allow_replication_factor_change,
        error_message=None,
        responses=[
            ReassignableTopicResponse(
                topic.name,
                [_result(broker, topic.name, partition) for partition in topic.partitions],
            )
            for topic in request.topics
        ],
    )
    broker.reply_when_known(call, response)


def _result(
    broker: Broker, topic: str, wanted: ReassignablePartition
) -> ReassignablePartitionResponse:
    index = wanted.partition_index
    try:
        if not broker.catalog.has_partition(topic, index):
            raise KafkaError(
                ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, f"There is no partition {topic}-{index}."
            )
        if wanted.replicas is None:
            raise KafkaError(
                ErrorCode.NO_REASSIGNMENT_IN_PROGRESS, f"{topic}-{index} is not being moved."
            )
        check_replicas(wanted.replicas)
    except KafkaError as error:
        return ReassignablePartitionResponse(index, error.code, error.message)
    return ReassignablePartitionResponse(index, error_message=None)

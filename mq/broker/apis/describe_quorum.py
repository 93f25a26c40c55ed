"""DescribeQuorum (55), versions 0-2: who keeps the metadata log (KIP-595, KIP-836).

One node does, is its leader and its only voter, and has always caught up. As in Kafka exactly one
partition may be asked for, that of ``__cluster_metadata``.

Left out: the listener of controllers (version 2), for there is none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mq.broker.call import Call
from mq.broker.catalog import METADATA_TOPIC, NODE_ID
from mq.errors import ErrorCode
from mq.wire.messages.describe_quorum import (
    DescribeQuorumRequest,
    DescribeQuorumResponse,
    Node,
    ReplicaState,
    ResponsePartitionData,
    ResponseTopicData,
)

if TYPE_CHECKING:
    from mq.broker.broker import Broker

__all__ = ["handle"]


def handle(broker: Broker, call: Call[DescribeQuorumRequest]) -> None:
    asked = [
        (topic.topic_name, partition.partition_index)
        for topic in call.request.topics
        for partition in topic.partitions
    ]
    if asked == [(METADATA_TOPIC, 0)]:
        data = ResponseTopicData(METADATA_TOPIC, [_quorum(broker)])
        response = DescribeQuorumResponse(topics=[data])
        if call.version >= 2:
            response.nodes = [Node(NODE_ID)]
    else:
        response = _refusal(call.request)
    broker.reply_when_known(call, response)


def _quorum(broker: Broker) -> ResponsePartitionData:
    log, now = broker.metadata_log, broker.now().wall_ms
    return ResponsePartitionData(
        leader_id=NODE_ID,
        leader_epoch=log.leader_epoch,
        high_watermark=log.high_watermark,
        current_voters=[
            ReplicaState(
                replica_id=NODE_ID,
                log_end_offset=log.log_end_offset,
                last_fetch_timestamp=now,
                last_caught_up_timestamp=now,
            )
        ],
    )


def _refusal(request: DescribeQuorumRequest) -> DescribeQuorumResponse:
    code = ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
    return DescribeQuorumResponse(
        topics=[
            ResponseTopicData(
                topic.topic_name,
                [
                    ResponsePartitionData(
                        partition.partition_index, code, "This is not the one quorum there is."
                    )
                    for partition in topic.partitions
                ],
            )
            for topic in request.topics
        ]
    )

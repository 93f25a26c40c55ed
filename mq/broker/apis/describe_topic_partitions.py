"""DescribeTopicPartitions (75), version 0: topics in pages (KIP-966).

Topics come in the order of their names, at most so many partitions at a time, and a cursor says
where the next page begins. Unlike Metadata it creates nothing.

The replica is always in sync and always eligible to lead, so the lists of others that may lead are
empty. Left out: nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from mq.broker.apis.metadata import ALL_TOPIC_OPERATIONS
from mq.broker.call import Call
from mq.broker.catalog import METADATA_TOPIC, NODE_ID, Topic, check_topic_name
from mq.errors import ErrorCode, KafkaError
from mq.wire.messages.describe_topic_partitions import (
    Cursor,
    DescribeTopicPartitionsRequest,
    DescribeTopicPartitionsResponse,
    DescribeTopicPartitionsResponsePartition,
    DescribeTopicPartitionsResponseTopic,
)

if TYPE_CHECKING:
    from mq.broker.broker import Broker

__all__ = ["handle"]

_PARTITIONS_MAX: Final = 2000
"""Partitions of one page, whatever was asked for: ``max.request.partition.size.limit``."""


def handle(broker: Broker, call: Call[DescribeTopicPartitionsRequest]) -> None:
    request = call.request
    cursor = request.cursor
    if cursor is not None and cursor.partition_index < 0:
        response = DescribeTopicPartitionsResponse(
            topics=[
                DescribeTopicPartitionsResponseTopic(ErrorCode.INVALID_REQUEST, topic.name)
                for topic in request.topics
            ]
        )
    else:
        names = {topic.name for topic in request.topics} or broker.catalog.topics.keys()
        begin = cursor or Cursor()
        ahead = sorted(name for name in names if name >= begin.topic_name)
        limit = max(1, min(request.response_partition_limit, _PARTITIONS_MAX))
        response = _page(broker, ahead, begin, limit)
    broker.reply_when_known(call, response)


def _page(
    broker: Broker, names: Sequence[str], begin: Cursor, room: int
) -> DescribeTopicPartitionsResponse:
    response = DescribeTopicPartitionsResponse()
    for name in names:
        if room == 0:
            response.next_cursor = Cursor(name, 0)
            break
        topic = broker.catalog.topics.get(name)
        if topic is None:
            response.topics.append(_unknown(name))
            continue
        first = begin.partition_index if name == begin.topic_name else 0
        end = min(topic.partitions, first + room)
        response.topics.append(_described(broker, topic, range(first, end)))
        if end < topic.partitions:
            response.next_cursor = Cursor(name, end)
            break
        room -= max(0, end - first)
    return response


def _unknown(name: str) -> DescribeTopicPartitionsResponseTopic:
    code = ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
    try:
        if name != METADATA_TOPIC:
            check_topic_name(name)
    except KafkaError as error:
        code = error.code
    return DescribeTopicPartitionsResponseTopic(
        code, name, topic_authorized_operations=ALL_TOPIC_OPERATIONS
    )


def _described(
    broker: Broker, topic: Topic, indexes: range
) -> DescribeTopicPartitionsResponseTopic:
    return DescribeTopicPartitionsResponseTopic(
        name=topic.name,
        topic_id=topic.id,
        is_internal=topic.internal,
        partitions=[
            DescribeTopicPartitionsResponsePartition(
                partition_index=index,
                leader_id=NODE_ID,
                leader_epoch=broker.partitions.leader_epoch(topic, index),
                replica_nodes=[NODE_ID],
                isr_nodes=[NODE_ID],
                eligible_leader_replicas=[],
                last_known_elr=[],
            )
            for index in indexes
        ],
        topic_authorized_operations=ALL_TOPIC_OPERATIONS,
    )

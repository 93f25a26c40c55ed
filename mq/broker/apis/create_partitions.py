"""CreatePartitions (37), versions 0-3: give topics more partitions.

Left out: nothing.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from mq.broker.call import Call
from mq.broker.catalog import check_replicas, check_room
from mq.errors import ErrorCode, KafkaError
from mq.wire.fields import Message
from mq.wire.messages.create_partitions import (
    CreatePartitionsRequest,
    CreatePartitionsResponse,
    CreatePartitionsTopic,
    CreatePartitionsTopicResult,
)

if TYPE_CHECKING:
    from mq.broker.broker import Broker

__all__ = ["handle"]


def handle(broker: Broker, call: Call[CreatePartitionsRequest]) -> None:
    request = call.request
    times = Counter(topic.name for topic in request.topics)
    records: list[Message] = []
    results: list[CreatePartitionsTopicResult] = []
    for wanted in {topic.name: topic for topic in request.topics}.values():
        result = CreatePartitionsTopicResult(name=wanted.name)
        try:
            if times[wanted.name] > 1:
                raise KafkaError(ErrorCode.INVALID_REQUEST, "Duplicate topic name.")
            added = _plan(broker, wanted, len(records))
        except KafkaError as error:
            result.error_code, result.error_message = error.code, error.message
        else:
            records += added
        results.append(result)
    response = CreatePartitionsResponse(results=results)
    if request.validate_only:
        broker.reply_when_known(call, response)
    else:
        broker.change(call, records, response, results)


def _plan(broker: Broker, wanted: CreatePartitionsTopic, others: int) -> list[Message]:
    topic = broker.catalog.topics.get(wanted.name)
    if topic is None:
        raise KafkaError(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION)
    if topic.internal:
        raise KafkaError(
            ErrorCode.INVALID_PARTITIONS, "The state in that topic depends on their number."
        )
    if others:
        check_room(wanted.count - topic.partitions, others)
    records = broker.catalog.add_partitions(topic, wanted.count)
    if wanted.assignments is not None:
        if len(wanted.assignments) != wanted.count - topic.partitions:
            raise KafkaError(
                ErrorCode.INVALID_REPLICA_ASSIGNMENT,
                f"{len(wanted.assignments)} assignment(s) were given for "
                f"{wanted.count - topic.partitions} new partition(s).",
            )
        for assignment in wanted.assignments:
            check_replicas(assignment.broker_ids)
    return records

"""CreateTopics (19), versions 2-7: new topics with partitions and settings.

All topics of a request that can be made are made in one batch of the metadata log; the others tell
why not. A number of partitions of -1 means the broker's default (KIP-464), an explicit assignment
may name only this node. Topics in which the broker keeps its own state cannot be made, grown or
deleted. The answer shows the settings in force (KIP-525) and the topic's id.

Left out: nothing.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING
from uuid import uuid4

from mq.broker.apis.describe_configs import topic_entries
from mq.broker.call import Call
from mq.broker.catalog import INTERNAL_TOPICS, check_replicas, check_room, neutral
from mq.errors import ErrorCode, KafkaError
from mq.wire.fields import Message
from mq.wire.messages.create_topics import (
    CreatableTopic,
    CreatableTopicConfigs,
    CreatableTopicResult,
    CreateTopicsRequest,
    CreateTopicsResponse,
)

if TYPE_CHECKING:
    from mq.broker.broker import Broker

__all__ = ["handle"]


def handle(broker: Broker, call: Call[CreateTopicsRequest]) -> None:
    request = call.request
    times = Counter(topic.name for topic in request.topics)
    records: list[Message] = []
    results: list[CreatableTopicResult] = []
    planned: dict[str, str] = {}
    partitions = 0
    for wanted in {topic.name: topic for topic in request.topics}.values():
        try:
            if times[wanted.name] > 1:
                raise KafkaError(ErrorCode.INVALID_REQUEST, "Duplicate topic name.")
            _check_look_alike(wanted.name, planned)
            result, added = _plan(broker, wanted, partitions)
        except KafkaError as error:
            result = CreatableTopicResult(
                name=wanted.name, error_code=error.code, error_message=error.message
            )
        else:
            records += added
            partitions += result.num_partitions
            planned[neutral(wanted.name)] = wanted.name
        results.append(result)
    response = CreateTopicsResponse(topics=results)
    if request.validate_only:
        for result in results:
            result.topic_id = CreatableTopicResult().topic_id
        broker.reply_when_known(call, response)
    else:
        broker.change(call, records, response, results)


def _check_look_alike(name: str, planned: dict[str, str]) -> None:
    """The catalog compares with what exists; this compares with what the request makes."""
    other = planned.get(neutral(name))
    if other is not None:
        raise KafkaError(
            ErrorCode.INVALID_TOPIC_EXCEPTION,
            f"Topic '{name}' collides with topic '{other}' of the same request.",
        )


def _plan(
    broker: Broker, wanted: CreatableTopic, others: int
) -> tuple[CreatableTopicResult, list[Message]]:
    """The topic and its records, next to ``others`` partitions that the request makes."""
    if wanted.name in INTERNAL_TOPICS:
        raise KafkaError(ErrorCode.INVALID_REQUEST, "The broker makes that topic itself.")
    partitions = _partitions(wanted, broker.settings.num_partitions)
    _check_replication(wanted)
    if others:
        check_room(partitions, others)
    topic_id = uuid4()
    configs = {config.name: config.value for config in wanted.configs}
    records = broker.catalog.create_topic(wanted.name, topic_id, partitions, configs)
    result = CreatableTopicResult(
        name=wanted.name,
        topic_id=topic_id,
        error_message=None,
        num_partitions=partitions,
        replication_factor=1,
        configs=[
            CreatableTopicConfigs(
                name=entry.name,
                value=entry.value,
                read_only=entry.read_only,
                config_source=entry.config_source,
                is_sensitive=entry.is_sensitive,
            )
            for entry in topic_entries({name: str(value) for name, value in configs.items()})
        ],
    )
    return result, records


def _partitions(wanted: CreatableTopic, default: int) -> int:
    if not wanted.assignments:
        return default if wanted.num_partitions == -1 else wanted.num_partitions
    if wanted.num_partitions != -1:
        raise KafkaError(
            ErrorCode.INVALID_REQUEST,
            "A manual partition assignment was specified, but numPartitions was not set to -1.",
        )
    indexes = sorted(assignment.partition_index for assignment in wanted.assignments)
    if indexes != list(range(len(indexes))):
        raise KafkaError(
            ErrorCode.INVALID_REPLICA_ASSIGNMENT,
            "partitions should be a consecutive 0-based integer sequence",
        )
    for assignment in wanted.assignments:
        check_replicas(assignment.broker_ids)
    return len(indexes)


def _check_replication(wanted: CreatableTopic) -> None:
    factor = wanted.replication_factor
    if wanted.assignments and factor != -1:
        raise KafkaError(
            ErrorCode.INVALID_REQUEST,
            "A manual partition assignment was specified, but replicationFactor was not set to -1.",
        )
    if factor == 0 or factor < -1:
        problem = "Replication factor must be larger than 0, or -1 to use the default value."
    elif factor > 1:
        problem = f"A replication factor of {factor} cannot be reached: there is one broker."
    else:
        return
    raise KafkaError(ErrorCode.INVALID_REPLICATION_FACTOR, problem)

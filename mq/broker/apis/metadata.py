"""Metadata (3), versions 0-13: where the partitions of topics are.

They are all here, so what matters is which topics exist, their ids (KIP-516) and the address to
come back to: what was configured for the listener, else the address that this client dialled. A
topic that does not exist is created, unless the client or the broker's settings forbid it, and the
answer already shows it: Kafka answers with an error first, which clients log. One request makes
only so many topics, or it would hold up everybody; for the others the client, told that they are
not there yet, asks again.

Authorized operations (KIP-430) are all there are, for nobody is refused anything.

Left out: nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from uuid import UUID

from mq.broker.call import Call
from mq.broker.catalog import NODE_ID, OFFSETS_TOPIC, Topic, check_topic_name
from mq.errors import ErrorCode, KafkaError
from mq.wire.fields import ZERO_UUID
from mq.wire.messages.metadata import (
    MetadataRequest,
    MetadataRequestTopic,
    MetadataResponse,
    MetadataResponseBroker,
    MetadataResponsePartition,
    MetadataResponseTopic,
)

if TYPE_CHECKING:
    from mq.broker.broker import Broker

__all__ = ["ALL_CLUSTER_OPERATIONS", "ALL_TOPIC_OPERATIONS", "handle"]

# One bit for each AclOperation that exists for the kind of resource (KIP-430).
ALL_TOPIC_OPERATIONS: Final = 0b1101_1111_1000
ALL_CLUSTER_OPERATIONS: Final = 0b1_1111_1010_0000

_UNASKED: Final = -(2**31)

_NAMES_MAX: Final = 100_000
_CREATED_MAX: Final = 1_000


def handle(broker: Broker, call: Call[MetadataRequest]) -> None:
    request = call.request
    everything = request.topics is None or (call.version == 0 and not request.topics)
    if everything:
        topics = [_described(broker, topic) for topic in broker.catalog.topics.values()]
    elif len(request.topics or ()) > _NAMES_MAX:
        call.refuse(f"more than {_NAMES_MAX} topics were asked for")
        return
    else:
        topics = _find_all(broker, request)
    if request.include_topic_authorized_operations:
        for topic in topics:
            if not topic.error_code:
                topic.topic_authorized_operations = ALL_TOPIC_OPERATIONS
    host, port = call.advertised
    response = MetadataResponse(
        brokers=[MetadataResponseBroker(node_id=NODE_ID, host=host, port=port)],
        cluster_id=broker.cluster_id,
        controller_id=NODE_ID,
        topics=topics,
        cluster_authorized_operations=(
            ALL_CLUSTER_OPERATIONS if request.include_cluster_authorized_operations else _UNASKED
        ),
    )
    broker.reply_when_known(call, response)


def _find_all(broker: Broker, request: MetadataRequest) -> list[MetadataResponseTopic]:
    """Each topic once, however often it is named: its partitions make the answer long."""
    named = {(wanted.name, wanted.topic_id): wanted for wanted in request.topics or ()}
    full = len(broker.catalog.topics) + _CREATED_MAX
    allowed = request.allow_auto_topic_creation and broker.settings.auto_create_topics
    return [
        _find(broker, wanted, create=allowed and len(broker.catalog.topics) < full)
        for wanted in named.values()
    ]


def _find(broker: Broker, wanted: MetadataRequestTopic, *, create: bool) -> MetadataResponseTopic:
    if wanted.name is None or wanted.topic_id != ZERO_UUID:
        return _find_by_id(broker, wanted.topic_id)
    try:
        topic = broker.catalog.topics.get(wanted.name)
        if topic is None:
            topic = _create(broker, wanted.name, allowed=create)
    except KafkaError as error:
        return MetadataResponseTopic(error_code=error.code, name=wanted.name)
    return _described(broker, topic)


def _find_by_id(broker: Broker, topic_id: UUID) -> MetadataResponseTopic:
    topic = broker.catalog.by_id.get(topic_id)
    if topic is None:
        return MetadataResponseTopic(
            error_code=ErrorCode.UNKNOWN_TOPIC_ID, name=None, topic_id=topic_id
        )
    return _described(broker, topic)


def _create(broker: Broker, name: str, *, allowed: bool) -> Topic:
    check_topic_name(name)
    if not allowed:
        raise KafkaError(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION)
    if name == OFFSETS_TOPIC:
        return broker.offsets_topic()
    return broker.create_topic(name, broker.settings.num_partitions)


def _described(broker: Broker, topic: Topic) -> MetadataResponseTopic:
    return MetadataResponseTopic(
        name=topic.name,
        topic_id=topic.id,
        is_internal=topic.internal,
        partitions=[
            MetadataResponsePartition(
                partition_index=index,
                leader_id=NODE_ID,
                leader_epoch=broker.partitions.leader_epoch(topic, index),
                replica_nodes=[NODE_ID],
                isr_nodes=[NODE_ID],
            )
            for index in range(topic.partitions)
        ],
    )

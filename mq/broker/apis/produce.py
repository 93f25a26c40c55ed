"""Produce (0), versions 3-13: append batches to partitions.

The range that is advertised begins at 0, or older librdkafka would not compress (KAFKA-18659), but
versions 0-2 close the connection like any unknown version. Version 13 names topics by id (KIP-516).

``acks=all`` is answered once everything appended is on stable storage, ``acks=1`` at the append,
``acks=0`` never: its errors close the connection, for the client has no other way to hear of them.
A repetition of an idempotent batch (KIP-98) waits for the sync like its original. Partitions fail
one by one.

Left out: transactions (TRANSACTIONAL_ID_AUTHORIZATION_FAILED, which every client takes as final),
request timeouts (a sync comes, or the broker stops), throttling.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, TypeAlias

from mq.broker.call import Call
from mq.broker.catalog import INTERNAL_TOPICS
from mq.errors import ErrorCode, KafkaError
from mq.log.partition import Partition
from mq.wire.messages.produce import (
    PartitionProduceData,
    PartitionProduceResponse,
    ProduceRequest,
    ProduceResponse,
    TopicProduceData,
    TopicProduceResponse,
)

if TYPE_CHECKING:
    from mq.broker.broker import Broker

__all__ = ["handle"]

_FIRST_BY_ID: Final = 13

Written: TypeAlias = list[tuple[Partition, PartitionProduceResponse]]
"""What was appended, and what is going to be said of it."""


def handle(broker: Broker, call: Call[ProduceRequest]) -> None:
    request = call.request
    refusal = _refusal(request)
    written: Written = []
    response = ProduceResponse(
        responses=[
            TopicProduceResponse(
                name=topic.name,
                topic_id=topic.topic_id,
                partition_responses=[
                    _produce(broker, call, topic, data, refusal, written)
                    for data in topic.partition_data
                ],
            )
            for topic in request.topic_data
        ]
    )
    if request.acks == 0:
        _finish_unacknowledged(call, response)
    elif request.acks == 1 or not written:
        call.reply(response)
    else:

        def synced(failed: Mapping[Partition, ErrorCode]) -> None:
            catalog_failed = failed.get(broker.metadata_log, ErrorCode.NONE)
            for partition, told in written:
                told.error_code = failed.get(partition, catalog_failed)
            call.reply(response)

        broker.after_syncs((partition for partition, _ in written), synced)


def _refusal(request: ProduceRequest) -> KafkaError | None:
    if request.acks not in (-1, 0, 1):
        return KafkaError(ErrorCode.INVALID_REQUIRED_ACKS, f"acks={request.acks} means nothing")
    if request.transactional_id is not None:
        return KafkaError(
            ErrorCode.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
            "this broker does not serve transactions yet",
        )
    return None


def _produce(
    broker: Broker,
    call: Call[ProduceRequest],
    topic: TopicProduceData,
    data: PartitionProduceData,
    refusal: KafkaError | None,
    written: Written,
) -> PartitionProduceResponse:
    try:
        if refusal is not None:
            raise refusal
        if call.version >= _FIRST_BY_ID:
            partition = broker.partitions.by_id(topic.topic_id, data.index)
        else:
            partition = broker.partitions.by_name(topic.name, data.index)
        if not isinstance(data.records, bytes):
            raise KafkaError(ErrorCode.INVALID_RECORD, "there are no records")
        if partition.topic in INTERNAL_TOPICS:
            raise KafkaError(ErrorCode.INVALID_TOPIC_EXCEPTION, "that topic is the broker's own")
        appended = broker.append(partition, data.records)
    except KafkaError as error:
        return PartitionProduceResponse(
            index=data.index, error_code=error.code, base_offset=-1, error_message=error.message
        )
    told = PartitionProduceResponse(
        index=data.index,
        base_offset=appended.base_offset,
        log_append_time_ms=appended.log_append_time,
        log_start_offset=appended.log_start_offset,
    )
    written.append((partition, told))
    return told


def _finish_unacknowledged(call: Call[ProduceRequest], response: ProduceResponse) -> None:
    for topic in response.responses:
        for partition in topic.partition_responses:
            if partition.error_code:
                name = topic.name or topic.topic_id
                reason = ErrorCode(partition.error_code).name
                call.refuse(f"a batch with acks=0 for {name}-{partition.index} failed: {reason}")
                return
    call.done()

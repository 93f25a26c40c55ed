"""Produce (0), versions 3-13: append batches to partitions.

The range that is advertised begins at 0, or older librdkafka would not compress (KAFKA-18659), but
versions 0-2 close the connection like any unknown version. Version 13 names topics by id (KIP-516).

``acks=all`` is answered once everything appended is on stable storage, ``acks=1`` at the append,
``acks=0`` never: its errors close the connection, for the client has no other way to hear of them.
A repetition of an idempotent batch (KIP-98) waits for the sync like its original. Partitions fail
one by one.

Batches of a transaction are appended when their coordinator has let them in; see
:mod:`mq.broker.admissions`. Without a transactional id they are refused as Kafka refuses them
(TRANSACTIONAL_ID_AUTHORIZATION_FAILED).

Left out: request timeouts (a sync comes, or the broker stops), throttling.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Final, TypeAlias

from mq.broker.admissions import NOTHING_ADMITTED, Admitted, admit, is_transactional
from mq.broker.call import Call
from mq.broker.catalog import INTERNAL_TOPICS
from mq.errors import ErrorCode, KafkaError
from mq.log.partition import Partition
from mq.record import TopicPartition
from mq.wire.batch import HEADER_BYTES, Buffer, Codec, read_header
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
_FIRST_WITH_ZSTD: Final = 7  # KIP-110

Written: TypeAlias = list[tuple[Partition, PartitionProduceResponse]]
"""What was appended, and what is going to be said of it."""


def handle(broker: Broker, call: Call[ProduceRequest]) -> None:
    transactional_id = call.request.transactional_id
    batches = _transactional(broker, call) if transactional_id is not None else {}
    if transactional_id is None or not batches:
        _append(broker, call, NOTHING_ADMITTED)
    else:
        then = partial(_append, broker, call)
        admit(broker, transactional_id, batches, call.version, then)


def _transactional(broker: Broker, call: Call[ProduceRequest]) -> dict[TopicPartition, Buffer]:
    """The batches of transactions, by their partitions as far as these exist."""
    found: dict[TopicPartition, Buffer] = {}
    for topic in call.request.topic_data:
        for data in topic.partition_data:
            batch = data.records
            if isinstance(batch, bytes | memoryview) and is_transactional(batch):
                with suppress(KafkaError):  # to be told when it is to be written
                    found[_find(broker, call, topic, data.index).topic_partition] = batch
    return found


def _append(broker: Broker, call: Call[ProduceRequest], admitted: Admitted) -> None:
    request = call.request
    refusal = _refusal(request)
    written: Written = []
    response = ProduceResponse(
        responses=[
            TopicProduceResponse(
                name=topic.name,
                topic_id=topic.topic_id,
                partition_responses=[
                    _produce(broker, call, topic, data, refusal or admitted, written)
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
    if request.transactional_id is None and any(
        isinstance(data.records, bytes | memoryview) and is_transactional(data.records)
        for topic in request.topic_data
        for data in topic.partition_data
    ):
        return KafkaError(
            ErrorCode.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
            "batches of a transaction come without a transactional id",
        )
    return None


def _find(
    broker: Broker, call: Call[ProduceRequest], topic: TopicProduceData, index: int
) -> Partition:
    if call.version >= _FIRST_BY_ID:
        return broker.partitions.by_id(topic.topic_id, index)
    return broker.partitions.by_name(topic.name, index)


def _produce(
    broker: Broker,
    call: Call[ProduceRequest],
    topic: TopicProduceData,
    data: PartitionProduceData,
    admitted: KafkaError | Admitted,
    written: Written,
) -> PartitionProduceResponse:
    try:
        if isinstance(admitted, KafkaError):
            raise admitted
        partition = _find(broker, call, topic, data.index)
        if not isinstance(data.records, bytes | memoryview):
            raise KafkaError(ErrorCode.INVALID_RECORD, "there are no records")
        if partition.topic in INTERNAL_TOPICS:
            raise KafkaError(ErrorCode.INVALID_TOPIC_EXCEPTION, "that topic is the broker's own")
        if call.version < _FIRST_WITH_ZSTD and _is_zstd(data.records):
            raise KafkaError(
                ErrorCode.UNSUPPORTED_COMPRESSION_TYPE,
                f"zstd needs Produce version {_FIRST_WITH_ZSTD} or later",
            )
        version = 0
        if is_transactional(data.records):
            version = admitted.version_for(partition.topic_partition)
        appended = broker.append(partition, data.records, transaction_version=version)
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


def _is_zstd(batch: bytes | memoryview) -> bool:
    return len(batch) >= HEADER_BYTES and read_header(batch).codec == Codec.ZSTD


def _finish_unacknowledged(call: Call[ProduceRequest], response: ProduceResponse) -> None:
    for topic in response.responses:
        for partition in topic.partition_responses:
            if partition.error_code:
                name = topic.name or topic.topic_id
                reason = ErrorCode(partition.error_code).name
                call.refuse(f"a batch with acks=0 for {name}-{partition.index} failed: {reason}")
                return
    call.done()

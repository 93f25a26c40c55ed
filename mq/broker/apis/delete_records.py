"""DeleteRecords (21), versions 0-2: move the start of a partition up to an offset (KIP-107).

An offset of -1 means the high watermark; one beyond it is out of range. Kafka Streams purges its
repartition topics so.

Left out: nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from mq.broker.call import Call
from mq.errors import ErrorCode, KafkaError
from mq.wire.messages.delete_records import (
    DeleteRecordsPartition,
    DeleteRecordsPartitionResult,
    DeleteRecordsRequest,
    DeleteRecordsResponse,
    DeleteRecordsTopicResult,
)

if TYPE_CHECKING:
    from mq.broker.broker import Broker

__all__ = ["handle"]

_HIGH_WATERMARK: Final = -1


def handle(broker: Broker, call: Call[DeleteRecordsRequest]) -> None:
    call.reply(
        DeleteRecordsResponse(
            topics=[
                DeleteRecordsTopicResult(
                    name=topic.name,
                    partitions=[_delete(broker, topic.name, wanted) for wanted in topic.partitions],
                )
                for topic in call.request.topics
            ]
        )
    )


def _delete(
    broker: Broker, topic: str, wanted: DeleteRecordsPartition
) -> DeleteRecordsPartitionResult:
    result = DeleteRecordsPartitionResult(partition_index=wanted.partition_index, low_watermark=-1)
    try:
        partition = broker.partitions.by_name(topic, wanted.partition_index)
        if broker.catalog.topics[topic].internal:
            raise KafkaError(ErrorCode.INVALID_TOPIC_EXCEPTION, "that topic is the broker's own")
        if "delete" not in partition.config.cleanup_policy:
            raise KafkaError(ErrorCode.POLICY_VIOLATION, "the topic is compacted, not deleted from")
        offset = wanted.offset
        if offset == _HIGH_WATERMARK:
            offset = partition.high_watermark
        partition.delete_records_before(offset)
        result.low_watermark = partition.log_start_offset
    except KafkaError as error:
        result.error_code = error.code
    return result

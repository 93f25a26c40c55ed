"""ListOffsets (2), versions 1-11: offsets by time, and the ends of partitions.

The special times: -1 the high watermark, -2 and -4 (KIP-405) the log start, -3 the record with the
highest timestamp (KIP-734), -5 (KIP-1005) and -6 (KIP-1023) offsets of tiered storage, of which
there is none: -1 and no error. A time is answered with a record at or after it; inside a
compressed batch with the batch's first record, so that nothing is skipped. Nothing beyond the high
watermark is told.

Left out: the last stable offset (there are no transactions yet), tiered storage.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from mq.broker.call import Call
from mq.errors import KafkaError
from mq.log.partition import Partition
from mq.log.timestamps import Timestamped
from mq.wire.messages.list_offsets import (
    ListOffsetsPartition,
    ListOffsetsPartitionResponse,
    ListOffsetsRequest,
    ListOffsetsResponse,
    ListOffsetsTopicResponse,
)

if TYPE_CHECKING:
    from mq.broker.broker import Broker

__all__ = ["handle"]

_FIRST_WITH_EPOCH: Final = 4
_LATEST: Final = -1
_EARLIEST: Final = -2
_MAX_TIMESTAMP: Final = -3
_EARLIEST_LOCAL: Final = -4
_NOTHING: Final = Timestamped(-1, -1, -1)


def handle(broker: Broker, call: Call[ListOffsetsRequest]) -> None:
    call.reply(
        ListOffsetsResponse(
            topics=[
                ListOffsetsTopicResponse(
                    name=topic.name,
                    partitions=[
                        _look_up(broker, call.version, topic.name, wanted)
                        for wanted in topic.partitions
                    ],
                )
                for topic in call.request.topics
            ]
        )
    )


def _look_up(
    broker: Broker, version: int, topic: str, wanted: ListOffsetsPartition
) -> ListOffsetsPartitionResponse:
    answer = ListOffsetsPartitionResponse(partition_index=wanted.partition_index)
    try:
        partition = broker.partitions.by_name(topic, wanted.partition_index)
        broker.partitions.check_leader_epoch(partition, wanted.current_leader_epoch)
        found = _find(partition, wanted.timestamp)
    except KafkaError as error:
        answer.error_code = error.code
    else:
        answer.offset, answer.timestamp = found.offset, found.timestamp
        if version >= _FIRST_WITH_EPOCH:
            answer.leader_epoch = found.leader_epoch
    return answer


def _find(partition: Partition, time: int) -> Timestamped:
    if time == _LATEST:
        return Timestamped(partition.high_watermark, -1, partition.leader_epoch)
    if time in (_EARLIEST, _EARLIEST_LOCAL):
        start = partition.log_start_offset
        return Timestamped(start, -1, partition.epoch_at(start))
    found = None
    if time == _MAX_TIMESTAMP:
        found = partition.max_timestamp()
    elif time >= 0:
        found = partition.offset_for_timestamp(time)
    return found or _NOTHING

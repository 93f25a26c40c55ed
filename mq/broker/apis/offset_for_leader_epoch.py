"""OffsetForLeaderEpoch (23), versions 2-4: where a leader epoch ended (KIP-320).

A consumer asks after a restart of the broker whether its position still exists: the epoch rises
when recovery had to cut a log, and the offset told here is where the cut was. Never beyond the
high watermark, so that a position that is told to exist can be fetched.

Left out: nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mq.broker.call import Call
from mq.errors import KafkaError
from mq.wire.messages.offset_for_leader_epoch import (
    EpochEndOffset,
    OffsetForLeaderEpochRequest,
    OffsetForLeaderEpochResponse,
    OffsetForLeaderPartition,
    OffsetForLeaderTopicResult,
)

if TYPE_CHECKING:
    from mq.broker.broker import Broker

__all__ = ["handle"]


def handle(broker: Broker, call: Call[OffsetForLeaderEpochRequest]) -> None:
    call.reply(
        OffsetForLeaderEpochResponse(
            topics=[
                OffsetForLeaderTopicResult(
                    topic=topic.topic,
                    partitions=[
                        _look_up(broker, topic.topic, wanted) for wanted in topic.partitions
                    ],
                )
                for topic in call.request.topics
            ]
        )
    )


def _look_up(broker: Broker, topic: str, wanted: OffsetForLeaderPartition) -> EpochEndOffset:
    answer = EpochEndOffset(partition=wanted.partition)
    try:
        partition = broker.partitions.by_name(topic, wanted.partition)
        broker.partitions.check_leader_epoch(partition, wanted.current_leader_epoch)
    except KafkaError as error:
        answer.error_code = error.code
        return answer
    epoch, end = partition.end_offset_for_epoch(wanted.leader_epoch)
    answer.leader_epoch = epoch
    answer.end_offset = min(end, partition.high_watermark)
    return answer

"""ListOffsets (2), versions 1-11: offsets by time, and the ends of partitions.

The special times: -1 the high watermark or, for ``read_committed``, the last stable offset; -2 and
-4 (KIP-405) the log start; -3 the record with the highest timestamp (KIP-734); -5 (KIP-1005) and -6
(KIP-1023) offsets of tiered storage, of which there is none: -1 and no error. A time is answered
with the first record at or after it, for which a compressed batch is opened on a thread; one that
is too large for that is answered with its first record, so that nothing is skipped. Nothing is told
of what the client could not fetch.

Left out: tiered storage.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, NamedTuple

from mq.broker.call import Call
from mq.errors import KafkaError
from mq.log.partition import Partition
from mq.log.timestamps import Found, Timestamped, Unopened
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
_READ_COMMITTED: Final = 1
_LATEST: Final = -1
_EARLIEST: Final = -2
_MAX_TIMESTAMP: Final = -3
_EARLIEST_LOCAL: Final = -4

# A loop refers to its tasks weakly; these are kept until they are done.
_RUNNING: Final[set[asyncio.Future[None]]] = set()


def handle(broker: Broker, call: Call[ListOffsetsRequest]) -> None:
    searches: list[_Search] = []
    response = ListOffsetsResponse(
        topics=[
            ListOffsetsTopicResponse(
                name=topic.name,
                partitions=[
                    _look_up(broker, call, topic.name, wanted, searches)
                    for wanted in topic.partitions
                ],
            )
            for topic in call.request.topics
        ]
    )
    if searches:
        task = asyncio.ensure_future(_finish(call, response, searches))
        _RUNNING.add(task)
        task.add_done_callback(_RUNNING.discard)
    else:
        call.reply(response)


def _look_up(
    broker: Broker,
    call: Call[ListOffsetsRequest],
    topic: str,
    wanted: ListOffsetsPartition,
    searches: list[_Search],
) -> ListOffsetsPartitionResponse:
    """The answer, still without an offset if that takes a search."""
    answer = ListOffsetsPartitionResponse(partition_index=wanted.partition_index)
    try:
        partition = broker.partitions.by_name(topic, wanted.partition_index)
        broker.partitions.check_leader_epoch(partition, wanted.current_leader_epoch)
        committed = call.request.isolation_level == _READ_COMMITTED
        end = partition.last_stable_offset if committed else partition.high_watermark
        found = _find(partition, wanted.timestamp, end)
        if isinstance(found, Unopened):
            searches.append(_Search(answer, partition, end, found))
        else:
            _fill(answer, found, end, call.version)
    except KafkaError as error:
        answer.error_code = error.code
    return answer


def _find(partition: Partition, time: int, end: int) -> Found:
    if time == _LATEST:
        return Timestamped(end, -1, partition.leader_epoch)
    if time in (_EARLIEST, _EARLIEST_LOCAL):
        start = partition.log_start_offset
        return Timestamped(start, -1, partition.epoch_at(start))
    if time == _MAX_TIMESTAMP:
        return partition.max_timestamp()
    return partition.offset_for_timestamp(time) if time >= 0 else None


def _fill(
    answer: ListOffsetsPartitionResponse, found: Timestamped | None, end: int, version: int
) -> None:
    if found is None or (found.timestamp >= 0 and found.offset >= end):
        return  # it stays -1
    answer.offset, answer.timestamp = found.offset, found.timestamp
    if version >= _FIRST_WITH_EPOCH:
        answer.leader_epoch = found.leader_epoch


class _Search(NamedTuple):
    """What is known of an answer whose record is in a compressed batch."""

    answer: ListOffsetsPartitionResponse
    partition: Partition
    end: int
    found: Unopened


async def _finish(
    call: Call[ListOffsetsRequest], response: ListOffsetsResponse, searches: list[_Search]
) -> None:
    """Open the batches on a thread, one after the other, and reply."""
    for answer, partition, end, unopened in searches:
        found: Found = unopened
        try:
            while isinstance(found, Unopened):
                batch = found
                found = await asyncio.to_thread(batch.open)
                if found is None:  # no, it must be in a later one
                    found = partition.offset_for_timestamp(batch.timestamp, batch.end_offset)
            _fill(answer, found, end, call.version)
        except KafkaError as error:
            answer.error_code = error.code
        except Exception as error:
            call.slot.connection.fail(error)
            return
    call.reply(response)

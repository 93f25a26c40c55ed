"""Fetch (1), versions 4-18: read batches, waiting for them if there are none.

Consumers see what is on stable storage: the high watermark is the synced offset. The first batch is
sent whole however large it is, so that every consumer gets on (KIP-74); the answer begins with the
batch that contains the offset, which may lie before it. Records go from file to socket; see
:mod:`mq.broker.outbound`. A fetch that finds less than ``min_bytes`` is parked until a partition of
its own has moved far enough, or ``max_wait_ms`` is over. An answer ends with its segment, so what
begins in a sealed one is sent at once: waiting would bring no more.

Every answer is a full one with session id 0, as KIP-227 allows; a client that names a session gets
FETCH_SESSION_ID_NOT_FOUND and starts over. Version 13 names topics by id (KIP-516). Leader epochs
are checked (KIP-320). ``read_committed`` ends before the first open transaction, and comes with the
aborted ones whose records the client has to drop (KIP-98).

Left out: fetching as a follower, preferred replicas, diverging epochs, throttling.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import TYPE_CHECKING, Final

from mq.broker.call import Call
from mq.errors import ErrorCode, KafkaError
from mq.log.partition import Partition
from mq.wire.messages.fetch import (
    AbortedTransaction,
    FetchableTopicResponse,
    FetchPartition,
    FetchRequest,
    FetchResponse,
    FetchTopic,
    PartitionData,
)

if TYPE_CHECKING:
    from mq.broker.broker import Broker

__all__ = ["handle"]

_FIRST_BY_ID: Final = 13
_FULL_FETCH_EPOCHS: Final = (0, -1)  # open a session, close a session: whole fetches both
_READ_COMMITTED: Final = 1


def handle(broker: Broker, call: Call[FetchRequest]) -> None:
    request = call.request
    if request.session_id and request.session_epoch not in _FULL_FETCH_EPOCHS:
        call.reply(FetchResponse(error_code=ErrorCode.FETCH_SESSION_ID_NOT_FOUND))
        return
    poll = _Poll(broker, call)
    found = poll.look()
    if found.complete or request.max_wait_ms <= 0 or not poll.sizes:
        call.reply(found.response)
    else:
        broker.fetches.park(poll, poll.sizes, request.max_wait_ms / 1000)
        call.slot.abandoned = lambda: broker.fetches.forget(poll)


class _Found:
    """What one look at the partitions of a fetch came to."""

    __slots__ = ("complete", "response", "size")

    def __init__(self) -> None:
        self.response = FetchResponse()
        self.size = 0
        self.complete = False


class _Poll:
    """A fetch that looks, perhaps waits, and looks again.

    ``sizes`` tells of each of its partitions how many bytes the last look found there.
    """

    __slots__ = ("_broker", "_call", "_committed", "_ends", "_size", "_wanted", "sizes")

    def __init__(self, broker: Broker, call: Call[FetchRequest]) -> None:
        self._broker = broker
        self._call = call
        self._committed = call.request.isolation_level == _READ_COMMITTED
        self._wanted: dict[Hashable, FetchPartition] = {}
        self._size = 0  # of all partitions
        self._ends = False  # whether one of them gave the end of a segment: no more will come there
        self.sizes: dict[Hashable, int] = {}

    def enough(self, partition: Hashable) -> bool:
        """Whether this partition has brought the fetch to its minimum."""
        assert isinstance(partition, Partition)
        wanted = self._wanted[partition]
        upto = partition.last_stable_offset if self._committed else None
        try:
            found = partition.read(wanted.fetch_offset, wanted.partition_max_bytes, upto=upto)
        except KafkaError:
            return True  # the offset was cut away: to be told at once
        self._note(partition, wanted, len(found) if found is not None else 0)
        return self._ends or self._size >= self._call.request.min_bytes

    def answer(self) -> None:
        """See :class:`mq.broker.waiting.Poll`. Somebody waits for this, so it leaves at once."""
        self._call.reply(self.look().response, at_once=True)

    def look(self) -> _Found:
        """Read what is there now. Complete are errors, and as many bytes as were asked for."""
        request = self._call.request
        found = _Found()
        budget = min(request.max_bytes, self._broker.settings.fetch_bytes_max)
        for topic in request.topics:
            answer = FetchableTopicResponse(topic=topic.topic, topic_id=topic.topic_id)
            for wanted in topic.partitions:
                left = budget - found.size
                data = self._read(topic, wanted, left if left > 0 or not found.size else None)
                answer.partitions.append(data)
                found.size += len(data.records or b"")
                found.complete |= data.error_code != 0
            found.response.responses.append(answer)
        found.complete |= self._ends or found.size >= request.min_bytes
        return found

    def _read(self, topic: FetchTopic, wanted: FetchPartition, limit: int | None) -> PartitionData:
        """One partition: its state, and unless ``limit`` is None about so many bytes of records."""
        data = PartitionData(
            partition_index=wanted.partition,
            high_watermark=-1,
            records=b"",
            aborted_transactions=[] if self._committed else None,
        )
        try:
            partition = self._partition(topic, wanted)
            data.high_watermark = partition.high_watermark
            data.last_stable_offset = partition.last_stable_offset
            data.log_start_offset = partition.log_start_offset
            self._wanted[partition] = wanted
            if limit is not None:
                self._read_records(partition, wanted, data, min(limit, wanted.partition_max_bytes))
            self._note(partition, wanted, len(data.records or b""))
        except KafkaError as error:
            data.error_code = error.code
        return data

    def _note(self, partition: Partition, wanted: FetchPartition, size: int) -> None:
        """A look at a partition found so many bytes."""
        self._size += size - self.sizes.get(partition, 0)
        self.sizes[partition] = size
        self._ends |= size > 0 and wanted.fetch_offset < partition.active_offset

    def _read_records(
        self, partition: Partition, wanted: FetchPartition, data: PartitionData, limit: int
    ) -> None:
        offset = wanted.fetch_offset
        if not self._committed:
            data.records = partition.read(offset, limit) or b""
            return
        found = partition.read(offset, limit, upto=data.last_stable_offset)
        if found is not None:
            data.records = found
            data.aborted_transactions = [
                AbortedTransaction(*each) for each in partition.aborted_in(offset, found)
            ]

    def _partition(self, topic: FetchTopic, wanted: FetchPartition) -> Partition:
        partitions = self._broker.partitions
        if self._call.version >= _FIRST_BY_ID:
            partition = partitions.by_id(topic.topic_id, wanted.partition)
        else:
            partition = partitions.by_name(topic.topic, wanted.partition)
        partitions.check_leader_epoch(partition, wanted.current_leader_epoch)
        return partition

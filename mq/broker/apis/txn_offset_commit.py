"""TxnOffsetCommit (28), versions 0-5: offsets that count when a transaction is committed.

Two coordinators have a say: that of the transaction, whether the producer may write into the
group's partition of ``__consumer_offsets`` as part of it, and that of the group, whether who
consumed may commit (KIP-447). Since version 5 the partition becomes part of the transaction by
this very request; before, AddOffsetsToTxn must have done that (KIP-890).

Left out: nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from mq.broker.call import Call
from mq.broker.catalog import OFFSETS_TOPIC
from mq.coordinators.admission import Admission
from mq.coordinators.transaction import Identity
from mq.errors import ErrorCode
from mq.record import TopicPartition
from mq.wire.messages.txn_offset_commit import (
    TxnOffsetCommitRequest,
    TxnOffsetCommitResponse,
    TxnOffsetCommitResponsePartition,
    TxnOffsetCommitResponseTopic,
)

if TYPE_CHECKING:
    from mq.broker.broker import Broker

__all__ = ["handle"]

_FIRST_ADDING: Final = 5


def handle(broker: Broker, call: Call[TxnOffsetCommitRequest]) -> None:
    request = call.request
    place = TopicPartition(OFFSETS_TOPIC, broker.groups.partition_for(request.group_id))
    admission = Admission(
        request.transactional_id,
        Identity(request.producer_id, request.producer_epoch),
        frozenset([place]),
        call.version >= _FIRST_ADDING,
    )

    def answered(codes: Mapping[TopicPartition, ErrorCode]) -> None:
        code = codes[place]
        if code is ErrorCode.NONE and not broker.transactions.admits(admission):
            code = ErrorCode.INVALID_TXN_STATE  # it has ended meanwhile
        if code is ErrorCode.NONE:
            broker.groups.handle(call)
        else:
            call.reply(_refused(request, _known(code, call.version)))

    broker.transactions.admit(admission, answered)


def _known(code: ErrorCode, version: int) -> ErrorCode:
    if code is ErrorCode.PRODUCER_FENCED:
        return ErrorCode.INVALID_PRODUCER_EPOCH
    if version >= _FIRST_ADDING:
        return code
    if code is ErrorCode.TRANSACTION_ABORTABLE:
        return ErrorCode.INVALID_TXN_STATE
    if code is ErrorCode.CONCURRENT_TRANSACTIONS:
        return ErrorCode.COORDINATOR_NOT_AVAILABLE  # what every client tries again
    return code


def _refused(request: TxnOffsetCommitRequest, code: ErrorCode) -> TxnOffsetCommitResponse:
    return TxnOffsetCommitResponse(
        topics=[
            TxnOffsetCommitResponseTopic(
                topic.name,
                [
                    TxnOffsetCommitResponsePartition(partition.partition_index, code)
                    for partition in topic.partitions
                ],
            )
            for topic in request.topics
        ]
    )

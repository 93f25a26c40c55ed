"""AddPartitionsToTxn v0-3: what a producer asks for, and an answer with a code for each."""

from __future__ import annotations

from collections.abc import Callable

from mq.errors import ErrorCode
from mq.record import TopicPartition
from mq.wire.messages.add_partitions_to_txn import (
    AddPartitionsToTxnPartitionResult,
    AddPartitionsToTxnRequest,
    AddPartitionsToTxnResponse,
    AddPartitionsToTxnTopicResult,
)

__all__ = ["answer", "wanted"]


def wanted(request: AddPartitionsToTxnRequest) -> frozenset[TopicPartition]:
    """The partitions that are to be part of the transaction."""
    return frozenset(
        TopicPartition(topic.name, index)
        for topic in request.v3_and_below_topics
        for index in topic.partitions
    )


def answer(
    request: AddPartitionsToTxnRequest, code_of: Callable[[TopicPartition], ErrorCode]
) -> AddPartitionsToTxnResponse:
    """The answer, in the order of the request."""
    return AddPartitionsToTxnResponse(
        results_by_topic_v3_and_below=[
            AddPartitionsToTxnTopicResult(
                topic.name,
                [
                    AddPartitionsToTxnPartitionResult(
                        index, code_of(TopicPartition(topic.name, index))
                    )
                    for index in topic.partitions
                ],
            )
            for topic in request.v3_and_below_topics
        ]
    )

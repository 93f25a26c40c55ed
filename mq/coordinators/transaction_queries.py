"""What administrators are told of transactions: ListTransactions v0-2, DescribeTransactions v0.

Looks at transactions and changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from mq.coordinators.topic_patterns import TopicPattern
from mq.coordinators.transaction import Transaction
from mq.coordinators.transaction_records import Status
from mq.errors import ErrorCode, KafkaError
from mq.wire.messages import describe_transactions, list_transactions
from mq.wire.messages.describe_transactions import (
    DescribeTransactionsRequest,
    DescribeTransactionsResponse,
    TopicData,
)
from mq.wire.messages.list_transactions import ListTransactionsRequest, ListTransactionsResponse

__all__ = ["described", "listed"]

_TITLES = {status.title for status in Status}


def listed(
    request: ListTransactionsRequest, transactions: Iterable[Transaction], wall_ms: int
) -> ListTransactionsResponse:
    """The transactional ids that pass all filters. A duration counts for what has begun only."""
    try:
        pattern = TopicPattern(request.transactional_id_pattern or "(?s:.*)")
    except KafkaError:
        return ListTransactionsResponse(error_code=ErrorCode.INVALID_REGULAR_EXPRESSION)
    states, producer_ids = set(request.state_filters), set(request.producer_id_filters)
    response = ListTransactionsResponse(unknown_state_filters=sorted(states - _TITLES))
    if states and not states & _TITLES:
        return response
    for each in transactions:
        begun_ms = each.value.transaction_start_timestamp_ms
        if (
            (not states or each.status.title in states)
            and (not producer_ids or each.value.producer_id in producer_ids)
            and (request.duration_filter < 0 or wall_ms - begun_ms > request.duration_filter)
            and pattern.matches(each.transactional_id)
        ):
            response.transaction_states.append(
                list_transactions.TransactionState(
                    each.transactional_id, each.value.producer_id, each.status.title
                )
            )
    return response


def described(
    request: DescribeTransactionsRequest, transactions: Mapping[str, Transaction]
) -> DescribeTransactionsResponse:
    """Each of these ids, whether it exists or not."""
    return DescribeTransactionsResponse(
        transaction_states=[
            _described(each, transactions.get(each)) for each in request.transactional_ids
        ]
    )


def _described(
    transactional_id: str, transaction: Transaction | None
) -> describe_transactions.TransactionState:
    state = describe_transactions.TransactionState(transactional_id=transactional_id)
    if transaction is None:
        missing = ErrorCode.TRANSACTIONAL_ID_NOT_FOUND
        state.error_code = missing if transactional_id else ErrorCode.INVALID_REQUEST
        return state
    value = transaction.value
    state.transaction_state = transaction.status.title
    state.transaction_timeout_ms = value.transaction_timeout_ms
    state.transaction_start_time_ms = value.transaction_start_timestamp_ms
    state.producer_id, state.producer_epoch = transaction.identity
    state.topics = [
        TopicData(each.topic, list(each.partition_ids))
        for each in value.transaction_partitions or ()
    ]
    return state

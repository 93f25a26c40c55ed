# Generated from the schemas of Apache Kafka 4.3.0 by tools/generate_messages.py. Do not edit.
from typing import ClassVar

from mq.wire.fields import Request, Response, Struct, int16, int32, int64, versions


class DescribeTransactionsRequest(Request):
    API_KEY: ClassVar[int] = 65
    VERSIONS: ClassVar[range] = versions(0, 0)
    FLEXIBLE: ClassVar[int | None] = 0

    transactional_ids: list[str] = []


class TopicData(Struct):
    topic: str = ""
    partitions: list[int32] = []


class TransactionState(Struct):
    error_code: int16 = 0
    transactional_id: str = ""
    transaction_state: str = ""
    transaction_timeout_ms: int32 = 0
    transaction_start_time_ms: int64 = 0
    producer_id: int64 = 0
    producer_epoch: int16 = 0
    topics: list[TopicData] = []


class DescribeTransactionsResponse(Response):
    API_KEY: ClassVar[int] = 65
    VERSIONS: ClassVar[range] = versions(0, 0)
    FLEXIBLE: ClassVar[int | None] = 0

    throttle_time_ms: int32 = 0
    transaction_states: list[TransactionState] = []


DescribeTransactionsRequest.RESPONSE = DescribeTransactionsResponse

# Generated from the schemas of Apache Kafka 4.3.0 by tools/generate_messages.py. Do not edit.
from typing import Annotated, ClassVar

from mq.wire.fields import Field, Request, Response, Struct, int16, int32, int64, versions


class AddPartitionsToTxnTopic(Struct):
    name: str = ""
    partitions: list[int32] = []


class AddPartitionsToTxnTransaction(Struct):
    transactional_id: str = ""
    producer_id: int64 = 0
    producer_epoch: int16 = 0
    verify_only: bool = False
    topics: list[AddPartitionsToTxnTopic] = []


class AddPartitionsToTxnRequest(Request):
    API_KEY: ClassVar[int] = 24
    VERSIONS: ClassVar[range] = versions(0, 5)
    FLEXIBLE: ClassVar[int | None] = 3

    transactions: Annotated[list[AddPartitionsToTxnTransaction], Field("4+")] = []
    v3_and_below_transactional_id: Annotated[str, Field("0-3")] = ""
    v3_and_below_producer_id: Annotated[int64, Field("0-3")] = 0
    v3_and_below_producer_epoch: Annotated[int16, Field("0-3")] = 0
    v3_and_below_topics: Annotated[list[AddPartitionsToTxnTopic], Field("0-3")] = []


class AddPartitionsToTxnPartitionResult(Struct):
    partition_index: int32 = 0
    partition_error_code: int16 = 0


class AddPartitionsToTxnTopicResult(Struct):
    name: str = ""
    results_by_partition: list[AddPartitionsToTxnPartitionResult] = []


class AddPartitionsToTxnResult(Struct):
    transactional_id: str = ""
    topic_results: list[AddPartitionsToTxnTopicResult] = []


class AddPartitionsToTxnResponse(Response):
    API_KEY: ClassVar[int] = 24
    VERSIONS: ClassVar[range] = versions(0, 5)
    FLEXIBLE: ClassVar[int | None] = 3

    throttle_time_ms: int32 = 0
    error_code: Annotated[int16, Field("4+", ignorable=True)] = 0
    results_by_transaction: Annotated[list[AddPartitionsToTxnResult], Field("4+")] = []
    results_by_topic_v3_and_below: Annotated[list[AddPartitionsToTxnTopicResult], Field("0-3")] = []


AddPartitionsToTxnRequest.RESPONSE = AddPartitionsToTxnResponse

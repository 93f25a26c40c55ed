# Generated from the schemas of Apache Kafka 4.3.0 by tools/generate_messages.py. Do not edit.
from typing import ClassVar

from mq.wire.fields import Request, Response, Struct, int16, int32, int64, versions


class DeleteRecordsPartition(Struct):
    partition_index: int32 = 0
    offset: int64 = 0


class DeleteRecordsTopic(Struct):
    name: str = ""
    partitions: list[DeleteRecordsPartition] = []


class DeleteRecordsRequest(Request):
    API_KEY: ClassVar[int] = 21
    VERSIONS: ClassVar[range] = versions(0, 2)
    FLEXIBLE: ClassVar[int | None] = 2

    topics: list[DeleteRecordsTopic] = []
    timeout_ms: int32 = 0


class DeleteRecordsPartitionResult(Struct):
    partition_index: int32 = 0
    low_watermark: int64 = 0
    error_code: int16 = 0


class DeleteRecordsTopicResult(Struct):
    name: str = ""
    partitions: list[DeleteRecordsPartitionResult] = []


class DeleteRecordsResponse(Response):
    API_KEY: ClassVar[int] = 21
    VERSIONS: ClassVar[range] = versions(0, 2)
    FLEXIBLE: ClassVar[int | None] = 2

    throttle_time_ms: int32 = 0
    topics: list[DeleteRecordsTopicResult] = []


DeleteRecordsRequest.RESPONSE = DeleteRecordsResponse

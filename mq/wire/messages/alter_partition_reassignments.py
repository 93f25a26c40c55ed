# Generated from the schemas of Apache Kafka 4.3.0 by tools/generate_messages.py. Do not edit.
from typing import Annotated, ClassVar

from mq.wire.fields import Field, Request, Response, Struct, int16, int32, versions


class ReassignablePartition(Struct):
    partition_index: int32 = 0
    replicas: list[int32] | None = None


class ReassignableTopic(Struct):
    name: str = ""
    partitions: list[ReassignablePartition] = []


class AlterPartitionReassignmentsRequest(Request):
    API_KEY: ClassVar[int] = 45
    VERSIONS: ClassVar[range] = versions(0, 1)
    FLEXIBLE: ClassVar[int | None] = 0

    timeout_ms: int32 = 60000
    allow_replication_factor_change: Annotated[bool, Field("1+")] = True
    topics: list[ReassignableTopic] = []


class ReassignablePartitionResponse(Struct):
    partition_index: int32 = 0
    error_code: int16 = 0
    error_message: str | None = ""


class ReassignableTopicResponse(Struct):
    name: str = ""
    partitions: list[ReassignablePartitionResponse] = []


class AlterPartitionReassignmentsResponse(Response):
    API_KEY: ClassVar[int] = 45
    VERSIONS: ClassVar[range] = versions(0, 1)
    FLEXIBLE: ClassVar[int | None] = 0

    throttle_time_ms: int32 = 0
    allow_replication_factor_change: Annotated[bool, Field("1+", ignorable=True)] = True
    error_code: int16 = 0
    error_message: str | None = ""
    responses: list[ReassignableTopicResponse] = []


AlterPartitionReassignmentsRequest.RESPONSE = AlterPartitionReassignmentsResponse

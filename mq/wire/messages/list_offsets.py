# Generated from the schemas of Apache Kafka 4.3.0 by tools/generate_messages.py. Do not edit.
from typing import Annotated, ClassVar

from mq.wire.fields import Field, Request, Response, Struct, int8, int16, int32, int64, versions


class ListOffsetsPartition(Struct):
    partition_index: int32 = 0
    current_leader_epoch: Annotated[int32, Field("4+", ignorable=True)] = -1
    timestamp: int64 = 0


class ListOffsetsTopic(Struct):
    name: str = ""
    partitions: list[ListOffsetsPartition] = []


class ListOffsetsRequest(Request):
    API_KEY: ClassVar[int] = 2
    VERSIONS: ClassVar[range] = versions(1, 11)
    FLEXIBLE: ClassVar[int | None] = 6

    replica_id: int32 = 0
    isolation_level: Annotated[int8, Field("2+")] = 0
    topics: list[ListOffsetsTopic] = []
    timeout_ms: Annotated[int32, Field("10+", ignorable=True)] = 0


class ListOffsetsPartitionResponse(Struct):
    partition_index: int32 = 0
    error_code: int16 = 0
    timestamp: int64 = -1
    offset: int64 = -1
    leader_epoch: Annotated[int32, Field("4+")] = -1


class ListOffsetsTopicResponse(Struct):
    name: str = ""
    partitions: list[ListOffsetsPartitionResponse] = []


class ListOffsetsResponse(Response):
    API_KEY: ClassVar[int] = 2
    VERSIONS: ClassVar[range] = versions(1, 11)
    FLEXIBLE: ClassVar[int | None] = 6

    throttle_time_ms: Annotated[int32, Field("2+", ignorable=True)] = 0
    topics: list[ListOffsetsTopicResponse] = []


ListOffsetsRequest.RESPONSE = ListOffsetsResponse

# Generated from the schemas of Apache Kafka 4.3.0 by tools/generate_messages.py. Do not edit.
from typing import Annotated, ClassVar
from uuid import UUID

from mq.wire.fields import (
    ZERO_UUID,
    Field,
    Request,
    Response,
    Struct,
    int16,
    int32,
    int64,
    uint16,
    versions,
)


class RequestPartitionData(Struct):
    partition_index: int32 = 0


class RequestTopicData(Struct):
    topic_name: str = ""
    partitions: list[RequestPartitionData] = []


class DescribeQuorumRequest(Request):
    API_KEY: ClassVar[int] = 55
    VERSIONS: ClassVar[range] = versions(0, 2)
    FLEXIBLE: ClassVar[int | None] = 0

    topics: list[RequestTopicData] = []


class ReplicaState(Struct):
    replica_id: int32 = 0
    replica_directory_id: Annotated[UUID, Field("2+")] = ZERO_UUID
    log_end_offset: int64 = 0
    last_fetch_timestamp: Annotated[int64, Field("1+", ignorable=True)] = -1
    last_caught_up_timestamp: Annotated[int64, Field("1+", ignorable=True)] = -1


class ResponsePartitionData(Struct):
    partition_index: int32 = 0
    error_code: int16 = 0
    error_message: Annotated[str | None, Field("2+", ignorable=True)] = ""
    leader_id: int32 = 0
    leader_epoch: int32 = 0
    high_watermark: int64 = 0
    current_voters: list[ReplicaState] = []
    observers: list[ReplicaState] = []


class ResponseTopicData(Struct):
    topic_name: str = ""
    partitions: list[ResponsePartitionData] = []


class Listener(Struct):
    name: str = ""
    host: str = ""
    port: uint16 = 0


class Node(Struct):
    node_id: int32 = 0
    listeners: list[Listener] = []


class DescribeQuorumResponse(Response):
    API_KEY: ClassVar[int] = 55
    VERSIONS: ClassVar[range] = versions(0, 2)
    FLEXIBLE: ClassVar[int | None] = 0

    error_code: int16 = 0
    error_message: Annotated[str | None, Field("2+", ignorable=True)] = ""
    topics: list[ResponseTopicData] = []
    nodes: Annotated[list[Node], Field("2+")] = []


DescribeQuorumRequest.RESPONSE = DescribeQuorumResponse

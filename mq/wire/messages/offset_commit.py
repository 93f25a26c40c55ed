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
    versions,
)


class OffsetCommitRequestPartition(Struct):
    partition_index: int32 = 0
    committed_offset: int64 = 0
    committed_leader_epoch: Annotated[int32, Field("6+", ignorable=True)] = -1
    committed_metadata: str | None = ""


class OffsetCommitRequestTopic(Struct):
    name: Annotated[str, Field("0-9", ignorable=True)] = ""
    topic_id: Annotated[UUID, Field("10+", ignorable=True)] = ZERO_UUID
    partitions: list[OffsetCommitRequestPartition] = []


class OffsetCommitRequest(Request):
    API_KEY: ClassVar[int] = 8
    VERSIONS: ClassVar[range] = versions(2, 10)
    FLEXIBLE: ClassVar[int | None] = 8

    group_id: str = ""
    generation_id_or_member_epoch: int32 = -1
    member_id: str = ""
    group_instance_id: Annotated[str | None, Field("7+")] = None
    retention_time_ms: Annotated[int64, Field("2-4", ignorable=True)] = -1
    topics: list[OffsetCommitRequestTopic] = []


class OffsetCommitResponsePartition(Struct):
    partition_index: int32 = 0
    error_code: int16 = 0


class OffsetCommitResponseTopic(Struct):
    name: Annotated[str, Field("0-9", ignorable=True)] = ""
    topic_id: Annotated[UUID, Field("10+", ignorable=True)] = ZERO_UUID
    partitions: list[OffsetCommitResponsePartition] = []


class OffsetCommitResponse(Response):
    API_KEY: ClassVar[int] = 8
    VERSIONS: ClassVar[range] = versions(2, 10)
    FLEXIBLE: ClassVar[int | None] = 8

    throttle_time_ms: Annotated[int32, Field("3+", ignorable=True)] = 0
    topics: list[OffsetCommitResponseTopic] = []


OffsetCommitRequest.RESPONSE = OffsetCommitResponse

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


class OffsetFetchRequestTopic(Struct):
    name: str = ""
    partition_indexes: list[int32] = []


class OffsetFetchRequestTopics(Struct):
    name: Annotated[str, Field("8-9", ignorable=True)] = ""
    topic_id: Annotated[UUID, Field("10+", ignorable=True)] = ZERO_UUID
    partition_indexes: list[int32] = []


class OffsetFetchRequestGroup(Struct):
    group_id: str = ""
    member_id: Annotated[str | None, Field("9+", ignorable=True)] = None
    member_epoch: Annotated[int32, Field("9+", ignorable=True)] = -1
    topics: list[OffsetFetchRequestTopics] | None = []


class OffsetFetchRequest(Request):
    API_KEY: ClassVar[int] = 9
    VERSIONS: ClassVar[range] = versions(1, 10)
    FLEXIBLE: ClassVar[int | None] = 6

    group_id: Annotated[str, Field("0-7")] = ""
    topics: Annotated[list[OffsetFetchRequestTopic] | None, Field("0-7", nullable="2-7")] = []
    groups: Annotated[list[OffsetFetchRequestGroup], Field("8+")] = []
    require_stable: Annotated[bool, Field("7+")] = False


class OffsetFetchResponsePartition(Struct):
    partition_index: int32 = 0
    committed_offset: int64 = 0
    committed_leader_epoch: Annotated[int32, Field("5-7", ignorable=True)] = -1
    metadata: str | None = ""
    error_code: int16 = 0


class OffsetFetchResponseTopic(Struct):
    name: str = ""
    partitions: list[OffsetFetchResponsePartition] = []


class OffsetFetchResponsePartitions(Struct):
    partition_index: int32 = 0
    committed_offset: int64 = 0
    committed_leader_epoch: int32 = -1
    metadata: str | None = ""
    error_code: int16 = 0


class OffsetFetchResponseTopics(Struct):
    name: Annotated[str, Field("8-9", ignorable=True)] = ""
    topic_id: Annotated[UUID, Field("10+", ignorable=True)] = ZERO_UUID
    partitions: list[OffsetFetchResponsePartitions] = []


class OffsetFetchResponseGroup(Struct):
    group_id: str = ""
    topics: list[OffsetFetchResponseTopics] = []
    error_code: int16 = 0


class OffsetFetchResponse(Response):
    API_KEY: ClassVar[int] = 9
    VERSIONS: ClassVar[range] = versions(1, 10)
    FLEXIBLE: ClassVar[int | None] = 6

    throttle_time_ms: Annotated[int32, Field("3+", ignorable=True)] = 0
    topics: Annotated[list[OffsetFetchResponseTopic], Field("0-7")] = []
    error_code: Annotated[int16, Field("2-7", ignorable=True)] = 0
    groups: Annotated[list[OffsetFetchResponseGroup], Field("8+")] = []


OffsetFetchRequest.RESPONSE = OffsetFetchResponse

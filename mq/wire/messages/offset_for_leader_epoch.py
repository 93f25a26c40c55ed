# Generated from the schemas of Apache Kafka 4.3.0 by tools/generate_messages.py. Do not edit.
from typing import Annotated, ClassVar

from mq.wire.fields import Field, Request, Response, Struct, int16, int32, int64, versions


class OffsetForLeaderPartition(Struct):
    partition: int32 = 0
    current_leader_epoch: int32 = -1
    leader_epoch: int32 = 0


class OffsetForLeaderTopic(Struct):
    topic: str = ""
    partitions: list[OffsetForLeaderPartition] = []


class OffsetForLeaderEpochRequest(Request):
    API_KEY: ClassVar[int] = 23
    VERSIONS: ClassVar[range] = versions(2, 4)
    FLEXIBLE: ClassVar[int | None] = 4

    replica_id: Annotated[int32, Field("3+", ignorable=True)] = -2
    topics: list[OffsetForLeaderTopic] = []


class EpochEndOffset(Struct):
    error_code: int16 = 0
    partition: int32 = 0
    leader_epoch: int32 = -1
    end_offset: int64 = -1


class OffsetForLeaderTopicResult(Struct):
    topic: str = ""
    partitions: list[EpochEndOffset] = []


class OffsetForLeaderEpochResponse(Response):
    API_KEY: ClassVar[int] = 23
    VERSIONS: ClassVar[range] = versions(2, 4)
    FLEXIBLE: ClassVar[int | None] = 4

    throttle_time_ms: int32 = 0
    topics: list[OffsetForLeaderTopicResult] = []


OffsetForLeaderEpochRequest.RESPONSE = OffsetForLeaderEpochResponse

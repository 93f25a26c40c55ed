# Generated from the schemas of Apache Kafka 4.3.0 by tools/generate_messages.py. Do not edit.
from typing import Annotated, ClassVar

from mq.wire.fields import Field, Request, Response, Struct, int16, int32, int64, versions


class TxnOffsetCommitRequestPartition(Struct):
    partition_index: int32 = 0
    committed_offset: int64 = 0
    committed_leader_epoch: Annotated[int32, Field("2+", ignorable=True)] = -1
    committed_metadata: str | None = ""


class TxnOffsetCommitRequestTopic(Struct):
    name: str = ""
    partitions: list[TxnOffsetCommitRequestPartition] = []


class TxnOffsetCommitRequest(Request):
    API_KEY: ClassVar[int] = 28
    VERSIONS: ClassVar[range] = versions(0, 5)
    FLEXIBLE: ClassVar[int | None] = 3

    transactional_id: str = ""
    group_id: str = ""
    producer_id: int64 = 0
    producer_epoch: int16 = 0
    generation_id: Annotated[int32, Field("3+")] = -1
    member_id: Annotated[str, Field("3+")] = ""
    group_instance_id: Annotated[str | None, Field("3+")] = None
    topics: list[TxnOffsetCommitRequestTopic] = []


class TxnOffsetCommitResponsePartition(Struct):
    partition_index: int32 = 0
    error_code: int16 = 0


class TxnOffsetCommitResponseTopic(Struct):
    name: str = ""
    partitions: list[TxnOffsetCommitResponsePartition] = []


class TxnOffsetCommitResponse(Response):
    API_KEY: ClassVar[int] = 28
    VERSIONS: ClassVar[range] = versions(0, 5)
    FLEXIBLE: ClassVar[int | None] = 3

    throttle_time_ms: int32 = 0
    topics: list[TxnOffsetCommitResponseTopic] = []


TxnOffsetCommitRequest.RESPONSE = TxnOffsetCommitResponse

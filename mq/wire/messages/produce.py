# Generated from the schemas of Apache Kafka 4.3.0 by tools/generate_messages.py. Do not edit.
from typing import Annotated, ClassVar
from uuid import UUID

from mq.wire.fields import (
    ZERO_UUID,
    Field,
    Records,
    Request,
    Response,
    Struct,
    factory,
    int16,
    int32,
    int64,
    versions,
)


class PartitionProduceData(Struct):
    index: int32 = 0
    records: Records | None = None


class TopicProduceData(Struct):
    name: Annotated[str, Field("0-12", ignorable=True)] = ""
    topic_id: Annotated[UUID, Field("13+", ignorable=True)] = ZERO_UUID
    partition_data: list[PartitionProduceData] = []


class ProduceRequest(Request):
    API_KEY: ClassVar[int] = 0
    VERSIONS: ClassVar[range] = versions(3, 13)
    FLEXIBLE: ClassVar[int | None] = 9

    transactional_id: str | None = None
    acks: int16 = 0
    timeout_ms: int32 = 0
    topic_data: list[TopicProduceData] = []


class BatchIndexAndErrorMessage(Struct):
    batch_index: int32 = 0
    batch_index_error_message: str | None = None


class LeaderIdAndEpoch(Struct):
    leader_id: int32 = -1
    leader_epoch: int32 = -1


class PartitionProduceResponse(Struct):
    index: int32 = 0
    error_code: int16 = 0
    base_offset: int64 = 0
    log_append_time_ms: int64 = -1
    log_start_offset: Annotated[int64, Field("5+", ignorable=True)] = -1
    record_errors: Annotated[list[BatchIndexAndErrorMessage], Field("8+", ignorable=True)] = []
    error_message: Annotated[str | None, Field("8+", ignorable=True)] = None
    current_leader: Annotated[LeaderIdAndEpoch, Field("10+", tag=0)] = factory(LeaderIdAndEpoch)


class TopicProduceResponse(Struct):
    name: Annotated[str, Field("0-12", ignorable=True)] = ""
    topic_id: Annotated[UUID, Field("13+", ignorable=True)] = ZERO_UUID
    partition_responses: list[PartitionProduceResponse] = []


class NodeEndpoint(Struct):
    node_id: int32 = 0
    host: str = ""
    port: int32 = 0
    rack: str | None = None


class ProduceResponse(Response):
    API_KEY: ClassVar[int] = 0
    VERSIONS: ClassVar[range] = versions(3, 13)
    FLEXIBLE: ClassVar[int | None] = 9

    responses: list[TopicProduceResponse] = []
    throttle_time_ms: int32 = 0
    node_endpoints: Annotated[list[NodeEndpoint], Field("10+", tag=0)] = []


ProduceRequest.RESPONSE = ProduceResponse

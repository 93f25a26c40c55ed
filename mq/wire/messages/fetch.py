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
    int8,
    int16,
    int32,
    int64,
    versions,
)


class ReplicaState(Struct):
    replica_id: int32 = -1
    replica_epoch: int64 = -1


class FetchPartition(Struct):
    partition: int32 = 0
    current_leader_epoch: Annotated[int32, Field("9+", ignorable=True)] = -1
    fetch_offset: int64 = 0
    last_fetched_epoch: Annotated[int32, Field("12+")] = -1
    log_start_offset: Annotated[int64, Field("5+", ignorable=True)] = -1
    partition_max_bytes: int32 = 0
    replica_directory_id: Annotated[UUID, Field("17+", tag=0, ignorable=True)] = ZERO_UUID
    high_watermark: Annotated[int64, Field("18+", tag=1, ignorable=True)] = 9223372036854775807


class FetchTopic(Struct):
    topic: Annotated[str, Field("0-12", ignorable=True)] = ""
    topic_id: Annotated[UUID, Field("13+", ignorable=True)] = ZERO_UUID
    partitions: list[FetchPartition] = []


class ForgottenTopic(Struct):
    topic: Annotated[str, Field("7-12", ignorable=True)] = ""
    topic_id: Annotated[UUID, Field("13+", ignorable=True)] = ZERO_UUID
    partitions: list[int32] = []


class FetchRequest(Request):
    API_KEY: ClassVar[int] = 1
    VERSIONS: ClassVar[range] = versions(4, 18)
    FLEXIBLE: ClassVar[int | None] = 12

    cluster_id: Annotated[str | None, Field("12+", tag=0, ignorable=True)] = None
    replica_id: Annotated[int32, Field("0-14")] = -1
    replica_state: Annotated[ReplicaState, Field("15+", tag=1)] = factory(ReplicaState)
    max_wait_ms: int32 = 0
    min_bytes: int32 = 0
    max_bytes: int32 = 0x7FFFFFFF
    isolation_level: int8 = 0
    session_id: Annotated[int32, Field("7+", ignorable=True)] = 0
    session_epoch: Annotated[int32, Field("7+", ignorable=True)] = -1
    topics: list[FetchTopic] = []
    forgotten_topics_data: Annotated[list[ForgottenTopic], Field("7+")] = []
    rack_id: Annotated[str, Field("11+", ignorable=True)] = ""


class EpochEndOffset(Struct):
    epoch: int32 = -1
    end_offset: int64 = -1


class LeaderIdAndEpoch(Struct):
    leader_id: int32 = -1
    leader_epoch: int32 = -1


class SnapshotId(Struct):
    end_offset: int64 = -1
    epoch: int32 = -1


class AbortedTransaction(Struct):
    producer_id: int64 = 0
    first_offset: int64 = 0


class PartitionData(Struct):
    partition_index: int32 = 0
    error_code: int16 = 0
    high_watermark: int64 = 0
    last_stable_offset: int64 = -1
    log_start_offset: Annotated[int64, Field("5+", ignorable=True)] = -1
    diverging_epoch: Annotated[EpochEndOffset, Field("12+", tag=0)] = factory(EpochEndOffset)
    current_leader: Annotated[LeaderIdAndEpoch, Field("12+", tag=1)] = factory(LeaderIdAndEpoch)
    snapshot_id: Annotated[SnapshotId, Field("12+", tag=2)] = factory(SnapshotId)
    aborted_transactions: list[AbortedTransaction] | None = []
    preferred_read_replica: Annotated[int32, Field("11+")] = -1
    records: Records | None = None


class FetchableTopicResponse(Struct):
    topic: Annotated[str, Field("0-12", ignorable=True)] = ""
    topic_id: Annotated[UUID, Field("13+", ignorable=True)] = ZERO_UUID
    partitions: list[PartitionData] = []


class NodeEndpoint(Struct):
    node_id: int32 = 0
    host: str = ""
    port: int32 = 0
    rack: str | None = None


class FetchResponse(Response):
    API_KEY: ClassVar[int] = 1
    VERSIONS: ClassVar[range] = versions(4, 18)
    FLEXIBLE: ClassVar[int | None] = 12

    throttle_time_ms: int32 = 0
    error_code: Annotated[int16, Field("7+", ignorable=True)] = 0
    session_id: Annotated[int32, Field("7+")] = 0
    responses: list[FetchableTopicResponse] = []
    node_endpoints: Annotated[list[NodeEndpoint], Field("16+", tag=0)] = []


FetchRequest.RESPONSE = FetchResponse

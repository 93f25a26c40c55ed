# Generated from the schemas of Apache Kafka 4.3.0 by tools/generate_messages.py. Do not edit.
from typing import Annotated, ClassVar

from mq.wire.fields import Field, Request, Response, Struct, int8, int16, int32, versions


class TopicPartitions(Struct):
    topic: str = ""
    partitions: list[int32] = []


class ElectLeadersRequest(Request):
    API_KEY: ClassVar[int] = 43
    VERSIONS: ClassVar[range] = versions(0, 2)
    FLEXIBLE: ClassVar[int | None] = 2

    election_type: Annotated[int8, Field("1+")] = 0
    topic_partitions: list[TopicPartitions] | None = []
    timeout_ms: int32 = 60000


class PartitionResult(Struct):
    partition_id: int32 = 0
    error_code: int16 = 0
    error_message: str | None = ""


class ReplicaElectionResult(Struct):
    topic: str = ""
    partition_result: list[PartitionResult] = []


class ElectLeadersResponse(Response):
    API_KEY: ClassVar[int] = 43
    VERSIONS: ClassVar[range] = versions(0, 2)
    FLEXIBLE: ClassVar[int | None] = 2

    throttle_time_ms: int32 = 0
    error_code: Annotated[int16, Field("1+")] = 0
    replica_election_results: list[ReplicaElectionResult] = []


ElectLeadersRequest.RESPONSE = ElectLeadersResponse

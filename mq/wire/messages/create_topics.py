# Generated from the schemas of Apache Kafka 4.3.0 by tools/generate_messages.py. Do not edit.
from typing import Annotated, ClassVar
from uuid import UUID

from mq.wire.fields import ZERO_UUID, Field, Request, Response, Struct, int8, int16, int32, versions


class CreatableReplicaAssignment(Struct):
    partition_index: int32 = 0
    broker_ids: list[int32] = []


class CreatableTopicConfig(Struct):
    name: str = ""
    value: str | None = ""


class CreatableTopic(Struct):
    name: str = ""
    num_partitions: int32 = 0
    replication_factor: int16 = 0
    assignments: list[CreatableReplicaAssignment] = []
    configs: list[CreatableTopicConfig] = []


class CreateTopicsRequest(Request):
    API_KEY: ClassVar[int] = 19
    VERSIONS: ClassVar[range] = versions(2, 7)
    FLEXIBLE: ClassVar[int | None] = 5

    topics: list[CreatableTopic] = []
    timeout_ms: int32 = 60000
    validate_only: bool = False


class CreatableTopicConfigs(Struct):
    name: str = ""
    value: str | None = ""
    read_only: bool = False
    config_source: int8 = -1
    is_sensitive: bool = False


class CreatableTopicResult(Struct):
    name: str = ""
    topic_id: Annotated[UUID, Field("7+", ignorable=True)] = ZERO_UUID
    error_code: int16 = 0
    error_message: str | None = ""
    topic_config_error_code: Annotated[int16, Field("5+", tag=0, ignorable=True)] = 0
    num_partitions: Annotated[int32, Field("5+", ignorable=True)] = -1
    replication_factor: Annotated[int16, Field("5+", ignorable=True)] = -1
    configs: Annotated[list[CreatableTopicConfigs] | None, Field("5+", ignorable=True)] = []


class CreateTopicsResponse(Response):
    API_KEY: ClassVar[int] = 19
    VERSIONS: ClassVar[range] = versions(2, 7)
    FLEXIBLE: ClassVar[int | None] = 5

    throttle_time_ms: int32 = 0
    topics: list[CreatableTopicResult] = []


CreateTopicsRequest.RESPONSE = CreateTopicsResponse

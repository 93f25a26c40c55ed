# Generated from the schemas of Apache Kafka 4.3.0 by tools/generate_messages.py. Do not edit.
from typing import Annotated, ClassVar
from uuid import UUID

from mq.wire.fields import ZERO_UUID, Field, Request, Response, Struct, int16, int32, versions


class MetadataRequestTopic(Struct):
    topic_id: Annotated[UUID, Field("10+", ignorable=True)] = ZERO_UUID
    name: Annotated[str | None, Field(nullable="10+")] = ""


class MetadataRequest(Request):
    API_KEY: ClassVar[int] = 3
    VERSIONS: ClassVar[range] = versions(0, 13)
    FLEXIBLE: ClassVar[int | None] = 9

    topics: Annotated[list[MetadataRequestTopic] | None, Field(nullable="1+")] = []
    allow_auto_topic_creation: Annotated[bool, Field("4+")] = True
    include_cluster_authorized_operations: Annotated[bool, Field("8-10")] = False
    include_topic_authorized_operations: Annotated[bool, Field("8+")] = False


class MetadataResponseBroker(Struct):
    node_id: int32 = 0
    host: str = ""
    port: int32 = 0
    rack: Annotated[str | None, Field("1+", ignorable=True)] = None


class MetadataResponsePartition(Struct):
    error_code: int16 = 0
    partition_index: int32 = 0
    leader_id: int32 = 0
    leader_epoch: Annotated[int32, Field("7+", ignorable=True)] = -1
    replica_nodes: list[int32] = []
    isr_nodes: list[int32] = []
    offline_replicas: Annotated[list[int32], Field("5+", ignorable=True)] = []


class MetadataResponseTopic(Struct):
    error_code: int16 = 0
    name: Annotated[str | None, Field(nullable="12+")] = ""
    topic_id: Annotated[UUID, Field("10+", ignorable=True)] = ZERO_UUID
    is_internal: Annotated[bool, Field("1+", ignorable=True)] = False
    partitions: list[MetadataResponsePartition] = []
    topic_authorized_operations: Annotated[int32, Field("8+")] = -2147483648


class MetadataResponse(Response):
    API_KEY: ClassVar[int] = 3
    VERSIONS: ClassVar[range] = versions(0, 13)
    FLEXIBLE: ClassVar[int | None] = 9

    throttle_time_ms: Annotated[int32, Field("3+", ignorable=True)] = 0
    brokers: list[MetadataResponseBroker] = []
    cluster_id: Annotated[str | None, Field("2+", ignorable=True)] = None
    controller_id: Annotated[int32, Field("1+", ignorable=True)] = -1
    topics: list[MetadataResponseTopic] = []
    cluster_authorized_operations: Annotated[int32, Field("8-10")] = -2147483648
    error_code: Annotated[int16, Field("13+", ignorable=True)] = 0


MetadataRequest.RESPONSE = MetadataResponse

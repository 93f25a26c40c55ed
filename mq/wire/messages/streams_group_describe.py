# Generated from the schemas of Apache Kafka 4.3.0 by tools/generate_messages.py. Do not edit.
from typing import ClassVar

from mq.wire.fields import Request, Response, Struct, factory, int16, int32, int64, uint16, versions


class StreamsGroupDescribeRequest(Request):
    API_KEY: ClassVar[int] = 89
    VERSIONS: ClassVar[range] = versions(0, 0)
    FLEXIBLE: ClassVar[int | None] = 0

    group_ids: list[str] = []
    include_authorized_operations: bool = False


class KeyValue(Struct):
    key: str = ""
    value: str = ""


class TopicInfo(Struct):
    name: str = ""
    partitions: int32 = 0
    replication_factor: int16 = 0
    topic_configs: list[KeyValue] = []


class Subtopology(Struct):
    subtopology_id: str = ""
    source_topics: list[str] = []
    repartition_sink_topics: list[str] = []
    state_changelog_topics: list[TopicInfo] = []
    repartition_source_topics: list[TopicInfo] = []


class Topology(Struct):
    epoch: int32 = 0
    subtopologies: list[Subtopology] | None = None


class Endpoint(Struct):
    host: str = ""
    port: uint16 = 0


class TaskOffset(Struct):
    subtopology_id: str = ""
    partition: int32 = 0
    offset: int64 = 0


class TaskIds(Struct):
    subtopology_id: str = ""
    partitions: list[int32] = []


class Assignment(Struct):
    active_tasks: list[TaskIds] = []
    standby_tasks: list[TaskIds] = []
    warmup_tasks: list[TaskIds] = []


class Member(Struct):
    member_id: str = ""
    member_epoch: int32 = 0
    instance_id: str | None = None
    rack_id: str | None = None
    client_id: str = ""
    client_host: str = ""
    topology_epoch: int32 = 0
    process_id: str = ""
    user_endpoint: Endpoint | None = None
    client_tags: list[KeyValue] = []
    task_offsets: list[TaskOffset] = []
    task_end_offsets: list[TaskOffset] = []
    assignment: Assignment = factory(Assignment)
    target_assignment: Assignment = factory(Assignment)
    is_classic: bool = False


class DescribedGroup(Struct):
    error_code: int16 = 0
    error_message: str | None = None
    group_id: str = ""
    group_state: str = ""
    group_epoch: int32 = 0
    assignment_epoch: int32 = 0
    topology: Topology | None = None
    members: list[Member] = []
    authorized_operations: int32 = -2147483648


class StreamsGroupDescribeResponse(Response):
    API_KEY: ClassVar[int] = 89
    VERSIONS: ClassVar[range] = versions(0, 0)
    FLEXIBLE: ClassVar[int | None] = 0

    throttle_time_ms: int32 = 0
    groups: list[DescribedGroup] = []


StreamsGroupDescribeRequest.RESPONSE = StreamsGroupDescribeResponse

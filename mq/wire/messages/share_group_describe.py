# Generated from the schemas of Apache Kafka 4.3.0 by tools/generate_messages.py. Do not edit.
from typing import ClassVar
from uuid import UUID

from mq.wire.fields import ZERO_UUID, Request, Response, Struct, factory, int16, int32, versions


class ShareGroupDescribeRequest(Request):
    API_KEY: ClassVar[int] = 77
    VERSIONS: ClassVar[range] = versions(1, 1)
    FLEXIBLE: ClassVar[int | None] = 0

    group_ids: list[str] = []
    include_authorized_operations: bool = False


class TopicPartitions(Struct):
    topic_id: UUID = ZERO_UUID
    topic_name: str = ""
    partitions: list[int32] = []


class Assignment(Struct):
    topic_partitions: list[TopicPartitions] = []


class Member(Struct):
    member_id: str = ""
    rack_id: str | None = None
    member_epoch: int32 = 0
    client_id: str = ""
    client_host: str = ""
    subscribed_topic_names: list[str] = []
    assignment: Assignment = factory(Assignment)


class DescribedGroup(Struct):
    error_code: int16 = 0
    error_message: str | None = None
    group_id: str = ""
    group_state: str = ""
    group_epoch: int32 = 0
    assignment_epoch: int32 = 0
    assignor_name: str = ""
    members: list[Member] = []
    authorized_operations: int32 = -2147483648


class ShareGroupDescribeResponse(Response):
    API_KEY: ClassVar[int] = 77
    VERSIONS: ClassVar[range] = versions(1, 1)
    FLEXIBLE: ClassVar[int | None] = 0

    throttle_time_ms: int32 = 0
    groups: list[DescribedGroup] = []


ShareGroupDescribeRequest.RESPONSE = ShareGroupDescribeResponse

# Generated from the schemas of Apache Kafka 4.3.0 by tools/generate_messages.py. Do not edit.
from typing import ClassVar
from uuid import UUID

from mq.wire.fields import ZERO_UUID, Request, Response, Struct, int16, int32, versions


class ShareGroupHeartbeatRequest(Request):
    API_KEY: ClassVar[int] = 76
    VERSIONS: ClassVar[range] = versions(1, 1)
    FLEXIBLE: ClassVar[int | None] = 0

    group_id: str = ""
    member_id: str = ""
    member_epoch: int32 = 0
    rack_id: str | None = None
    subscribed_topic_names: list[str] | None = None


class TopicPartitions(Struct):
    topic_id: UUID = ZERO_UUID
    partitions: list[int32] = []


class Assignment(Struct):
    topic_partitions: list[TopicPartitions] = []


class ShareGroupHeartbeatResponse(Response):
    API_KEY: ClassVar[int] = 76
    VERSIONS: ClassVar[range] = versions(1, 1)
    FLEXIBLE: ClassVar[int | None] = 0

    throttle_time_ms: int32 = 0
    error_code: int16 = 0
    error_message: str | None = None
    member_id: str | None = None
    member_epoch: int32 = 0
    heartbeat_interval_ms: int32 = 0
    assignment: Assignment | None = None


ShareGroupHeartbeatRequest.RESPONSE = ShareGroupHeartbeatResponse

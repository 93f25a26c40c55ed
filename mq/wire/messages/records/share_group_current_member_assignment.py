# Generated from the schemas of Apache Kafka 4.3.0 by tools/generate_messages.py. Do not edit.
from typing import ClassVar
from uuid import UUID

from mq.wire.fields import ZERO_UUID, Message, Struct, int8, int32, versions


class ShareGroupCurrentMemberAssignmentKey(Message):
    API_KEY: ClassVar[int] = 14
    VERSIONS: ClassVar[range] = versions(0, 0)
    FLEXIBLE: ClassVar[int | None] = None

    group_id: str = ""
    member_id: str = ""


class TopicPartitions(Struct):
    topic_id: UUID = ZERO_UUID
    partitions: list[int32] = []


class ShareGroupCurrentMemberAssignmentValue(Message):
    API_KEY: ClassVar[int] = 14
    VERSIONS: ClassVar[range] = versions(0, 0)
    FLEXIBLE: ClassVar[int | None] = 0

    member_epoch: int32 = 0
    previous_member_epoch: int32 = 0
    state: int8 = 0
    assigned_partitions: list[TopicPartitions] = []

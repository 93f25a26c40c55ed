# Generated from the schemas of Apache Kafka 4.3.0 by tools/generate_messages.py. Do not edit.
from typing import ClassVar
from uuid import UUID

from mq.wire.fields import ZERO_UUID, Message, Struct, int32, versions


class ShareGroupTargetAssignmentMemberKey(Message):
    API_KEY: ClassVar[int] = 13
    VERSIONS: ClassVar[range] = versions(0, 0)
    FLEXIBLE: ClassVar[int | None] = None

    group_id: str = ""
    member_id: str = ""


class TopicPartition(Struct):
    topic_id: UUID = ZERO_UUID
    partitions: list[int32] = []


class ShareGroupTargetAssignmentMemberValue(Message):
    API_KEY: ClassVar[int] = 13
    VERSIONS: ClassVar[range] = versions(0, 0)
    FLEXIBLE: ClassVar[int | None] = 0

    topic_partitions: list[TopicPartition] = []

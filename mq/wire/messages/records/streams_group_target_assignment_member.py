# Generated from the schemas of Apache Kafka 4.3.0 by tools/generate_messages.py. Do not edit.
from typing import ClassVar

from mq.wire.fields import Message, Struct, int32, versions


class StreamsGroupTargetAssignmentMemberKey(Message):
    API_KEY: ClassVar[int] = 21
    VERSIONS: ClassVar[range] = versions(0, 0)
    FLEXIBLE: ClassVar[int | None] = None

    group_id: str = ""
    member_id: str = ""


class TaskIds(Struct):
    subtopology_id: str = ""
    partitions: list[int32] = []


class StreamsGroupTargetAssignmentMemberValue(Message):
    API_KEY: ClassVar[int] = 21
    VERSIONS: ClassVar[range] = versions(0, 0)
    FLEXIBLE: ClassVar[int | None] = 0

    active_tasks: list[TaskIds] = []
    standby_tasks: list[TaskIds] = []
    warmup_tasks: list[TaskIds] = []

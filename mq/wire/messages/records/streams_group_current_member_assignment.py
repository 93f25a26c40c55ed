# Generated from the schemas of Apache Kafka 4.3.0 by tools/generate_messages.py. Do not edit.
from typing import Annotated, ClassVar

from mq.wire.fields import Field, Message, Struct, int8, int32, versions


class StreamsGroupCurrentMemberAssignmentKey(Message):
    API_KEY: ClassVar[int] = 22
    VERSIONS: ClassVar[range] = versions(0, 0)
    FLEXIBLE: ClassVar[int | None] = None

    group_id: str = ""
    member_id: str = ""


class TaskIds(Struct):
    subtopology_id: str = ""
    partitions: list[int32] = []
    assignment_epochs: Annotated[list[int32] | None, Field(tag=0)] = []


class StreamsGroupCurrentMemberAssignmentValue(Message):
    API_KEY: ClassVar[int] = 22
    VERSIONS: ClassVar[range] = versions(0, 0)
    FLEXIBLE: ClassVar[int | None] = 0

    member_epoch: int32 = 0
    previous_member_epoch: int32 = 0
    state: int8 = 0
    active_tasks: list[TaskIds] = []
    standby_tasks: list[TaskIds] = []
    warmup_tasks: list[TaskIds] = []
    active_tasks_pending_revocation: list[TaskIds] = []
    standby_tasks_pending_revocation: list[TaskIds] = []
    warmup_tasks_pending_revocation: list[TaskIds] = []

# Generated from the schemas of Apache Kafka 4.3.0 by tools/generate_messages.py. Do not edit.
from typing import Annotated, ClassVar
from uuid import UUID

from mq.wire.fields import ZERO_UUID, Field, Message, int8, int32, versions


class PartitionRecord(Message):
    API_KEY: ClassVar[int] = 3
    VERSIONS: ClassVar[range] = versions(0, 2)
    FLEXIBLE: ClassVar[int | None] = 0

    partition_id: int32 = -1
    topic_id: UUID = ZERO_UUID
    replicas: list[int32] = []
    isr: list[int32] = []
    removing_replicas: list[int32] = []
    adding_replicas: list[int32] = []
    leader: int32 = -1
    leader_recovery_state: Annotated[int8, Field(tag=0)] = 0
    leader_epoch: int32 = -1
    partition_epoch: int32 = -1
    directories: Annotated[list[UUID], Field("1+")] = []
    eligible_leader_replicas: Annotated[list[int32] | None, Field("2+", tag=1)] = None
    last_known_elr: Annotated[list[int32] | None, Field("2+", tag=2)] = None

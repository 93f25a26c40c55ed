# Generated from the schemas of Apache Kafka 4.3.0 by tools/generate_messages.py. Do not edit.
from typing import Annotated, ClassVar
from uuid import UUID

from mq.wire.fields import ZERO_UUID, Field, Message, int8, int32, versions


class PartitionChangeRecord(Message):
    API_KEY: ClassVar[int] = 5
    VERSIONS: ClassVar[range] = versions(0, 2)
    FLEXIBLE: ClassVar[int | None] = 0

    partition_id: int32 = -1
    topic_id: UUID = ZERO_UUID
    isr: Annotated[list[int32] | None, Field(tag=0)] = None
    leader: Annotated[int32, Field(tag=1)] = -2
    replicas: Annotated[list[int32] | None, Field(tag=2)] = None
    removing_replicas: Annotated[list[int32] | None, Field(tag=3)] = None
    adding_replicas: Annotated[list[int32] | None, Field(tag=4)] = None
    leader_recovery_state: Annotated[int8, Field(tag=5)] = -1
    directories: Annotated[list[UUID] | None, Field("1+", tag=8)] = None
    eligible_leader_replicas: Annotated[list[int32] | None, Field("2+", tag=6)] = None
    last_known_elr: Annotated[list[int32] | None, Field("2+", tag=7)] = None

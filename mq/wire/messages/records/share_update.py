# Generated from the schemas of Apache Kafka 4.3.0 by tools/generate_messages.py. Do not edit.
from typing import Annotated, ClassVar
from uuid import UUID

from mq.wire.fields import ZERO_UUID, Field, Message, Struct, int8, int16, int32, int64, versions


class ShareUpdateKey(Message):
    API_KEY: ClassVar[int] = 1
    VERSIONS: ClassVar[range] = versions(0, 0)
    FLEXIBLE: ClassVar[int | None] = None

    group_id: str = ""
    topic_id: UUID = ZERO_UUID
    partition: int32 = 0


class StateBatch(Struct):
    first_offset: int64 = 0
    last_offset: int64 = 0
    delivery_state: int8 = 0
    delivery_count: int16 = 0


class ShareUpdateValue(Message):
    API_KEY: ClassVar[int] = 1
    VERSIONS: ClassVar[range] = versions(0, 0)
    FLEXIBLE: ClassVar[int | None] = 0

    snapshot_epoch: int32 = 0
    leader_epoch: int32 = 0
    start_offset: int64 = 0
    delivery_complete_count: Annotated[int32, Field(tag=0)] = -1
    state_batches: list[StateBatch] = []

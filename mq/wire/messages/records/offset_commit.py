# Generated from the schemas of Apache Kafka 4.3.0 by tools/generate_messages.py. Do not edit.
from typing import Annotated, ClassVar
from uuid import UUID

from mq.wire.fields import ZERO_UUID, Field, Message, int32, int64, versions


class OffsetCommitKey(Message):
    API_KEY: ClassVar[int] = 1
    VERSIONS: ClassVar[range] = versions(0, 0)
    FLEXIBLE: ClassVar[int | None] = None

    group: str = ""
    topic: str = ""
    partition: int32 = 0


class OffsetCommitValue(Message):
    API_KEY: ClassVar[int] = 1
    VERSIONS: ClassVar[range] = versions(0, 4)
    FLEXIBLE: ClassVar[int | None] = 4

    offset: int64 = 0
    leader_epoch: Annotated[int32, Field("3+", ignorable=True)] = -1
    metadata: str = ""
    commit_timestamp: int64 = 0
    expire_timestamp: Annotated[int64, Field("1", ignorable=True)] = -1
    topic_id: Annotated[UUID, Field("4+", tag=0, ignorable=True)] = ZERO_UUID

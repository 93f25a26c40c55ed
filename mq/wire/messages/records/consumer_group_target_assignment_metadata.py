# Generated from the schemas of Apache Kafka 4.3.0 by tools/generate_messages.py. Do not edit.
from typing import Annotated, ClassVar

from mq.wire.fields import Field, Message, int32, int64, versions


class ConsumerGroupTargetAssignmentMetadataKey(Message):
    API_KEY: ClassVar[int] = 6
    VERSIONS: ClassVar[range] = versions(0, 0)
    FLEXIBLE: ClassVar[int | None] = None

    group_id: str = ""


class ConsumerGroupTargetAssignmentMetadataValue(Message):
    API_KEY: ClassVar[int] = 6
    VERSIONS: ClassVar[range] = versions(0, 0)
    FLEXIBLE: ClassVar[int | None] = 0

    assignment_epoch: int32 = 0
    assignment_timestamp: Annotated[int64, Field(tag=0)] = 0

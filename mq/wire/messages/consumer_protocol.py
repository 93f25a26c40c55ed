# Generated from the schemas of Apache Kafka 4.3.0 by tools/generate_messages.py. Do not edit.
from typing import Annotated, ClassVar

from mq.wire.fields import Field, Message, Struct, int32, versions


class TopicPartition(Struct):
    topic: str = ""
    partitions: list[int32] = []


class ConsumerProtocolAssignment(Message):
    VERSIONS: ClassVar[range] = versions(0, 3)
    FLEXIBLE: ClassVar[int | None] = None

    assigned_partitions: list[TopicPartition] = []
    user_data: bytes | None = None


class ConsumerProtocolSubscription(Message):
    VERSIONS: ClassVar[range] = versions(0, 3)
    FLEXIBLE: ClassVar[int | None] = None

    topics: list[str] = []
    user_data: bytes | None = None
    owned_partitions: Annotated[list[TopicPartition], Field("1+", ignorable=True)] = []
    generation_id: Annotated[int32, Field("2+", ignorable=True)] = -1
    rack_id: Annotated[str | None, Field("3+", ignorable=True)] = None

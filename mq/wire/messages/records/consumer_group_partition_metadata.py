# Generated from the schemas of Apache Kafka 4.3.0 by tools/generate_messages.py. Do not edit.
from typing import ClassVar
from uuid import UUID

from mq.wire.fields import ZERO_UUID, Message, Struct, int32, versions


class ConsumerGroupPartitionMetadataKey(Message):
    API_KEY: ClassVar[int] = 4
    VERSIONS: ClassVar[range] = versions(0, 0)
    FLEXIBLE: ClassVar[int | None] = None

    group_id: str = ""


class PartitionMetadata(Struct):
    partition: int32 = 0
    racks: list[str] = []


class TopicMetadata(Struct):
    topic_id: UUID = ZERO_UUID
    topic_name: str = ""
    num_partitions: int32 = 0
    partition_metadata: list[PartitionMetadata] = []


class ConsumerGroupPartitionMetadataValue(Message):
    API_KEY: ClassVar[int] = 4
    VERSIONS: ClassVar[range] = versions(0, 0)
    FLEXIBLE: ClassVar[int | None] = 0

    topics: list[TopicMetadata] = []

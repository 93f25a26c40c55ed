# Generated from the schemas of Apache Kafka 4.3.0 by tools/generate_messages.py. Do not edit.
from typing import ClassVar
from uuid import UUID

from mq.wire.fields import ZERO_UUID, Message, Struct, int32, versions


class ShareGroupStatePartitionMetadataKey(Message):
    API_KEY: ClassVar[int] = 15
    VERSIONS: ClassVar[range] = versions(0, 0)
    FLEXIBLE: ClassVar[int | None] = None

    group_id: str = ""


class TopicPartitionsInfo(Struct):
    topic_id: UUID = ZERO_UUID
    topic_name: str = ""
    partitions: list[int32] = []


class TopicInfo(Struct):
    topic_id: UUID = ZERO_UUID
    topic_name: str = ""


class ShareGroupStatePartitionMetadataValue(Message):
    API_KEY: ClassVar[int] = 15
    VERSIONS: ClassVar[range] = versions(0, 0)
    FLEXIBLE: ClassVar[int | None] = 0

    initializing_topics: list[TopicPartitionsInfo] = []
    initialized_topics: list[TopicPartitionsInfo] = []
    deleting_topics: list[TopicInfo] = []

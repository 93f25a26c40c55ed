# Generated from the schemas of Apache Kafka 4.3.0 by tools/generate_messages.py. Do not edit.
from typing import ClassVar

from mq.wire.fields import Message, int32, int64, versions


class ShareGroupMetadataKey(Message):
    API_KEY: ClassVar[int] = 11
    VERSIONS: ClassVar[range] = versions(0, 0)
    FLEXIBLE: ClassVar[int | None] = None

    group_id: str = ""


class ShareGroupMetadataValue(Message):
    API_KEY: ClassVar[int] = 11
    VERSIONS: ClassVar[range] = versions(0, 0)
    FLEXIBLE: ClassVar[int | None] = 0

    epoch: int32 = 0
    metadata_hash: int64 = 0

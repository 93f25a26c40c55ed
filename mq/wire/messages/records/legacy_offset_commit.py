# Generated from the schemas of Apache Kafka 4.3.0 by tools/generate_messages.py. Do not edit.
from typing import ClassVar

from mq.wire.fields import Message, int32, int64, versions


class LegacyOffsetCommitKey(Message):
    API_KEY: ClassVar[int] = 0
    VERSIONS: ClassVar[range] = versions(0, 0)
    FLEXIBLE: ClassVar[int | None] = None

    group: str = ""
    topic: str = ""
    partition: int32 = 0


class LegacyOffsetCommitValue(Message):
    API_KEY: ClassVar[int] = 0
    VERSIONS: ClassVar[range] = versions(0, 0)
    FLEXIBLE: ClassVar[int | None] = None

    offset: int64 = 0
    metadata: str = ""
    commit_timestamp: int64 = 0

# Generated from the schemas of Apache Kafka 4.3.0 by tools/generate_messages.py. Do not edit.
from typing import ClassVar

from mq.wire.fields import Message, int64, versions


class ConsumerGroupRegularExpressionKey(Message):
    API_KEY: ClassVar[int] = 16
    VERSIONS: ClassVar[range] = versions(0, 0)
    FLEXIBLE: ClassVar[int | None] = None

    group_id: str = ""
    regular_expression: str = ""


class ConsumerGroupRegularExpressionValue(Message):
    API_KEY: ClassVar[int] = 16
    VERSIONS: ClassVar[range] = versions(0, 0)
    FLEXIBLE: ClassVar[int | None] = 0

    topics: list[str] = []
    version: int64 = 0
    timestamp: int64 = 0

# Generated from the schemas of Apache Kafka 4.3.0 by tools/generate_messages.py. Do not edit.
from typing import ClassVar

from mq.wire.fields import Message, int16, versions


class FeatureLevelRecord(Message):
    API_KEY: ClassVar[int] = 12
    VERSIONS: ClassVar[range] = versions(0, 0)
    FLEXIBLE: ClassVar[int | None] = 0

    name: str = ""
    feature_level: int16 = 0

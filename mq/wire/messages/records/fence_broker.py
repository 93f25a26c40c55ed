# Generated from the schemas of Apache Kafka 4.3.0 by tools/generate_messages.py. Do not edit.
from typing import ClassVar

from mq.wire.fields import Message, int32, int64, versions


class FenceBrokerRecord(Message):
    API_KEY: ClassVar[int] = 7
    VERSIONS: ClassVar[range] = versions(0, 0)
    FLEXIBLE: ClassVar[int | None] = 0

    id: int32 = 0
    epoch: int64 = 0

# Generated from the schemas of Apache Kafka 4.3.0 by tools/generate_messages.py. Do not edit.
from typing import ClassVar

from mq.wire.fields import Message, int32, int64, versions


class UnregisterBrokerRecord(Message):
    API_KEY: ClassVar[int] = 1
    VERSIONS: ClassVar[range] = versions(0, 0)
    FLEXIBLE: ClassVar[int | None] = 0

    broker_id: int32 = 0
    broker_epoch: int64 = 0

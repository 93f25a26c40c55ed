# Generated from the schemas of Apache Kafka 4.3.0 by tools/generate_messages.py. Do not edit.
from typing import ClassVar

from mq.wire.fields import Message, int16, int64, versions


class SnapshotHeaderRecord(Message):
    VERSIONS: ClassVar[range] = versions(0, 0)
    FLEXIBLE: ClassVar[int | None] = 0

    version: int16 = 0
    last_contained_log_timestamp: int64 = 0

# Generated from the schemas of Apache Kafka 4.3.0 by tools/generate_messages.py. Do not edit.
from typing import ClassVar

from mq.wire.fields import Message, int8, versions


class ConfigRecord(Message):
    API_KEY: ClassVar[int] = 4
    VERSIONS: ClassVar[range] = versions(0, 0)
    FLEXIBLE: ClassVar[int | None] = 0

    resource_type: int8 = 0
    resource_name: str = ""
    name: str = ""
    value: str | None = ""

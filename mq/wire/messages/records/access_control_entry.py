# Generated from the schemas of Apache Kafka 4.3.0 by tools/generate_messages.py. Do not edit.
from typing import ClassVar
from uuid import UUID

from mq.wire.fields import ZERO_UUID, Message, int8, versions


class AccessControlEntryRecord(Message):
    API_KEY: ClassVar[int] = 18
    VERSIONS: ClassVar[range] = versions(0, 0)
    FLEXIBLE: ClassVar[int | None] = 0

    id: UUID = ZERO_UUID
    resource_type: int8 = 0
    resource_name: str = ""
    pattern_type: int8 = 0
    principal: str = ""
    host: str = ""
    operation: int8 = 0
    permission_type: int8 = 0

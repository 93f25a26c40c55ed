# Generated from the schemas of Apache Kafka 4.3.0 by tools/generate_messages.py. Do not edit.
from typing import ClassVar

from mq.wire.fields import Message, Struct, versions


class EntityData(Struct):
    entity_type: str = ""
    entity_name: str | None = ""


class ClientQuotaRecord(Message):
    API_KEY: ClassVar[int] = 14
    VERSIONS: ClassVar[range] = versions(0, 0)
    FLEXIBLE: ClassVar[int | None] = 0

    entity: list[EntityData] = []
    key: str = ""
    value: float = 0.0
    remove: bool = False

# Generated from the schemas of Apache Kafka 4.3.0 by tools/generate_messages.py. Do not edit.
from typing import ClassVar

from mq.wire.fields import Request, Response, Struct, int8, int16, int32, versions


class ComponentData(Struct):
    entity_type: str = ""
    match_type: int8 = 0
    match: str | None = ""


class DescribeClientQuotasRequest(Request):
    API_KEY: ClassVar[int] = 48
    VERSIONS: ClassVar[range] = versions(0, 1)
    FLEXIBLE: ClassVar[int | None] = 1

    components: list[ComponentData] = []
    strict: bool = False


class EntityData(Struct):
    entity_type: str = ""
    entity_name: str | None = ""


class ValueData(Struct):
    key: str = ""
    value: float = 0.0


class EntryData(Struct):
    entity: list[EntityData] = []
    values: list[ValueData] = []


class DescribeClientQuotasResponse(Response):
    API_KEY: ClassVar[int] = 48
    VERSIONS: ClassVar[range] = versions(0, 1)
    FLEXIBLE: ClassVar[int | None] = 1

    throttle_time_ms: int32 = 0
    error_code: int16 = 0
    error_message: str | None = ""
    entries: list[EntryData] | None = []


DescribeClientQuotasRequest.RESPONSE = DescribeClientQuotasResponse

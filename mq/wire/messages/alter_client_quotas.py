# Generated from the schemas of Apache Kafka 4.3.0 by tools/generate_messages.py. Do not edit.
from typing import ClassVar

from mq.wire.fields import Request, Response, Struct, int16, int32, versions


class EntityData(Struct):
    entity_type: str = ""
    entity_name: str | None = ""


class OpData(Struct):
    key: str = ""
    value: float = 0.0
    remove: bool = False


class RequestEntryData(Struct):
    entity: list[EntityData] = []
    ops: list[OpData] = []


class AlterClientQuotasRequest(Request):
    API_KEY: ClassVar[int] = 49
    VERSIONS: ClassVar[range] = versions(0, 1)
    FLEXIBLE: ClassVar[int | None] = 1

    entries: list[RequestEntryData] = []
    validate_only: bool = False


class ResponseEntryData(Struct):
    error_code: int16 = 0
    error_message: str | None = ""
    entity: list[EntityData] = []


class AlterClientQuotasResponse(Response):
    API_KEY: ClassVar[int] = 49
    VERSIONS: ClassVar[range] = versions(0, 1)
    FLEXIBLE: ClassVar[int | None] = 1

    throttle_time_ms: int32 = 0
    entries: list[ResponseEntryData] = []


AlterClientQuotasRequest.RESPONSE = AlterClientQuotasResponse

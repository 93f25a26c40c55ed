# Generated from the schemas of Apache Kafka 4.3.0 by tools/generate_messages.py. Do not edit.
from typing import ClassVar
from uuid import UUID

from mq.wire.fields import ZERO_UUID, Request, Response, int8, int16, int32, versions


class PushTelemetryRequest(Request):
    API_KEY: ClassVar[int] = 72
    VERSIONS: ClassVar[range] = versions(0, 0)
    FLEXIBLE: ClassVar[int | None] = 0

    client_instance_id: UUID = ZERO_UUID
    subscription_id: int32 = 0
    terminating: bool = False
    compression_type: int8 = 0
    metrics: bytes = b""


class PushTelemetryResponse(Response):
    API_KEY: ClassVar[int] = 72
    VERSIONS: ClassVar[range] = versions(0, 0)
    FLEXIBLE: ClassVar[int | None] = 0

    throttle_time_ms: int32 = 0
    error_code: int16 = 0


PushTelemetryRequest.RESPONSE = PushTelemetryResponse

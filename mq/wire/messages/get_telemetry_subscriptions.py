# Generated from the schemas of Apache Kafka 4.3.0 by tools/generate_messages.py. Do not edit.
from typing import ClassVar
from uuid import UUID

from mq.wire.fields import ZERO_UUID, Request, Response, int8, int16, int32, versions


class GetTelemetrySubscriptionsRequest(Request):
    API_KEY: ClassVar[int] = 71
    VERSIONS: ClassVar[range] = versions(0, 0)
    FLEXIBLE: ClassVar[int | None] = 0

    client_instance_id: UUID = ZERO_UUID


class GetTelemetrySubscriptionsResponse(Response):
    API_KEY: ClassVar[int] = 71
    VERSIONS: ClassVar[range] = versions(0, 0)
    FLEXIBLE: ClassVar[int | None] = 0

    throttle_time_ms: int32 = 0
    error_code: int16 = 0
    client_instance_id: UUID = ZERO_UUID
    subscription_id: int32 = 0
    accepted_compression_types: list[int8] = []
    push_interval_ms: int32 = 0
    telemetry_max_bytes: int32 = 0
    delta_temporality: bool = False
    requested_metrics: list[str] = []


GetTelemetrySubscriptionsRequest.RESPONSE = GetTelemetrySubscriptionsResponse

# Generated from the schemas of Apache Kafka 4.3.0 by tools/generate_messages.py. Do not edit.
from typing import ClassVar

from mq.wire.fields import Request, Response, int16, int32, int64, versions


class ExpireDelegationTokenRequest(Request):
    API_KEY: ClassVar[int] = 40
    VERSIONS: ClassVar[range] = versions(1, 2)
    FLEXIBLE: ClassVar[int | None] = 2

    hmac: bytes = b""
    expiry_time_period_ms: int64 = 0


class ExpireDelegationTokenResponse(Response):
    API_KEY: ClassVar[int] = 40
    VERSIONS: ClassVar[range] = versions(1, 2)
    FLEXIBLE: ClassVar[int | None] = 2

    error_code: int16 = 0
    expiry_timestamp_ms: int64 = 0
    throttle_time_ms: int32 = 0


ExpireDelegationTokenRequest.RESPONSE = ExpireDelegationTokenResponse

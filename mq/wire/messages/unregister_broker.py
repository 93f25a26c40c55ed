# Generated from the schemas of Apache Kafka 4.3.0 by tools/generate_messages.py. Do not edit.
from typing import ClassVar

from mq.wire.fields import Request, Response, int16, int32, versions


class UnregisterBrokerRequest(Request):
    API_KEY: ClassVar[int] = 64
    VERSIONS: ClassVar[range] = versions(0, 0)
    FLEXIBLE: ClassVar[int | None] = 0

    broker_id: int32 = 0


class UnregisterBrokerResponse(Response):
    API_KEY: ClassVar[int] = 64
    VERSIONS: ClassVar[range] = versions(0, 0)
    FLEXIBLE: ClassVar[int | None] = 0

    throttle_time_ms: int32 = 0
    error_code: int16 = 0
    error_message: str | None = ""


UnregisterBrokerRequest.RESPONSE = UnregisterBrokerResponse

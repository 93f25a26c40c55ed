# Generated from the schemas of Apache Kafka 4.3.0 by tools/generate_messages.py. Do not edit.
from typing import Annotated, ClassVar

from mq.wire.fields import Field, Request, Response, int16, int64, versions


class SaslAuthenticateRequest(Request):
    API_KEY: ClassVar[int] = 36
    VERSIONS: ClassVar[range] = versions(0, 2)
    FLEXIBLE: ClassVar[int | None] = 2

    auth_bytes: bytes = b""


class SaslAuthenticateResponse(Response):
    API_KEY: ClassVar[int] = 36
    VERSIONS: ClassVar[range] = versions(0, 2)
    FLEXIBLE: ClassVar[int | None] = 2

    error_code: int16 = 0
    error_message: str | None = ""
    auth_bytes: bytes = b""
    session_lifetime_ms: Annotated[int64, Field("1+", ignorable=True)] = 0


SaslAuthenticateRequest.RESPONSE = SaslAuthenticateResponse

# Generated from the schemas of Apache Kafka 4.3.0 by tools/generate_messages.py. Do not edit.
from typing import ClassVar

from mq.wire.fields import Request, Response, int16, versions


class SaslHandshakeRequest(Request):
    API_KEY: ClassVar[int] = 17
    VERSIONS: ClassVar[range] = versions(0, 1)
    FLEXIBLE: ClassVar[int | None] = None

    mechanism: str = ""


class SaslHandshakeResponse(Response):
    API_KEY: ClassVar[int] = 17
    VERSIONS: ClassVar[range] = versions(0, 1)
    FLEXIBLE: ClassVar[int | None] = None

    error_code: int16 = 0
    mechanisms: list[str] = []


SaslHandshakeRequest.RESPONSE = SaslHandshakeResponse

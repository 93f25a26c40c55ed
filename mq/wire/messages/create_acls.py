# Generated from the schemas of Apache Kafka 4.3.0 by tools/generate_messages.py. Do not edit.
from typing import ClassVar

from mq.wire.fields import Request, Response, Struct, int8, int16, int32, versions


class AclCreation(Struct):
    resource_type: int8 = 0
    resource_name: str = ""
    resource_pattern_type: int8 = 3
    principal: str = ""
    host: str = ""
    operation: int8 = 0
    permission_type: int8 = 0


class CreateAclsRequest(Request):
    API_KEY: ClassVar[int] = 30
    VERSIONS: ClassVar[range] = versions(1, 3)
    FLEXIBLE: ClassVar[int | None] = 2

    creations: list[AclCreation] = []


class AclCreationResult(Struct):
    error_code: int16 = 0
    error_message: str | None = ""


class CreateAclsResponse(Response):
    API_KEY: ClassVar[int] = 30
    VERSIONS: ClassVar[range] = versions(1, 3)
    FLEXIBLE: ClassVar[int | None] = 2

    throttle_time_ms: int32 = 0
    results: list[AclCreationResult] = []


CreateAclsRequest.RESPONSE = CreateAclsResponse

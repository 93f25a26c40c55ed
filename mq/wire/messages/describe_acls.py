# Generated from the schemas of Apache Kafka 4.3.0 by tools/generate_messages.py. Do not edit.
from typing import ClassVar

from mq.wire.fields import Request, Response, Struct, int8, int16, int32, versions


class DescribeAclsRequest(Request):
    API_KEY: ClassVar[int] = 29
    VERSIONS: ClassVar[range] = versions(1, 3)
    FLEXIBLE: ClassVar[int | None] = 2

    resource_type_filter: int8 = 0
    resource_name_filter: str | None = ""
    pattern_type_filter: int8 = 3
    principal_filter: str | None = ""
    host_filter: str | None = ""
    operation: int8 = 0
    permission_type: int8 = 0


class AclDescription(Struct):
    principal: str = ""
    host: str = ""
    operation: int8 = 0
    permission_type: int8 = 0


class DescribeAclsResource(Struct):
    resource_type: int8 = 0
    resource_name: str = ""
    pattern_type: int8 = 3
    acls: list[AclDescription] = []


class DescribeAclsResponse(Response):
    API_KEY: ClassVar[int] = 29
    VERSIONS: ClassVar[range] = versions(1, 3)
    FLEXIBLE: ClassVar[int | None] = 2

    throttle_time_ms: int32 = 0
    error_code: int16 = 0
    error_message: str | None = ""
    resources: list[DescribeAclsResource] = []


DescribeAclsRequest.RESPONSE = DescribeAclsResponse

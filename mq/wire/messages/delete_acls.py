# Generated from the schemas of Apache Kafka 4.3.0 by tools/generate_messages.py. Do not edit.
from typing import ClassVar

from mq.wire.fields import Request, Response, Struct, int8, int16, int32, versions


class DeleteAclsFilter(Struct):
    resource_type_filter: int8 = 0
    resource_name_filter: str | None = ""
    pattern_type_filter: int8 = 3
    principal_filter: str | None = ""
    host_filter: str | None = ""
    operation: int8 = 0
    permission_type: int8 = 0


class DeleteAclsRequest(Request):
    API_KEY: ClassVar[int] = 31
    VERSIONS: ClassVar[range] = versions(1, 3)
    FLEXIBLE: ClassVar[int | None] = 2

    filters: list[DeleteAclsFilter] = []


class DeleteAclsMatchingAcl(Struct):
    error_code: int16 = 0
    error_message: str | None = ""
    resource_type: int8 = 0
    resource_name: str = ""
    pattern_type: int8 = 3
    principal: str = ""
    host: str = ""
    operation: int8 = 0
    permission_type: int8 = 0


class DeleteAclsFilterResult(Struct):
    error_code: int16 = 0
    error_message: str | None = ""
    matching_acls: list[DeleteAclsMatchingAcl] = []


class DeleteAclsResponse(Response):
    API_KEY: ClassVar[int] = 31
    VERSIONS: ClassVar[range] = versions(1, 3)
    FLEXIBLE: ClassVar[int | None] = 2

    throttle_time_ms: int32 = 0
    filter_results: list[DeleteAclsFilterResult] = []


DeleteAclsRequest.RESPONSE = DeleteAclsResponse

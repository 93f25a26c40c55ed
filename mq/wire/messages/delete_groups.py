# Generated from the schemas of Apache Kafka 4.3.0 by tools/generate_messages.py. Do not edit.
from typing import ClassVar

from mq.wire.fields import Request, Response, Struct, int16, int32, versions


class DeleteGroupsRequest(Request):
    API_KEY: ClassVar[int] = 42
    VERSIONS: ClassVar[range] = versions(0, 2)
    FLEXIBLE: ClassVar[int | None] = 2

    groups_names: list[str] = []


class DeletableGroupResult(Struct):
    group_id: str = ""
    error_code: int16 = 0


class DeleteGroupsResponse(Response):
    API_KEY: ClassVar[int] = 42
    VERSIONS: ClassVar[range] = versions(0, 2)
    FLEXIBLE: ClassVar[int | None] = 2

    throttle_time_ms: int32 = 0
    results: list[DeletableGroupResult] = []


DeleteGroupsRequest.RESPONSE = DeleteGroupsResponse

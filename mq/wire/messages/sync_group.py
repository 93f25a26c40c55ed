# Generated from the schemas of Apache Kafka 4.3.0 by tools/generate_messages.py. Do not edit.
from typing import Annotated, ClassVar

from mq.wire.fields import Field, Request, Response, Struct, int16, int32, versions


class SyncGroupRequestAssignment(Struct):
    member_id: str = ""
    assignment: bytes = b""


class SyncGroupRequest(Request):
    API_KEY: ClassVar[int] = 14
    VERSIONS: ClassVar[range] = versions(0, 5)
    FLEXIBLE: ClassVar[int | None] = 4

    group_id: str = ""
    generation_id: int32 = 0
    member_id: str = ""
    group_instance_id: Annotated[str | None, Field("3+")] = None
    protocol_type: Annotated[str | None, Field("5+", ignorable=True)] = None
    protocol_name: Annotated[str | None, Field("5+", ignorable=True)] = None
    assignments: list[SyncGroupRequestAssignment] = []


class SyncGroupResponse(Response):
    API_KEY: ClassVar[int] = 14
    VERSIONS: ClassVar[range] = versions(0, 5)
    FLEXIBLE: ClassVar[int | None] = 4

    throttle_time_ms: Annotated[int32, Field("1+", ignorable=True)] = 0
    error_code: int16 = 0
    protocol_type: Annotated[str | None, Field("5+", ignorable=True)] = None
    protocol_name: Annotated[str | None, Field("5+", ignorable=True)] = None
    assignment: bytes = b""


SyncGroupRequest.RESPONSE = SyncGroupResponse

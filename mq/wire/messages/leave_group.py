# Generated from the schemas of Apache Kafka 4.3.0 by tools/generate_messages.py. Do not edit.
from typing import Annotated, ClassVar

from mq.wire.fields import Field, Request, Response, Struct, int16, int32, versions


class MemberIdentity(Struct):
    member_id: str = ""
    group_instance_id: str | None = None
    reason: Annotated[str | None, Field("5+", ignorable=True)] = None


class LeaveGroupRequest(Request):
    API_KEY: ClassVar[int] = 13
    VERSIONS: ClassVar[range] = versions(0, 5)
    FLEXIBLE: ClassVar[int | None] = 4

    group_id: str = ""
    member_id: Annotated[str, Field("0-2")] = ""
    members: Annotated[list[MemberIdentity], Field("3+")] = []


class MemberResponse(Struct):
    member_id: str = ""
    group_instance_id: str | None = ""
    error_code: int16 = 0


class LeaveGroupResponse(Response):
    API_KEY: ClassVar[int] = 13
    VERSIONS: ClassVar[range] = versions(0, 5)
    FLEXIBLE: ClassVar[int | None] = 4

    throttle_time_ms: Annotated[int32, Field("1+", ignorable=True)] = 0
    error_code: int16 = 0
    members: Annotated[list[MemberResponse], Field("3+")] = []


LeaveGroupRequest.RESPONSE = LeaveGroupResponse

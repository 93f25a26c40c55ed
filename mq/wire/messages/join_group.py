# Generated from the schemas of Apache Kafka 4.3.0 by tools/generate_messages.py. Do not edit.
from typing import Annotated, ClassVar

from mq.wire.fields import Field, Request, Response, Struct, int16, int32, versions


class JoinGroupRequestProtocol(Struct):
    name: str = ""
    metadata: bytes = b""


class JoinGroupRequest(Request):
    API_KEY: ClassVar[int] = 11
    VERSIONS: ClassVar[range] = versions(0, 9)
    FLEXIBLE: ClassVar[int | None] = 6

    group_id: str = ""
    session_timeout_ms: int32 = 0
    rebalance_timeout_ms: Annotated[int32, Field("1+", ignorable=True)] = -1
    member_id: str = ""
    group_instance_id: Annotated[str | None, Field("5+")] = None
    protocol_type: str = ""
    protocols: list[JoinGroupRequestProtocol] = []
    reason: Annotated[str | None, Field("8+", ignorable=True)] = None


class JoinGroupResponseMember(Struct):
    member_id: str = ""
    group_instance_id: Annotated[str | None, Field("5+", ignorable=True)] = None
    metadata: bytes = b""


class JoinGroupResponse(Response):
    API_KEY: ClassVar[int] = 11
    VERSIONS: ClassVar[range] = versions(0, 9)
    FLEXIBLE: ClassVar[int | None] = 6

    throttle_time_ms: Annotated[int32, Field("2+", ignorable=True)] = 0
    error_code: int16 = 0
    generation_id: int32 = -1
    protocol_type: Annotated[str | None, Field("7+", ignorable=True)] = None
    protocol_name: Annotated[str | None, Field(nullable="7+")] = ""
    leader: str = ""
    skip_assignment: Annotated[bool, Field("9+")] = False
    member_id: str = ""
    members: list[JoinGroupResponseMember] = []


JoinGroupRequest.RESPONSE = JoinGroupResponse

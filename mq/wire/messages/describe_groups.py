# Generated from the schemas of Apache Kafka 4.3.0 by tools/generate_messages.py. Do not edit.
from typing import Annotated, ClassVar

from mq.wire.fields import Field, Request, Response, Struct, int16, int32, versions


class DescribeGroupsRequest(Request):
    API_KEY: ClassVar[int] = 15
    VERSIONS: ClassVar[range] = versions(0, 6)
    FLEXIBLE: ClassVar[int | None] = 5

    groups: list[str] = []
    include_authorized_operations: Annotated[bool, Field("3+")] = False


class DescribedGroupMember(Struct):
    member_id: str = ""
    group_instance_id: Annotated[str | None, Field("4+", ignorable=True)] = None
    client_id: str = ""
    client_host: str = ""
    member_metadata: bytes = b""
    member_assignment: bytes = b""


class DescribedGroup(Struct):
    error_code: int16 = 0
    error_message: Annotated[str | None, Field("6+")] = None
    group_id: str = ""
    group_state: str = ""
    protocol_type: str = ""
    protocol_data: str = ""
    members: list[DescribedGroupMember] = []
    authorized_operations: Annotated[int32, Field("3+")] = -2147483648


class DescribeGroupsResponse(Response):
    API_KEY: ClassVar[int] = 15
    VERSIONS: ClassVar[range] = versions(0, 6)
    FLEXIBLE: ClassVar[int | None] = 5

    throttle_time_ms: Annotated[int32, Field("1+", ignorable=True)] = 0
    groups: list[DescribedGroup] = []


DescribeGroupsRequest.RESPONSE = DescribeGroupsResponse

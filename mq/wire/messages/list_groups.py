# Generated from the schemas of Apache Kafka 4.3.0 by tools/generate_messages.py. Do not edit.
from typing import Annotated, ClassVar

from mq.wire.fields import Field, Request, Response, Struct, int16, int32, versions


class ListGroupsRequest(Request):
    API_KEY: ClassVar[int] = 16
    VERSIONS: ClassVar[range] = versions(0, 5)
    FLEXIBLE: ClassVar[int | None] = 3

    states_filter: Annotated[list[str], Field("4+")] = []
    types_filter: Annotated[list[str], Field("5+")] = []


class ListedGroup(Struct):
    group_id: str = ""
    protocol_type: str = ""
    group_state: Annotated[str, Field("4+", ignorable=True)] = ""
    group_type: Annotated[str, Field("5+", ignorable=True)] = ""


class ListGroupsResponse(Response):
    API_KEY: ClassVar[int] = 16
    VERSIONS: ClassVar[range] = versions(0, 5)
    FLEXIBLE: ClassVar[int | None] = 3

    throttle_time_ms: Annotated[int32, Field("1+", ignorable=True)] = 0
    error_code: int16 = 0
    groups: list[ListedGroup] = []


ListGroupsRequest.RESPONSE = ListGroupsResponse

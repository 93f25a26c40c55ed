# Generated from the schemas of Apache Kafka 4.3.0 by tools/generate_messages.py. Do not edit.
from typing import Annotated, ClassVar

from mq.wire.fields import Field, Request, Response, Struct, int8, int16, int32, versions


class FindCoordinatorRequest(Request):
    API_KEY: ClassVar[int] = 10
    VERSIONS: ClassVar[range] = versions(0, 6)
    FLEXIBLE: ClassVar[int | None] = 3

    key: Annotated[str, Field("0-3")] = ""
    key_type: Annotated[int8, Field("1+")] = 0
    coordinator_keys: Annotated[list[str], Field("4+")] = []


class Coordinator(Struct):
    key: str = ""
    node_id: int32 = 0
    host: str = ""
    port: int32 = 0
    error_code: int16 = 0
    error_message: str | None = ""


class FindCoordinatorResponse(Response):
    API_KEY: ClassVar[int] = 10
    VERSIONS: ClassVar[range] = versions(0, 6)
    FLEXIBLE: ClassVar[int | None] = 3

    throttle_time_ms: Annotated[int32, Field("1+", ignorable=True)] = 0
    error_code: Annotated[int16, Field("0-3")] = 0
    error_message: Annotated[str | None, Field("1-3", ignorable=True)] = ""
    node_id: Annotated[int32, Field("0-3")] = 0
    host: Annotated[str, Field("0-3")] = ""
    port: Annotated[int32, Field("0-3")] = 0
    coordinators: Annotated[list[Coordinator], Field("4+")] = []


FindCoordinatorRequest.RESPONSE = FindCoordinatorResponse

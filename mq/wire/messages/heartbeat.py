# Generated from the schemas of Apache Kafka 4.3.0 by tools/generate_messages.py. Do not edit.
from typing import Annotated, ClassVar

from mq.wire.fields import Field, Request, Response, int16, int32, versions


class HeartbeatRequest(Request):
    API_KEY: ClassVar[int] = 12
    VERSIONS: ClassVar[range] = versions(0, 4)
    FLEXIBLE: ClassVar[int | None] = 4

    group_id: str = ""
    generation_id: int32 = 0
    member_id: str = ""
    group_instance_id: Annotated[str | None, Field("3+")] = None


class HeartbeatResponse(Response):
    API_KEY: ClassVar[int] = 12
    VERSIONS: ClassVar[range] = versions(0, 4)
    FLEXIBLE: ClassVar[int | None] = 4

    throttle_time_ms: Annotated[int32, Field("1+", ignorable=True)] = 0
    error_code: int16 = 0


HeartbeatRequest.RESPONSE = HeartbeatResponse

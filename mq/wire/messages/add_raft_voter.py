# Generated from the schemas of Apache Kafka 4.3.0 by tools/generate_messages.py. Do not edit.
from typing import Annotated, ClassVar
from uuid import UUID

from mq.wire.fields import (
    ZERO_UUID,
    Field,
    Request,
    Response,
    Struct,
    int16,
    int32,
    uint16,
    versions,
)


class Listener(Struct):
    name: str = ""
    host: str = ""
    port: uint16 = 0


class AddRaftVoterRequest(Request):
    API_KEY: ClassVar[int] = 80
    VERSIONS: ClassVar[range] = versions(0, 1)
    FLEXIBLE: ClassVar[int | None] = 0

    cluster_id: str | None = ""
    timeout_ms: int32 = 0
    voter_id: int32 = 0
    voter_directory_id: UUID = ZERO_UUID
    listeners: list[Listener] = []
    ack_when_committed: Annotated[bool, Field("1+")] = True


class AddRaftVoterResponse(Response):
    API_KEY: ClassVar[int] = 80
    VERSIONS: ClassVar[range] = versions(0, 1)
    FLEXIBLE: ClassVar[int | None] = 0

    throttle_time_ms: int32 = 0
    error_code: int16 = 0
    error_message: str | None = ""


AddRaftVoterRequest.RESPONSE = AddRaftVoterResponse

# Generated from the schemas of Apache Kafka 4.3.0 by tools/generate_messages.py. Do not edit.
from typing import ClassVar
from uuid import UUID

from mq.wire.fields import ZERO_UUID, Request, Response, int16, int32, versions


class RemoveRaftVoterRequest(Request):
    API_KEY: ClassVar[int] = 81
    VERSIONS: ClassVar[range] = versions(0, 0)
    FLEXIBLE: ClassVar[int | None] = 0

    cluster_id: str | None = ""
    voter_id: int32 = 0
    voter_directory_id: UUID = ZERO_UUID


class RemoveRaftVoterResponse(Response):
    API_KEY: ClassVar[int] = 81
    VERSIONS: ClassVar[range] = versions(0, 0)
    FLEXIBLE: ClassVar[int | None] = 0

    throttle_time_ms: int32 = 0
    error_code: int16 = 0
    error_message: str | None = ""


RemoveRaftVoterRequest.RESPONSE = RemoveRaftVoterResponse

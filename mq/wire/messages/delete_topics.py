# Generated from the schemas of Apache Kafka 4.3.0 by tools/generate_messages.py. Do not edit.
from typing import Annotated, ClassVar
from uuid import UUID

from mq.wire.fields import ZERO_UUID, Field, Request, Response, Struct, int16, int32, versions


class DeleteTopicState(Struct):
    name: str | None = None
    topic_id: UUID = ZERO_UUID


class DeleteTopicsRequest(Request):
    API_KEY: ClassVar[int] = 20
    VERSIONS: ClassVar[range] = versions(1, 6)
    FLEXIBLE: ClassVar[int | None] = 4

    topics: Annotated[list[DeleteTopicState], Field("6+")] = []
    topic_names: Annotated[list[str], Field("0-5", ignorable=True)] = []
    timeout_ms: int32 = 0


class DeletableTopicResult(Struct):
    name: Annotated[str | None, Field(nullable="6+")] = ""
    topic_id: Annotated[UUID, Field("6+", ignorable=True)] = ZERO_UUID
    error_code: int16 = 0
    error_message: Annotated[str | None, Field("5+", ignorable=True)] = None


class DeleteTopicsResponse(Response):
    API_KEY: ClassVar[int] = 20
    VERSIONS: ClassVar[range] = versions(1, 6)
    FLEXIBLE: ClassVar[int | None] = 4

    throttle_time_ms: int32 = 0
    responses: list[DeletableTopicResult] = []


DeleteTopicsRequest.RESPONSE = DeleteTopicsResponse

# Generated from the schemas of Apache Kafka 4.3.0 by tools/generate_messages.py. Do not edit.
from typing import ClassVar

from mq.wire.fields import Request, Response, Struct, int16, int32, versions


class CreatePartitionsAssignment(Struct):
    broker_ids: list[int32] = []


class CreatePartitionsTopic(Struct):
    name: str = ""
    count: int32 = 0
    assignments: list[CreatePartitionsAssignment] | None = []


class CreatePartitionsRequest(Request):
    API_KEY: ClassVar[int] = 37
    VERSIONS: ClassVar[range] = versions(0, 3)
    FLEXIBLE: ClassVar[int | None] = 2

    topics: list[CreatePartitionsTopic] = []
    timeout_ms: int32 = 0
    validate_only: bool = False


class CreatePartitionsTopicResult(Struct):
    name: str = ""
    error_code: int16 = 0
    error_message: str | None = None


class CreatePartitionsResponse(Response):
    API_KEY: ClassVar[int] = 37
    VERSIONS: ClassVar[range] = versions(0, 3)
    FLEXIBLE: ClassVar[int | None] = 2

    throttle_time_ms: int32 = 0
    results: list[CreatePartitionsTopicResult] = []


CreatePartitionsRequest.RESPONSE = CreatePartitionsResponse

# Generated from the schemas of Apache Kafka 4.3.0 by tools/generate_messages.py. Do not edit.
from typing import Annotated, ClassVar

from mq.wire.fields import Field, Request, Response, Struct, int8, int16, int32, versions


class ListConfigResourcesRequest(Request):
    API_KEY: ClassVar[int] = 74
    VERSIONS: ClassVar[range] = versions(0, 1)
    FLEXIBLE: ClassVar[int | None] = 0

    resource_types: Annotated[list[int8], Field("1+")] = []


class ConfigResource(Struct):
    resource_name: str = ""
    resource_type: Annotated[int8, Field("1+", ignorable=True)] = 16


class ListConfigResourcesResponse(Response):
    API_KEY: ClassVar[int] = 74
    VERSIONS: ClassVar[range] = versions(0, 1)
    FLEXIBLE: ClassVar[int | None] = 0

    throttle_time_ms: int32 = 0
    error_code: int16 = 0
    config_resources: list[ConfigResource] = []


ListConfigResourcesRequest.RESPONSE = ListConfigResourcesResponse

# Generated from the schemas of Apache Kafka 4.3.0 by tools/generate_messages.py. Do not edit.
from typing import Annotated, ClassVar

from mq.wire.fields import Field, Request, Response, Struct, int8, int16, int32, versions


class DescribeConfigsResource(Struct):
    resource_type: int8 = 0
    resource_name: str = ""
    configuration_keys: list[str] | None = []


class DescribeConfigsRequest(Request):
    API_KEY: ClassVar[int] = 32
    VERSIONS: ClassVar[range] = versions(1, 4)
    FLEXIBLE: ClassVar[int | None] = 4

    resources: list[DescribeConfigsResource] = []
    include_synonyms: bool = False
    include_documentation: Annotated[bool, Field("3+")] = False


class DescribeConfigsSynonym(Struct):
    name: str = ""
    value: str | None = ""
    source: int8 = 0


class DescribeConfigsResourceResult(Struct):
    name: str = ""
    value: str | None = ""
    read_only: bool = False
    config_source: int8 = -1
    is_sensitive: bool = False
    synonyms: list[DescribeConfigsSynonym] = []
    config_type: Annotated[int8, Field("3+", ignorable=True)] = 0
    documentation: Annotated[str | None, Field("3+", ignorable=True)] = ""


class DescribeConfigsResult(Struct):
    error_code: int16 = 0
    error_message: str | None = ""
    resource_type: int8 = 0
    resource_name: str = ""
    configs: list[DescribeConfigsResourceResult] = []


class DescribeConfigsResponse(Response):
    API_KEY: ClassVar[int] = 32
    VERSIONS: ClassVar[range] = versions(1, 4)
    FLEXIBLE: ClassVar[int | None] = 4

    throttle_time_ms: int32 = 0
    results: list[DescribeConfigsResult] = []


DescribeConfigsRequest.RESPONSE = DescribeConfigsResponse

# Generated from the schemas of Apache Kafka 4.3.0 by tools/generate_messages.py. Do not edit.
from typing import Annotated, ClassVar

from mq.wire.fields import Field, Request, Response, Struct, int8, int16, int32, versions


class DescribeClusterRequest(Request):
    API_KEY: ClassVar[int] = 60
    VERSIONS: ClassVar[range] = versions(0, 2)
    FLEXIBLE: ClassVar[int | None] = 0

    include_cluster_authorized_operations: bool = False
    endpoint_type: Annotated[int8, Field("1+")] = 1
    include_fenced_brokers: Annotated[bool, Field("2+")] = False


class DescribeClusterBroker(Struct):
    broker_id: int32 = 0
    host: str = ""
    port: int32 = 0
    rack: str | None = None
    is_fenced: Annotated[bool, Field("2+")] = False


class DescribeClusterResponse(Response):
    API_KEY: ClassVar[int] = 60
    VERSIONS: ClassVar[range] = versions(0, 2)
    FLEXIBLE: ClassVar[int | None] = 0

    throttle_time_ms: int32 = 0
    error_code: int16 = 0
    error_message: str | None = None
    endpoint_type: Annotated[int8, Field("1+")] = 1
    cluster_id: str = ""
    controller_id: int32 = -1
    brokers: list[DescribeClusterBroker] = []
    cluster_authorized_operations: int32 = -2147483648


DescribeClusterRequest.RESPONSE = DescribeClusterResponse

# Generated from the schemas of Apache Kafka 4.3.0 by tools/generate_messages.py. Do not edit.
from typing import Annotated, ClassVar

from mq.wire.fields import Field, Request, Response, Struct, int16, int32, int64, versions


class DescribableLogDirTopic(Struct):
    topic: str = ""
    partitions: list[int32] = []


class DescribeLogDirsRequest(Request):
    API_KEY: ClassVar[int] = 35
    VERSIONS: ClassVar[range] = versions(1, 5)
    FLEXIBLE: ClassVar[int | None] = 2

    topics: list[DescribableLogDirTopic] | None = []


class DescribeLogDirsPartition(Struct):
    partition_index: int32 = 0
    partition_size: int64 = 0
    offset_lag: int64 = 0
    is_future_key: bool = False


class DescribeLogDirsTopic(Struct):
    name: str = ""
    partitions: list[DescribeLogDirsPartition] = []


class DescribeLogDirsResult(Struct):
    error_code: int16 = 0
    log_dir: str = ""
    topics: list[DescribeLogDirsTopic] = []
    total_bytes: Annotated[int64, Field("4+", ignorable=True)] = -1
    usable_bytes: Annotated[int64, Field("4+", ignorable=True)] = -1
    is_cordoned: Annotated[bool, Field("5+", ignorable=True)] = False


class DescribeLogDirsResponse(Response):
    API_KEY: ClassVar[int] = 35
    VERSIONS: ClassVar[range] = versions(1, 5)
    FLEXIBLE: ClassVar[int | None] = 2

    throttle_time_ms: int32 = 0
    error_code: Annotated[int16, Field("3+", ignorable=True)] = 0
    results: list[DescribeLogDirsResult] = []


DescribeLogDirsRequest.RESPONSE = DescribeLogDirsResponse

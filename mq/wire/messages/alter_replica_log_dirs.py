# Generated from the schemas of Apache Kafka 4.3.0 by tools/generate_messages.py. Do not edit.
from typing import ClassVar

from mq.wire.fields import Request, Response, Struct, int16, int32, versions


class AlterReplicaLogDirTopic(Struct):
    name: str = ""
    partitions: list[int32] = []


class AlterReplicaLogDir(Struct):
    path: str = ""
    topics: list[AlterReplicaLogDirTopic] = []


class AlterReplicaLogDirsRequest(Request):
    API_KEY: ClassVar[int] = 34
    VERSIONS: ClassVar[range] = versions(1, 2)
    FLEXIBLE: ClassVar[int | None] = 2

    dirs: list[AlterReplicaLogDir] = []


class AlterReplicaLogDirPartitionResult(Struct):
    partition_index: int32 = 0
    error_code: int16 = 0


class AlterReplicaLogDirTopicResult(Struct):
    topic_name: str = ""
    partitions: list[AlterReplicaLogDirPartitionResult] = []


class AlterReplicaLogDirsResponse(Response):
    API_KEY: ClassVar[int] = 34
    VERSIONS: ClassVar[range] = versions(1, 2)
    FLEXIBLE: ClassVar[int | None] = 2

    throttle_time_ms: int32 = 0
    results: list[AlterReplicaLogDirTopicResult] = []


AlterReplicaLogDirsRequest.RESPONSE = AlterReplicaLogDirsResponse

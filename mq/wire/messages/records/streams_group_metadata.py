# Generated from the schemas of Apache Kafka 4.3.0 by tools/generate_messages.py. Do not edit.
from typing import Annotated, ClassVar

from mq.wire.fields import Field, Message, Struct, int32, int64, versions


class StreamsGroupMetadataKey(Message):
    API_KEY: ClassVar[int] = 17
    VERSIONS: ClassVar[range] = versions(0, 0)
    FLEXIBLE: ClassVar[int | None] = None

    group_id: str = ""


class LastAssignmentConfig(Struct):
    key: str = ""
    value: str = ""


class StreamsGroupMetadataValue(Message):
    API_KEY: ClassVar[int] = 17
    VERSIONS: ClassVar[range] = versions(0, 0)
    FLEXIBLE: ClassVar[int | None] = 0

    epoch: int32 = 0
    metadata_hash: int64 = 0
    validated_topology_epoch: Annotated[int32, Field(tag=0)] = -1
    last_assignment_configs: Annotated[list[LastAssignmentConfig] | None, Field(tag=1)] = []

# Generated from the schemas of Apache Kafka 4.3.0 by tools/generate_messages.py. Do not edit.
from typing import ClassVar

from mq.wire.fields import Message, Struct, int32, uint16, versions


class StreamsGroupMemberMetadataKey(Message):
    API_KEY: ClassVar[int] = 19
    VERSIONS: ClassVar[range] = versions(0, 0)
    FLEXIBLE: ClassVar[int | None] = None

    group_id: str = ""
    member_id: str = ""


class Endpoint(Struct):
    host: str = ""
    port: uint16 = 0


class KeyValue(Struct):
    key: str = ""
    value: str = ""


class StreamsGroupMemberMetadataValue(Message):
    API_KEY: ClassVar[int] = 19
    VERSIONS: ClassVar[range] = versions(0, 0)
    FLEXIBLE: ClassVar[int | None] = 0

    instance_id: str | None = ""
    rack_id: str | None = ""
    client_id: str = ""
    client_host: str = ""
    rebalance_timeout_ms: int32 = -1
    topology_epoch: int32 = 0
    process_id: str = ""
    user_endpoint: Endpoint | None = None
    client_tags: list[KeyValue] = []

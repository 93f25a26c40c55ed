# Generated from the schemas of Apache Kafka 4.3.0 by tools/generate_messages.py. Do not edit.
from typing import Annotated, ClassVar

from mq.wire.fields import Field, Message, Struct, int32, int64, versions


class GroupMetadataKey(Message):
    API_KEY: ClassVar[int] = 2
    VERSIONS: ClassVar[range] = versions(0, 0)
    FLEXIBLE: ClassVar[int | None] = None

    group: str = ""


class MemberMetadata(Struct):
    member_id: str = ""
    group_instance_id: Annotated[str | None, Field("3+", ignorable=True)] = None
    client_id: str = ""
    client_host: str = ""
    rebalance_timeout: Annotated[int32, Field("1+", ignorable=True)] = -1
    session_timeout: int32 = 0
    subscription: bytes = b""
    assignment: bytes = b""


class GroupMetadataValue(Message):
    API_KEY: ClassVar[int] = 2
    VERSIONS: ClassVar[range] = versions(0, 4)
    FLEXIBLE: ClassVar[int | None] = 4

    protocol_type: str = ""
    generation: int32 = 0
    protocol: str | None = ""
    leader: str | None = ""
    current_state_timestamp: Annotated[int64, Field("2+", ignorable=True)] = -1
    members: list[MemberMetadata] = []

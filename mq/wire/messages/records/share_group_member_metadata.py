# Generated from the schemas of Apache Kafka 4.3.0 by tools/generate_messages.py. Do not edit.
from typing import ClassVar

from mq.wire.fields import Message, versions


class ShareGroupMemberMetadataKey(Message):
    API_KEY: ClassVar[int] = 10
    VERSIONS: ClassVar[range] = versions(0, 0)
    FLEXIBLE: ClassVar[int | None] = None

    group_id: str = ""
    member_id: str = ""


class ShareGroupMemberMetadataValue(Message):
    API_KEY: ClassVar[int] = 10
    VERSIONS: ClassVar[range] = versions(0, 0)
    FLEXIBLE: ClassVar[int | None] = 0

    rack_id: str | None = ""
    client_id: str = ""
    client_host: str = ""
    subscribed_topic_names: list[str] = []

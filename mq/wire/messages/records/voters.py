# Generated from the schemas of Apache Kafka 4.3.0 by tools/generate_messages.py. Do not edit.
from typing import ClassVar
from uuid import UUID

from mq.wire.fields import ZERO_UUID, Message, Struct, factory, int16, int32, uint16, versions


class Endpoint(Struct):
    name: str = ""
    host: str = ""
    port: uint16 = 0


class KRaftVersionFeature(Struct):
    min_supported_version: int16 = 0
    max_supported_version: int16 = 0


class Voter(Struct):
    voter_id: int32 = 0
    voter_directory_id: UUID = ZERO_UUID
    endpoints: list[Endpoint] = []
    kraft_version_feature: KRaftVersionFeature = factory(KRaftVersionFeature)


class VotersRecord(Message):
    VERSIONS: ClassVar[range] = versions(0, 0)
    FLEXIBLE: ClassVar[int | None] = 0

    version: int16 = 0
    voters: list[Voter] = []

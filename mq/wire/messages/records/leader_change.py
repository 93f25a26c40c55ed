# Generated from the schemas of Apache Kafka 4.3.0 by tools/generate_messages.py. Do not edit.
from typing import Annotated, ClassVar
from uuid import UUID

from mq.wire.fields import ZERO_UUID, Field, Message, Struct, int16, int32, versions


class Voter(Struct):
    voter_id: int32 = 0
    voter_directory_id: Annotated[UUID, Field("1+")] = ZERO_UUID


class LeaderChangeMessage(Message):
    VERSIONS: ClassVar[range] = versions(0, 1)
    FLEXIBLE: ClassVar[int | None] = 0

    version: int16 = 0
    leader_id: int32 = 0
    voters: list[Voter] = []
    granting_voters: list[Voter] = []

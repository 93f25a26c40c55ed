# Generated from the schemas of Apache Kafka 4.3.0 by tools/generate_messages.py. Do not edit.
from typing import Annotated, ClassVar
from uuid import UUID

from mq.wire.fields import Field, Message, int8, int32, int64, versions


class BrokerRegistrationChangeRecord(Message):
    API_KEY: ClassVar[int] = 17
    VERSIONS: ClassVar[range] = versions(0, 3)
    FLEXIBLE: ClassVar[int | None] = 0

    broker_id: int32 = 0
    broker_epoch: int64 = 0
    fenced: Annotated[int8, Field(tag=0)] = 0
    in_controlled_shutdown: Annotated[int8, Field("1+", tag=1)] = 0
    log_dirs: Annotated[list[UUID], Field("2+", tag=2)] = []
    cordoned_log_dirs: Annotated[list[UUID] | None, Field("3+", tag=3)] = None

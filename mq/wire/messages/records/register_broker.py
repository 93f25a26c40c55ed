# Generated from the schemas of Apache Kafka 4.3.0 by tools/generate_messages.py. Do not edit.
from typing import Annotated, ClassVar
from uuid import UUID

from mq.wire.fields import ZERO_UUID, Field, Message, Struct, int16, int32, int64, uint16, versions


class BrokerEndpoint(Struct):
    name: str = ""
    host: str = ""
    port: uint16 = 0
    security_protocol: int16 = 0


class BrokerFeature(Struct):
    name: str = ""
    min_supported_version: int16 = 0
    max_supported_version: int16 = 0


class RegisterBrokerRecord(Message):
    API_KEY: ClassVar[int] = 0
    VERSIONS: ClassVar[range] = versions(0, 4)
    FLEXIBLE: ClassVar[int | None] = 0

    broker_id: int32 = 0
    is_migrating_zk_broker: Annotated[bool, Field("2+")] = False
    incarnation_id: UUID = ZERO_UUID
    broker_epoch: int64 = 0
    end_points: list[BrokerEndpoint] = []
    features: list[BrokerFeature] = []
    rack: str | None = ""
    fenced: bool = True
    in_controlled_shutdown: Annotated[bool, Field("1+")] = False
    log_dirs: Annotated[list[UUID], Field("3+", tag=0)] = []
    cordoned_log_dirs: Annotated[list[UUID] | None, Field("4+", tag=1)] = None

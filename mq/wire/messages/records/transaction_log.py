# Generated from the schemas of Apache Kafka 4.3.0 by tools/generate_messages.py. Do not edit.
from typing import Annotated, ClassVar

from mq.wire.fields import Field, Message, Struct, int8, int16, int32, int64, versions


class TransactionLogKey(Message):
    API_KEY: ClassVar[int] = 0
    VERSIONS: ClassVar[range] = versions(0, 0)
    FLEXIBLE: ClassVar[int | None] = None

    transactional_id: str = ""


class PartitionsSchema(Struct):
    topic: str = ""
    partition_ids: list[int32] = []


class TransactionLogValue(Message):
    API_KEY: ClassVar[int] = 0
    VERSIONS: ClassVar[range] = versions(0, 1)
    FLEXIBLE: ClassVar[int | None] = 1

    producer_id: int64 = 0
    previous_producer_id: Annotated[int64, Field("1+", tag=0)] = -1
    next_producer_id: Annotated[int64, Field("1+", tag=1)] = -1
    producer_epoch: int16 = 0
    next_producer_epoch: Annotated[int16, Field("1+", tag=3)] = -1
    transaction_timeout_ms: int32 = 0
    transaction_status: int8 = 0
    transaction_partitions: list[PartitionsSchema] | None = []
    transaction_last_update_timestamp_ms: int64 = 0
    transaction_start_timestamp_ms: int64 = 0
    client_transaction_version: Annotated[int16, Field("1+", tag=2)] = 0

# Generated from the schemas of Apache Kafka 4.3.0 by tools/generate_messages.py. Do not edit.
from typing import Annotated, ClassVar

from mq.wire.fields import Field, Request, Response, int16, int32, int64, versions


class InitProducerIdRequest(Request):
    API_KEY: ClassVar[int] = 22
    VERSIONS: ClassVar[range] = versions(0, 6)
    FLEXIBLE: ClassVar[int | None] = 2

    transactional_id: str | None = ""
    transaction_timeout_ms: int32 = 0
    producer_id: Annotated[int64, Field("3+")] = -1
    producer_epoch: Annotated[int16, Field("3+")] = -1
    enable2_pc: Annotated[bool, Field("6+")] = False
    keep_prepared_txn: Annotated[bool, Field("6+")] = False


class InitProducerIdResponse(Response):
    API_KEY: ClassVar[int] = 22
    VERSIONS: ClassVar[range] = versions(0, 6)
    FLEXIBLE: ClassVar[int | None] = 2

    throttle_time_ms: int32 = 0
    error_code: int16 = 0
    producer_id: int64 = -1
    producer_epoch: int16 = 0
    ongoing_txn_producer_id: Annotated[int64, Field("6+")] = -1
    ongoing_txn_producer_epoch: Annotated[int16, Field("6+")] = -1


InitProducerIdRequest.RESPONSE = InitProducerIdResponse

# Generated from the schemas of Apache Kafka 4.3.0 by tools/generate_messages.py. Do not edit.
from typing import Annotated, ClassVar

from mq.wire.fields import Field, Request, Response, int16, int32, int64, versions


class EndTxnRequest(Request):
    API_KEY: ClassVar[int] = 26
    VERSIONS: ClassVar[range] = versions(0, 5)
    FLEXIBLE: ClassVar[int | None] = 3

    transactional_id: str = ""
    producer_id: int64 = 0
    producer_epoch: int16 = 0
    committed: bool = False


class EndTxnResponse(Response):
    API_KEY: ClassVar[int] = 26
    VERSIONS: ClassVar[range] = versions(0, 5)
    FLEXIBLE: ClassVar[int | None] = 3

    throttle_time_ms: int32 = 0
    error_code: int16 = 0
    producer_id: Annotated[int64, Field("5+", ignorable=True)] = -1
    producer_epoch: Annotated[int16, Field("5+", ignorable=True)] = -1


EndTxnRequest.RESPONSE = EndTxnResponse

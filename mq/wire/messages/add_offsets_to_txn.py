# Generated from the schemas of Apache Kafka 4.3.0 by tools/generate_messages.py. Do not edit.
from typing import ClassVar

from mq.wire.fields import Request, Response, int16, int32, int64, versions


class AddOffsetsToTxnRequest(Request):
    API_KEY: ClassVar[int] = 25
    VERSIONS: ClassVar[range] = versions(0, 4)
    FLEXIBLE: ClassVar[int | None] = 3

    transactional_id: str = ""
    producer_id: int64 = 0
    producer_epoch: int16 = 0
    group_id: str = ""


class AddOffsetsToTxnResponse(Response):
    API_KEY: ClassVar[int] = 25
    VERSIONS: ClassVar[range] = versions(0, 4)
    FLEXIBLE: ClassVar[int | None] = 3

    throttle_time_ms: int32 = 0
    error_code: int16 = 0


AddOffsetsToTxnRequest.RESPONSE = AddOffsetsToTxnResponse

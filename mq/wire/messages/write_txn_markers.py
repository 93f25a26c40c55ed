# Generated from the schemas of Apache Kafka 4.3.0 by tools/generate_messages.py. Do not edit.
from typing import Annotated, ClassVar

from mq.wire.fields import Field, Request, Response, Struct, int8, int16, int32, int64, versions


class WritableTxnMarkerTopic(Struct):
    name: str = ""
    partition_indexes: list[int32] = []


class WritableTxnMarker(Struct):
    producer_id: int64 = 0
    producer_epoch: int16 = 0
    transaction_result: bool = False
    topics: list[WritableTxnMarkerTopic] = []
    coordinator_epoch: int32 = 0
    transaction_version: Annotated[int8, Field("2+", ignorable=True)] = 0


class WriteTxnMarkersRequest(Request):
    API_KEY: ClassVar[int] = 27
    VERSIONS: ClassVar[range] = versions(1, 2)
    FLEXIBLE: ClassVar[int | None] = 1

    markers: list[WritableTxnMarker] = []


class WritableTxnMarkerPartitionResult(Struct):
    partition_index: int32 = 0
    error_code: int16 = 0


class WritableTxnMarkerTopicResult(Struct):
    name: str = ""
    partitions: list[WritableTxnMarkerPartitionResult] = []


class WritableTxnMarkerResult(Struct):
    producer_id: int64 = 0
    topics: list[WritableTxnMarkerTopicResult] = []


class WriteTxnMarkersResponse(Response):
    API_KEY: ClassVar[int] = 27
    VERSIONS: ClassVar[range] = versions(1, 2)
    FLEXIBLE: ClassVar[int | None] = 1

    markers: list[WritableTxnMarkerResult] = []


WriteTxnMarkersRequest.RESPONSE = WriteTxnMarkersResponse

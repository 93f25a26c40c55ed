# Generated from the schemas of Apache Kafka 4.3.0 by tools/generate_messages.py. Do not edit.
from typing import Annotated, ClassVar

from mq.wire.fields import Field, Request, Response, Struct, int8, int16, int32, versions


class FeatureUpdateKey(Struct):
    feature: str = ""
    max_version_level: int16 = 0
    allow_downgrade: Annotated[bool, Field("0")] = False
    upgrade_type: Annotated[int8, Field("1+")] = 1


class UpdateFeaturesRequest(Request):
    API_KEY: ClassVar[int] = 57
    VERSIONS: ClassVar[range] = versions(0, 2)
    FLEXIBLE: ClassVar[int | None] = 0

    timeout_ms: int32 = 60000
    feature_updates: list[FeatureUpdateKey] = []
    validate_only: Annotated[bool, Field("1+")] = False


class UpdatableFeatureResult(Struct):
    feature: str = ""
    error_code: int16 = 0
    error_message: str | None = ""


class UpdateFeaturesResponse(Response):
    API_KEY: ClassVar[int] = 57
    VERSIONS: ClassVar[range] = versions(0, 2)
    FLEXIBLE: ClassVar[int | None] = 0

    throttle_time_ms: int32 = 0
    error_code: int16 = 0
    error_message: str | None = ""
    results: Annotated[list[UpdatableFeatureResult], Field("0-1", ignorable=True)] = []


UpdateFeaturesRequest.RESPONSE = UpdateFeaturesResponse

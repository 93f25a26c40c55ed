# Generated from the schemas of Apache Kafka 4.3.0 by tools/generate_messages.py. Do not edit.
from typing import Annotated, ClassVar

from mq.wire.fields import Field, Request, Response, Struct, int16, int32, int64, versions


class ApiVersionsRequest(Request):
    API_KEY: ClassVar[int] = 18
    VERSIONS: ClassVar[range] = versions(0, 4)
    FLEXIBLE: ClassVar[int | None] = 3

    client_software_name: Annotated[str, Field("3+", ignorable=True)] = ""
    client_software_version: Annotated[str, Field("3+", ignorable=True)] = ""


class ApiVersion(Struct):
    api_key: int16 = 0
    min_version: int16 = 0
    max_version: int16 = 0


class SupportedFeatureKey(Struct):
    name: str = ""
    min_version: int16 = 0
    max_version: int16 = 0


class FinalizedFeatureKey(Struct):
    name: str = ""
    max_version_level: int16 = 0
    min_version_level: int16 = 0


class ApiVersionsResponse(Response):
    API_KEY: ClassVar[int] = 18
    VERSIONS: ClassVar[range] = versions(0, 4)
    FLEXIBLE: ClassVar[int | None] = 3

    error_code: int16 = 0
    api_keys: list[ApiVersion] = []
    throttle_time_ms: Annotated[int32, Field("1+", ignorable=True)] = 0
    supported_features: Annotated[
        list[SupportedFeatureKey], Field("3+", tag=0, ignorable=True)
    ] = []
    finalized_features_epoch: Annotated[int64, Field("3+", tag=1, ignorable=True)] = -1
    finalized_features: Annotated[
        list[FinalizedFeatureKey], Field("3+", tag=2, ignorable=True)
    ] = []
    zk_migration_ready: Annotated[bool, Field("3+", tag=3, ignorable=True)] = False


ApiVersionsRequest.RESPONSE = ApiVersionsResponse

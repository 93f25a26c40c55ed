# Generated from the schemas of Apache Kafka 4.3.0 by tools/generate_messages.py. Do not edit.
from typing import Annotated, ClassVar

from mq.wire.fields import Field, Request, Response, Struct, int16, int32, int64, versions


class DescribeDelegationTokenOwner(Struct):
    principal_type: str = ""
    principal_name: str = ""


class DescribeDelegationTokenRequest(Request):
    API_KEY: ClassVar[int] = 41
    VERSIONS: ClassVar[range] = versions(1, 3)
    FLEXIBLE: ClassVar[int | None] = 2

    owners: list[DescribeDelegationTokenOwner] | None = []


class DescribedDelegationTokenRenewer(Struct):
    principal_type: str = ""
    principal_name: str = ""


class DescribedDelegationToken(Struct):
    principal_type: str = ""
    principal_name: str = ""
    token_requester_principal_type: Annotated[str, Field("3+")] = ""
    token_requester_principal_name: Annotated[str, Field("3+")] = ""
    issue_timestamp: int64 = 0
    expiry_timestamp: int64 = 0
    max_timestamp: int64 = 0
    token_id: str = ""
    hmac: bytes = b""
    renewers: list[DescribedDelegationTokenRenewer] = []


class DescribeDelegationTokenResponse(Response):
    API_KEY: ClassVar[int] = 41
    VERSIONS: ClassVar[range] = versions(1, 3)
    FLEXIBLE: ClassVar[int | None] = 2

    error_code: int16 = 0
    tokens: list[DescribedDelegationToken] = []
    throttle_time_ms: int32 = 0


DescribeDelegationTokenRequest.RESPONSE = DescribeDelegationTokenResponse

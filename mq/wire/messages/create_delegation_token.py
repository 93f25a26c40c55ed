# Generated from the schemas of Apache Kafka 4.3.0 by tools/generate_messages.py. Do not edit.
from typing import Annotated, ClassVar

from mq.wire.fields import Field, Request, Response, Struct, int16, int32, int64, versions


class CreatableRenewers(Struct):
    principal_type: str = ""
    principal_name: str = ""


class CreateDelegationTokenRequest(Request):
    API_KEY: ClassVar[int] = 38
    VERSIONS: ClassVar[range] = versions(1, 3)
    FLEXIBLE: ClassVar[int | None] = 2

    owner_principal_type: Annotated[str | None, Field("3+")] = ""
    owner_principal_name: Annotated[str | None, Field("3+")] = ""
    renewers: list[CreatableRenewers] = []
    max_lifetime_ms: int64 = 0


class CreateDelegationTokenResponse(Response):
    API_KEY: ClassVar[int] = 38
    VERSIONS: ClassVar[range] = versions(1, 3)
    FLEXIBLE: ClassVar[int | None] = 2

    error_code: int16 = 0
    principal_type: str = ""
    principal_name: str = ""
    token_requester_principal_type: Annotated[str, Field("3+")] = ""
    token_requester_principal_name: Annotated[str, Field("3+")] = ""
    issue_timestamp_ms: int64 = 0
    expiry_timestamp_ms: int64 = 0
    max_timestamp_ms: int64 = 0
    token_id: str = ""
    hmac: bytes = b""
    throttle_time_ms: int32 = 0


CreateDelegationTokenRequest.RESPONSE = CreateDelegationTokenResponse

"""Delegation tokens (KIP-48): Create (38) and Describe (41), versions 1-3, Renew (39) and Expire
(40), versions 1-2.

A token stands for somebody who has authenticated, and nobody has.

Left out: tokens; all four say DELEGATION_TOKEN_REQUEST_NOT_ALLOWED, as Kafka does on a listener
without authentication.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from mq.broker.call import Call
from mq.errors import ErrorCode
from mq.wire.fields import Response
from mq.wire.messages.create_delegation_token import (
    CreateDelegationTokenRequest,
    CreateDelegationTokenResponse,
)
from mq.wire.messages.describe_delegation_token import (
    DescribeDelegationTokenRequest,
    DescribeDelegationTokenResponse,
)
from mq.wire.messages.expire_delegation_token import (
    ExpireDelegationTokenRequest,
    ExpireDelegationTokenResponse,
)
from mq.wire.messages.renew_delegation_token import (
    RenewDelegationTokenRequest,
    RenewDelegationTokenResponse,
)

if TYPE_CHECKING:
    from mq.broker.broker import Broker

__all__ = ["handle"]

_Request: TypeAlias = (
    CreateDelegationTokenRequest
    | RenewDelegationTokenRequest
    | ExpireDelegationTokenRequest
    | DescribeDelegationTokenRequest
)


def handle(_broker: Broker, call: Call[_Request]) -> None:
    code = ErrorCode.DELEGATION_TOKEN_REQUEST_NOT_ALLOWED
    response: Response
    match call.request:
        case CreateDelegationTokenRequest():
            response = _not_created(code, call.version)
        case RenewDelegationTokenRequest():
            response = RenewDelegationTokenResponse(error_code=code, expiry_timestamp_ms=-1)
        case ExpireDelegationTokenRequest():
            response = ExpireDelegationTokenResponse(error_code=code, expiry_timestamp_ms=-1)
        case DescribeDelegationTokenRequest():
            response = DescribeDelegationTokenResponse(error_code=code)
    call.reply(response)


def _not_created(code: ErrorCode, version: int) -> CreateDelegationTokenResponse:
    response = CreateDelegationTokenResponse(
        error_code=code,
        principal_type="User",
        principal_name="ANONYMOUS",
        issue_timestamp_ms=-1,
        expiry_timestamp_ms=-1,
        max_timestamp_ms=-1,
    )
    if version >= 3:
        response.token_requester_principal_type = response.principal_type
        response.token_requester_principal_name = response.principal_name
    return response

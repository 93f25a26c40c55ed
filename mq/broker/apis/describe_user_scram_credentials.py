"""DescribeUserScramCredentials (50), version 0: who has a password, and how it is kept (KIP-554).

Never the keys themselves. Left out: nothing.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from mq.broker.call import Call
from mq.errors import ErrorCode, KafkaError
from mq.wire.messages.describe_user_scram_credentials import (
    CredentialInfo,
    DescribeUserScramCredentialsRequest,
    DescribeUserScramCredentialsResponse,
    DescribeUserScramCredentialsResult,
)

if TYPE_CHECKING:
    from mq.broker.broker import Broker

__all__ = ["handle"]


def handle(broker: Broker, call: Call[DescribeUserScramCredentialsRequest]) -> None:
    named = Counter(user.name for user in call.request.users or ())
    if not named:
        named = Counter(broker.catalog.credentials.users())
    response = DescribeUserScramCredentialsResponse(
        error_message=None,
        results=[_described(broker, user, times) for user, times in named.items()],
    )
    broker.reply_when_known(call, response)


def _described(broker: Broker, user: str, times: int) -> DescribeUserScramCredentialsResult:
    try:
        if times > 1:
            raise KafkaError(ErrorCode.DUPLICATE_RESOURCE, f"User {user} is named twice.")
        iterations = broker.catalog.credentials.iterations(user)
    except KafkaError as error:
        return DescribeUserScramCredentialsResult(user, error.code, error.message)
    return DescribeUserScramCredentialsResult(
        user,
        error_message=None,
        credential_infos=[CredentialInfo(*info) for info in iterations.items()],
    )

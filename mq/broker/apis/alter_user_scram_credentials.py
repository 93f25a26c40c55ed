"""AlterUserScramCredentials (51), version 0: give users passwords, or take them away (KIP-554).

They are stored, see :mod:`mq.broker.scram`. A user may be named once; what is wrong with one user
does not concern the others. Left out: asking anybody for a password.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from mq.broker.call import Call
from mq.errors import ErrorCode, KafkaError
from mq.wire.fields import Message
from mq.wire.messages.alter_user_scram_credentials import (
    AlterUserScramCredentialsRequest,
    AlterUserScramCredentialsResponse,
    AlterUserScramCredentialsResult,
    ScramCredentialDeletion,
    ScramCredentialUpsertion,
)

if TYPE_CHECKING:
    from mq.broker.broker import Broker

__all__ = ["handle"]

_Change: TypeAlias = ScramCredentialDeletion | ScramCredentialUpsertion


def handle(broker: Broker, call: Call[AlterUserScramCredentialsRequest]) -> None:
    records: dict[str, Message] = {}
    results: dict[str, AlterUserScramCredentialsResult] = {}
    changes: list[_Change] = [*call.request.deletions, *call.request.upsertions]
    for change in changes:
        user = change.name
        again = user in results
        result = results.setdefault(user, AlterUserScramCredentialsResult(user, error_message=None))
        if result.error_code:
            continue
        try:
            if again:
                raise KafkaError(ErrorCode.DUPLICATE_RESOURCE, "A user can be altered only once.")
            records[user] = _record(broker, change)
        except KafkaError as error:
            result.error_code, result.error_message = error.code, error.message
            records.pop(user, None)
    told = list(results.values())
    broker.change(
        call, list(records.values()), AlterUserScramCredentialsResponse(results=told), told
    )


def _record(broker: Broker, change: _Change) -> Message:
    credentials = broker.catalog.credentials
    if isinstance(change, ScramCredentialDeletion):
        return credentials.remove(change.name, change.mechanism)
    return credentials.put(
        change.name, change.mechanism, change.iterations, change.salt, change.salted_password
    )

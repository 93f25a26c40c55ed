"""SCRAM credentials: what a user's password is checked against, without the password (KIP-554).

A part of the catalog's machine: proposals return records and change nothing, :meth:`apply` alone
does. Kept is what RFC 5802 has a server keep, in Kafka's records: salt, iterations, and the two
keys that follow from the salted password. Nobody is asked for a password yet.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from hashlib import sha256, sha512
from typing import Final

from mq.errors import ErrorCode, KafkaError
from mq.wire.messages.records.remove_user_scram_credential import RemoveUserScramCredentialRecord
from mq.wire.messages.records.user_scram_credential import UserScramCredentialRecord

__all__ = ["ScramCredentials"]

_HASHES: Final = {1: sha256, 2: sha512}  # the mechanisms by their numbers: SCRAM-SHA-256 and -512
_ITERATIONS_MIN: Final = 4_096
_ITERATIONS_MAX: Final = 16_384


class ScramCredentials:
    """The credentials there are."""

    def __init__(self) -> None:
        self._users: dict[str, dict[int, UserScramCredentialRecord]] = {}

    def users(self) -> list[str]:
        """Everybody who has one."""
        return list(self._users)

    def iterations(self, user: str) -> Mapping[int, int]:
        """The mechanisms a user has credentials for, and their iterations.

        Raises:
            KafkaError: RESOURCE_NOT_FOUND, there is none.
        """
        try:
            credentials = self._users[user]
        except KeyError:
            raise KafkaError(
                ErrorCode.RESOURCE_NOT_FOUND, f"User {user} has no credentials."
            ) from None
        return {mechanism: stored.iterations for mechanism, stored in credentials.items()}

    def remove(self, user: str, mechanism: int) -> RemoveUserScramCredentialRecord:
        """The record that takes a credential away.

        Raises:
            KafkaError: UNACCEPTABLE_CREDENTIAL, UNSUPPORTED_SASL_MECHANISM or RESOURCE_NOT_FOUND.
        """
        _check(user, mechanism)
        if mechanism not in self._users.get(user, ()):
            raise KafkaError(
                ErrorCode.RESOURCE_NOT_FOUND, f"User {user} has no credential of this mechanism."
            )
        return RemoveUserScramCredentialRecord(name=user, mechanism=mechanism)

    def put(
        self, user: str, mechanism: int, iterations: int, salt: bytes, salted_password: bytes
    ) -> UserScramCredentialRecord:
        """The record that gives a user a credential, or another one.

        Raises:
            KafkaError: UNACCEPTABLE_CREDENTIAL or UNSUPPORTED_SASL_MECHANISM.
        """
        _check(user, mechanism)
        if iterations < _ITERATIONS_MIN:
            raise KafkaError(ErrorCode.UNACCEPTABLE_CREDENTIAL, "Too few iterations")
        if iterations > _ITERATIONS_MAX:
            raise KafkaError(ErrorCode.UNACCEPTABLE_CREDENTIAL, "Too many iterations")
        digest = _HASHES[mechanism]
        client_key = hmac.digest(salted_password, b"Client Key", digest)
        return UserScramCredentialRecord(
            name=user,
            mechanism=mechanism,
            salt=salt,
            stored_key=digest(client_key).digest(),
            server_key=hmac.digest(salted_password, b"Server Key", digest),
            iterations=iterations,
        )

    def apply(self, record: UserScramCredentialRecord | RemoveUserScramCredentialRecord) -> None:
        """Change the state as ``record`` says."""
        credentials = self._users.setdefault(record.name, {})
        if isinstance(record, UserScramCredentialRecord):
            credentials[record.mechanism] = record
        else:
            credentials.pop(record.mechanism, None)
        if not credentials:
            del self._users[record.name]


def _check(user: str, mechanism: int) -> None:
    if not user:
        raise KafkaError(ErrorCode.UNACCEPTABLE_CREDENTIAL, "Username must not be empty")
    if mechanism not in _HASHES:
        raise KafkaError(ErrorCode.UNSUPPORTED_SASL_MECHANISM, "Unknown SCRAM mechanism")

"""SCRAM credentials are checked, stored and told, but never the keys."""

from __future__ import annotations

import base64
import hashlib
import hmac

import pytest

from mq.broker.scram import ScramCredentials
from mq.errors import ErrorCode
from mq.wire.messages.alter_user_scram_credentials import (
    AlterUserScramCredentialsRequest,
    ScramCredentialDeletion,
    ScramCredentialUpsertion,
)
from mq.wire.messages.describe_user_scram_credentials import (
    DescribeUserScramCredentialsRequest,
    UserName,
)

SHA_256, SHA_512 = 1, 2
DUPLICATE, NONE_SUCH = ErrorCode.DUPLICATE_RESOURCE, ErrorCode.RESOURCE_NOT_FOUND
UNACCEPTABLE = ErrorCode.UNACCEPTABLE_CREDENTIAL


def put(user, mechanism=SHA_256, iterations=4096):
    return ScramCredentialUpsertion(user, mechanism, iterations, b"salt", bytes(32))


def drop(user, mechanism=SHA_256):
    return ScramCredentialDeletion(user, mechanism)


def alter(client, *changes):
    request = AlterUserScramCredentialsRequest(
        [change for change in changes if isinstance(change, ScramCredentialDeletion)],
        [change for change in changes if isinstance(change, ScramCredentialUpsertion)],
    )
    return {result.user: result.error_code for result in client.ask(request, 0).results}


def described(client, *users):
    wanted = [UserName(user) for user in users] if users else None
    answer = client.ask(DescribeUserScramCredentialsRequest(wanted), 0)
    assert answer.error_code == 0
    return {
        result.user: result.error_code
        or {info.mechanism: info.iterations for info in result.credential_infos}
        for result in answer.results
    }


def test_credentials_are_kept_by_user_and_mechanism(client):
    assert alter(client, put("ann"), put("bob", SHA_512, 8192)) == {"ann": 0, "bob": 0}
    assert alter(client, put("ann", SHA_512)) == {"ann": 0}
    assert described(client) == {"ann": {SHA_256: 4096, SHA_512: 4096}, "bob": {SHA_512: 8192}}
    assert described(client, "bob", "eve") == {"bob": {SHA_512: 8192}, "eve": NONE_SUCH}


def test_a_credential_is_replaced_and_removed(client):
    alter(client, put("ann"), put("bob"))
    assert alter(client, put("ann", iterations=5000), drop("bob")) == {"bob": 0, "ann": 0}
    assert described(client) == {"ann": {SHA_256: 5000}}


def test_credentials_survive_a_restart(start_broker, connect):
    first = start_broker()
    alter(connect(first), put("ann"), put("bob"))
    alter(connect(first), drop("bob"))
    first.stop()
    assert described(connect(start_broker())) == {"ann": {SHA_256: 4096}}


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (put(""), UNACCEPTABLE),
        (put("ann", iterations=4095), UNACCEPTABLE),
        (put("ann", iterations=16385), UNACCEPTABLE),
        (put("ann", 0), ErrorCode.UNSUPPORTED_SASL_MECHANISM),
        (put("ann", 3), ErrorCode.UNSUPPORTED_SASL_MECHANISM),
        (drop(""), UNACCEPTABLE),
        (drop("ann", 7), ErrorCode.UNSUPPORTED_SASL_MECHANISM),
        (drop("ann"), NONE_SUCH),
    ],
)
def test_what_is_wrong_with_one_does_not_concern_others(client, change, code):
    assert alter(client, change, put("zoe")) == {change.name: code, "zoe": 0}
    assert described(client) == {"zoe": {SHA_256: 4096}}


def test_a_user_is_altered_only_once(client):
    alter(client, put("ann"))
    assert alter(client, put("bob"), put("bob", SHA_512)) == {"bob": DUPLICATE}
    assert alter(client, drop("ann"), put("ann", SHA_512)) == {"ann": DUPLICATE}
    assert described(client) == {"ann": {SHA_256: 4096}}


def test_a_user_is_described_only_once(client):
    alter(client, put("ann"))
    assert described(client, "ann", "ann") == {"ann": DUPLICATE}


def test_the_keys_are_those_that_the_example_of_rfc_7677_needs():
    nonce = "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
    salt_text = "W22ZaJ0SNY7soEsUEjb6gQ=="
    first = f"n=user,r=rOprNGfwEbeRWgbNEkqO,{nonce},s={salt_text},i=4096"
    conversation = f"{first},c=biws,{nonce}".encode()
    proof = base64.b64decode("dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=")
    signature = base64.b64decode("6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=")

    salt = base64.b64decode(salt_text)
    salted = hashlib.pbkdf2_hmac("sha256", b"pencil", salt, 4096)
    stored = ScramCredentials().put("user", SHA_256, 4096, salt, salted)

    assert hmac.digest(stored.server_key, conversation, "sha256") == signature
    mask = hmac.digest(stored.stored_key, conversation, "sha256")
    client_key = bytes(left ^ right for left, right in zip(proof, mask, strict=True))
    assert hashlib.sha256(client_key).digest() == stored.stored_key

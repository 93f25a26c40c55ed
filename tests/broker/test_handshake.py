"""ApiVersions in all its odd ways, and what else a first request can be."""

from __future__ import annotations

import struct

import pytest

from mq.broker.apis import APIS
from mq.errors import ErrorCode
from mq.wire.messages.api_versions import ApiVersionsRequest


def ask(client, version, name="mq", software="1.0"):
    return client.ask(
        ApiVersionsRequest(client_software_name=name, client_software_version=software), version
    )


@pytest.mark.parametrize("version", [0, 1, 2, 3, 4])
def test_every_version_tells_what_is_served(client, version):
    response = ask(client, version)
    assert response.error_code == 0
    told = {key.api_key: (key.min_version, key.max_version) for key in response.api_keys}
    assert set(told) == {api.request.API_KEY for api in APIS}
    assert told[1] == (4, 18)
    assert told[18] == (0, 4)


def test_produce_is_advertised_from_version_0(client):
    """Or older librdkafka does not compress (KAFKA-18659)."""
    told = {key.api_key: key.min_version for key in ask(client, 3).api_keys}
    assert told[0] == 0


@pytest.mark.parametrize("version", [5, 99])
def test_a_version_above_ours_is_answered_in_the_layout_of_version_0(client, wire, version):
    """KIP-511; franz-go asks so on every connection."""
    client.socket.sendall(wire.raw(18, version, b"\x03abcdefg", correlation_id=41))
    frame = client.frame()
    assert frame == struct.pack(">ihihhh", 41, ErrorCode.UNSUPPORTED_VERSION, 1, 18, 0, 4)
    assert ask(client, 3).error_code == 0  # the connection is good for a second try


@pytest.mark.parametrize(
    ("name", "software"), [("", "1"), ("-x", "1"), ("x", ""), ("x", "1_0"), ("x y", "1")]
)
def test_software_names_out_of_order_are_refused(client, name, software):
    assert ask(client, 3, name, software).error_code == ErrorCode.INVALID_REQUEST


def test_only_implemented_features_are_finalized(client):
    response = ask(client, 4)
    levels = {each.name: each.max_version_level for each in response.finalized_features}
    assert levels == {"metadata.version": 30, "group.version": 1, "transaction.version": 2}
    assert response.finalized_features_epoch >= 0


@pytest.mark.parametrize(
    ("key", "version"),
    [(0, 0), (0, 2), (0, 14), (1, 3), (1, 19), (3, 14), (22, 6), (4, 0), (999, 0), (-1, 0)],
)
def test_any_other_unknown_request_closes_the_connection(client, wire, key, version):
    client.socket.sendall(wire.raw(key, version, bytes(64)))
    assert client.is_closed()

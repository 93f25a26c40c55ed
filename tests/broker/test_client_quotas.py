"""Quotas are checked, stored and told."""

from __future__ import annotations

import math

import pytest

from mq.errors import ErrorCode
from mq.wire.messages.alter_client_quotas import (
    AlterClientQuotasRequest,
    EntityData,
    OpData,
    RequestEntryData,
)
from mq.wire.messages.describe_client_quotas import ComponentData, DescribeClientQuotasRequest

EXACT, DEFAULT, ANY = 0, 1, 2
INVALID = ErrorCode.INVALID_REQUEST


def entry(entity, values):
    """An entry that sets values, or removes those that are None."""
    return RequestEntryData(
        [EntityData(kind, name) for kind, name in entity],
        [OpData(key, value or 0.0, value is None) for key, value in values],
    )


def alter(client, *entries, version=1, **options):
    answer = client.ask(AlterClientQuotasRequest(list(entries), **options), version)
    return [result.error_code for result in answer.entries]


def quotas(client, *components, strict=False, version=1):
    asked = DescribeClientQuotasRequest([ComponentData(*part) for part in components], strict)
    answer = client.ask(asked, version)
    assert answer.error_code == 0
    return {
        tuple((part.entity_type, part.entity_name) for part in found.entity): {
            value.key: value.value for value in found.values
        }
        for found in answer.entries
    }


BOB = (("user", "bob"),)
ANY_BOB = (("client-id", None), ("user", "bob"))
HOST = (("ip", "127.0.0.1"),)


@pytest.fixture
def filled(client):
    given = {
        BOB: {"consumer_byte_rate": 1000.0, "producer_byte_rate": 500.0},
        ANY_BOB: {"request_percentage": 12.5},
        HOST: {"connection_creation_rate": 3.0},
        (("ip", None),): {"connection_creation_rate": 9.0},
    }
    entries = [entry(entity, values.items()) for entity, values in given.items()]
    assert alter(client, *entries) == [0] * len(given)
    return given


@pytest.mark.parametrize("version", range(2))
def test_quotas_are_told_as_they_were_set(client, filled, version):
    assert quotas(client, version=version) == filled


def test_quotas_survive_a_restart(start_broker, connect):
    first = start_broker()
    entries = [entry(BOB, [("consumer_byte_rate", 7.0)]), entry(HOST, [])]
    assert alter(connect(first), *entries) == [0, 0]
    assert alter(connect(first), entry(ANY_BOB, [("request_percentage", 1.0)])) == [0]
    assert alter(connect(first), entry(ANY_BOB, [("request_percentage", None)])) == [0]
    first.stop()
    assert quotas(connect(start_broker())) == {BOB: {"consumer_byte_rate": 7.0}}


def test_a_quota_is_replaced_and_removed(client, filled):
    assert alter(client, entry(BOB, [("consumer_byte_rate", 2.0)])) == [0]
    assert quotas(client)[BOB] == {"consumer_byte_rate": 2.0, "producer_byte_rate": 500.0}
    removed = [("consumer_byte_rate", None), ("producer_byte_rate", None), ("unknown", None)]
    assert alter(client, entry(BOB, removed)) == [0]
    assert BOB not in quotas(client)


def test_what_is_only_validated_is_not_kept(client):
    wanted = entry(BOB, [("consumer_byte_rate", 2.0)])
    assert alter(client, wanted, validate_only=True) == [0]
    assert quotas(client) == {}


def test_one_bad_entry_does_not_concern_the_others(client):
    good = entry(BOB, [("consumer_byte_rate", 2.0)])
    assert alter(client, entry(HOST, [("no_such", 1.0)]), good) == [INVALID, 0]
    assert list(quotas(client)) == [BOB]


@pytest.mark.parametrize(
    ("entity", "values"),
    [
        ([], [("consumer_byte_rate", 1.0)]),
        ([("group", "g")], [("consumer_byte_rate", 1.0)]),
        ([("user", "")], [("consumer_byte_rate", 1.0)]),
        ([*HOST, *BOB], [("connection_creation_rate", 1.0)]),
        ([("ip", "no address")], [("connection_creation_rate", 1.0)]),
        (HOST, [("consumer_byte_rate", 1.0)]),
        (HOST, [("connection_creation_rate", 2.0**31)]),
        (BOB, [("connection_creation_rate", 1.0)]),
        (BOB, [("consumer_byte_rate", -1.0)]),
        (BOB, [("consumer_byte_rate", 2.5)]),
        (BOB, [("consumer_byte_rate", 1e30)]),
        (BOB, [("consumer_byte_rate", math.nan)]),
        (BOB, [("consumer_byte_rate", math.inf)]),
        (BOB, [("request_percentage", math.nan)]),
        (BOB, [("request_percentage", math.inf)]),
        (BOB, [("consumer_byte_rate", 1.0), ("consumer_byte_rate", 2.0)]),
    ],
)
def test_what_makes_no_sense_is_refused(client, entity, values):
    assert alter(client, entry(entity, values)) == [INVALID]
    assert quotas(client) == {}


def test_a_quota_of_nothing_is_refused(client):
    nothing = RequestEntryData([EntityData(*BOB[0])], [OpData("consumer_byte_rate", 0.0)])
    assert alter(client, nothing) == [INVALID]


def test_an_entity_named_twice_is_changed_once(client):
    wanted = [entry(BOB, [("consumer_byte_rate", rate)]) for rate in (1.0, 2.0)]
    assert alter(client, *wanted) == [0, INVALID]
    assert quotas(client) == {BOB: {"consumer_byte_rate": 1.0}}


@pytest.mark.parametrize(
    ("components", "strict", "found"),
    [
        ([("user", EXACT, "bob")], False, {BOB, ANY_BOB}),
        ([("user", EXACT, "bob")], True, {BOB}),
        ([("user", EXACT, "ann")], False, set()),
        ([("user", ANY, None)], False, {BOB, ANY_BOB}),
        ([("user", DEFAULT, None)], False, set()),
        ([("client-id", DEFAULT, None)], False, {ANY_BOB}),
        ([("client-id", DEFAULT, None), ("user", ANY, None)], True, {ANY_BOB}),
        ([("ip", ANY, None)], True, {HOST, (("ip", None),)}),
        ([("ip", DEFAULT, None)], True, {(("ip", None),)}),
        ([], True, set()),
    ],
)
def test_a_filter_finds_what_it_says(client, filled, components, strict, found):
    assert quotas(client, *components, strict=strict).keys() == found


@pytest.mark.parametrize(
    ("components", "code"),
    [
        ([("user", EXACT, None)], INVALID),
        ([("user", DEFAULT, "x")], INVALID),
        ([("user", ANY, "x")], INVALID),
        ([("user", 7, "x")], INVALID),
        ([("", EXACT, "x")], INVALID),
        ([("user", EXACT, "x"), ("user", EXACT, "y")], INVALID),
        ([("user", EXACT, "x"), ("ip", EXACT, "127.0.0.1")], INVALID),
        ([("group", EXACT, "x")], ErrorCode.UNSUPPORTED_VERSION),
    ],
)
def test_a_filter_without_sense_is_refused(client, components, code):
    asked = DescribeClientQuotasRequest([ComponentData(*part) for part in components])
    answer = client.ask(asked, 1)
    assert (answer.error_code, answer.entries) == (code, None)

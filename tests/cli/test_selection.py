"""Which dead letters are meant."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mq.app.dead_letters import DeadLetter, Resolution
from mq.cli.selection import LetterId, Selection
from mq.errors import ConfigurationError
from mq.record import Record

TOPICS = ["dlq.a.orders", "dlq.a.payments", "dlq.b.orders", "orders", "payments", "orders-dlt"]


@pytest.mark.parametrize(
    ("selection", "topics"),
    [
        (Selection(), {"dlq.a.orders", "dlq.a.payments", "dlq.b.orders"}),
        (Selection(group="a"), {"dlq.a.orders", "dlq.a.payments"}),
        (Selection(topics=frozenset({"orders"})), {"dlq.a.orders", "dlq.b.orders"}),
        (Selection(topics=frozenset({"dlq.a.orders"})), {"dlq.a.orders"}),
        (Selection(topics=frozenset({"orders-dlt"})), {"orders-dlt"}),
        (Selection(topics=frozenset({"unheard-of"})), {"unheard-of"}),
        (Selection(ids=frozenset({LetterId("dlq.b.orders", 0, 1)})), {"dlq.b.orders"}),
    ],
)
def test_a_topic_stands_for_where_its_letters_went(selection, topics):
    assert set(selection.topics_among(TOPICS)) == topics


def letter(**fields):
    record = Record("dlq.a.orders", 1, 7, 5_000, b"k1", b"v", (("trace", b"t"),))
    known = {"group": "a", "topic": "orders", "handler": "charge", "error_type": "shop.CardError"}
    known |= {"error_message": "card 4711 declined", "fingerprint": "abcdef", "attempt": 3}
    return DeadLetter(record, "mq", **{**known, **fields})


@pytest.mark.parametrize(
    ("options", "meant"),
    [
        ({}, True),
        ({"group": "a"}, True),
        ({"group": "b"}, False),
        ({"handler": "charge"}, True),
        ({"handler": "char"}, False),
        ({"key": "k1"}, True),
        ({"key": "k"}, False),
        ({"fingerprint": "abc"}, True),
        ({"fingerprint": "bc"}, False),
        ({"headers": (("trace", b"t"),)}, True),
        ({"headers": (("trace", b"u"),)}, False),
        ({"since_ms": 5_000}, True),
        ({"since_ms": 5_001}, False),
        ({"until_ms": 5_000}, False),
        ({"ids": frozenset({LetterId("dlq.a.orders", 1, 7)})}, True),
        ({"ids": frozenset({LetterId("dlq.a.orders", 1, 8)})}, False),
        (
            {
                "ids": frozenset({LetterId("dlq.a.orders", 1, 8)}),
                "topics": frozenset({"dlq.a.orders"}),
            },
            True,
        ),
        ({"state": "replayed"}, False),
        ({"state": "all"}, True),
    ],
)
def test_every_option_narrows(options, meant):
    assert Selection(**options).covers(letter(), None) is meant


def test_resolved_letters_are_hidden_until_asked_for():
    done = Resolution("replayed", 1)
    assert not Selection().covers(letter(), done)
    assert Selection(state="replayed").covers(letter(), done)
    assert Selection(state="all").covers(letter(), done)


@given(st.text(max_size=30))
def test_no_text_does_anything_but_name_a_letter_or_be_refused(text):
    try:
        found = LetterId.of(text)
    except ConfigurationError:
        return
    assert LetterId.of(str(found)) == found

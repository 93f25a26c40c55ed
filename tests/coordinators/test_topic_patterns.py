"""Patterns of topics: RE2's syntax, whole names, and never more than a look at each character."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mq.coordinators.topic_patterns import TopicPattern
from mq.errors import ErrorCode, KafkaError

PIECES = [
    *("a", "b", "A", ".", "0", "-", "_", "^", "$", ".*", "a+", "b?", "a{2}", "a{1,2}", "a{2,}"),
    *("[a-c]", "[^ab]", "(a|b)", "(?:ab)*", "(a|)", "(ab|ba){0,2}", "(?i:A)", "[b-]", "a+?"),
    *(r"\b", r"\w", r"\d", r"\.", r"\W", r"[\d_]", r"\x61", r"\Aa", r"[^\w.]"),
]


@given(
    pieces=st.lists(st.sampled_from(PIECES), max_size=5),
    names=st.lists(st.text("abAB.0-_", min_size=1, max_size=6), min_size=1, max_size=6),
)
def test_it_matches_what_pythons_own_engine_matches(pieces: list[str], names: list[str]) -> None:
    text = "".join(pieces)
    try:
        ours = TopicPattern(text)
    except KafkaError:
        with pytest.raises(re.error):
            re.compile(text)
        return
    theirs = re.compile(text, re.ASCII)
    for name in names:
        assert ours.matches(name) == bool(theirs.fullmatch(name))


@pytest.mark.parametrize(
    ("text", "matching", "other"),
    [
        ("^retry[.].*", "retry.orders", "dlq.retry.orders"),
        ("", "", "a"),
        (r"\Qa.b\Ec*", "a.bcc", "axb"),
        (r"\Qa.b", "a.b", "axb"),
        ("[[:alpha:]]+", "Orders", "orders1"),
        ("[[:^alpha:]]+", "1-2", "a"),
        (r"\pL+", "abC", "ab1"),
        (r"\p{Lu}\P{Lu}", "Ab", "AB"),
        (r"\p{^Lu}", "a", "A"),
        ("(?P<kind>a|b)-(?<n>[0-9])", "a-1", "a-b"),
        ("(?i)orders", "OrDeRs", "order"),
        ("(?i:a)b", "Ab", "AB"),
        ("(?i-s:a)(?-i:b)", "Ab", "AB"),
        ("((?i)a)b", "Ab", "AB"),
        ("(?i)[a-b]x", "BX", "cx"),
        (r"a\z", "a", "ab"),
        (r"\B", "", "a"),
        ("a{,2}", "a{,2}", "aa"),
        ("a{x}", "a{x}", "a"),
        (r"\0101\x{42}", "\x081B", "AB"),
        (r"\t|\a", "\t", "t"),
        (r"[\]\-a]+", "]-a", "b"),
        ("[]a]+", "]a", "b"),
        ("é|a", "a", "e"),
    ],
)
def test_it_speaks_the_syntax_of_re2(text: str, matching: str, other: str) -> None:
    pattern = TopicPattern(text)
    assert pattern.matches(matching)
    assert not pattern.matches(other)


@pytest.mark.parametrize(
    "text",
    [
        *("(", ")", "[a", "[b-a]", "*", "a**", "a{2}{3}", "a{1001}", "a{3,2}", "(?=a)", "(?!a)"),
        *("(?<!a)", "(?<=a)", "(?P=a)", "(?P<>a)", "(?P<n", "(?", "(?i", "(?-)", "(?x)a", "\\"),
        *(
            r"\1",
            r"\Z",
            r"\y",
            r"\p{Foo}",
            r"\p{L",
            r"\xg0",
            r"\x{110000}",
            "[[:foo:]]",
            "[[:alpha",
        ),
        *("((a{100}){100}){100}", "(" * 101 + ")" * 101),
    ],
)
def test_what_re2_refuses_is_refused(text: str) -> None:
    with pytest.raises(KafkaError) as refused:
        TopicPattern(text)
    assert refused.value.code is ErrorCode.INVALID_REGULAR_EXPRESSION


def test_no_pattern_makes_it_slow() -> None:
    """What takes an engine that backtracks for ever takes one step for each character here."""
    pattern = TopicPattern("(a+)+$")
    assert not pattern.matches("a" * 248 + "b")
    assert len(pattern._steps) < 10


def test_what_it_remembers_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    from mq.coordinators import topic_patterns

    monkeypatch.setattr(topic_patterns, "_REMEMBERED_MAX", 3)
    pattern = TopicPattern("[a-z]*x.{3}")
    assert pattern.matches("abcdefgxhij")
    assert not pattern.matches("abcdefgyhij")
    assert len(pattern._steps) <= 3

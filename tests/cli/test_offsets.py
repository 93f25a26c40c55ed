"""The places in a partition that a person can name."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mq.cli.offsets import parse_duration_ms, parse_span, parse_time_ms
from mq.errors import ConfigurationError

NOW_MS = 1_800_000_000_000


@pytest.mark.parametrize(
    ("text", "begin", "end"),
    [
        ("start", 100, None),
        ("end", 200, None),
        ("147", 147, None),
        ("+2", 102, None),
        ("-3", 197, None),
        ("start:end", 100, 200),
        ("120:-10", 120, 190),
        (":150", 100, 150),
        ("150:", 150, 200),
        ("+999", 200, None),
        ("-999", 100, None),
        ("7", 100, None),
    ],
)
def test_a_place_is_an_offset_within_the_partition(text, begin, end):
    span = parse_span(text, NOW_MS)
    assert span.begin.offset(100, 200) == begin
    assert (None if span.end is None else span.end.offset(100, 200)) == end


@pytest.mark.parametrize(
    ("text", "begin_ms", "end_ms"),
    [
        ("@-1h", NOW_MS - 3_600_000, None),
        ("@1500", 1500, None),
        ("@2026-01-31T12:00:00Z", 1_769_860_800_000, None),
        ("@2026-01-31T12:00:00Z:@2026-01-31T14:00:00+01:00", 1_769_860_800_000, 1_769_864_400_000),
        ("@-90s:@-30s", NOW_MS - 90_000, NOW_MS - 30_000),
        ("@2026-01-31", 1_769_817_600_000, None),
    ],
)
def test_a_time_is_looked_up(text, begin_ms, end_ms):
    span = parse_span(text, NOW_MS)
    assert span.begin.timestamp_ms == begin_ms
    assert (None if span.end is None else span.end.timestamp_ms) == end_ms


def test_the_place_of_a_time_is_what_the_broker_found_or_the_end():
    place = parse_span("@-1h", NOW_MS).begin
    assert place.offset(100, 200, at_time=150) == 150
    assert place.offset(100, 200, at_time=None) == 200


@pytest.mark.parametrize("text", ["", "begin", "4 7", "1:2:3", "@", "@soon", "--3", "1.5", "@-1w"])
def test_anything_else_is_refused_with_the_whole_grammar(text):
    with pytest.raises(ConfigurationError, match="no offset: write start, end, 47"):
        parse_span(text, NOW_MS)


@pytest.mark.parametrize("text", ["soon", "1w", "2026-13-01"])
def test_a_time_that_is_none_is_refused(text):
    with pytest.raises(ConfigurationError, match="no time"):
        parse_time_ms(text, NOW_MS)


def test_lengths_of_time_have_units():
    units = {"250ms": 250, "90s": 90_000, "15m": 900_000, "2h": 7_200_000, "1d": 86_400_000}
    assert {text: parse_duration_ms(text) for text in units} == units
    with pytest.raises(ConfigurationError, match="no length of time"):
        parse_duration_ms("90")


@given(st.text(max_size=20))
def test_no_text_does_anything_but_parse_or_be_refused(text):
    try:
        span = parse_span(text, NOW_MS)
    except ConfigurationError:
        return
    assert 10 <= span.begin.offset(10, 20) <= 20

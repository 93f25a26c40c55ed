"""A record as JSON and back."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mq.cli.envelope import decoded, from_json, to_json
from mq.errors import ConfigurationError
from mq.record import Record

some_bytes = st.none() | st.binary(max_size=30) | st.text(max_size=20).map(str.encode)
records = st.builds(
    Record,
    topic=st.just("t"),
    partition=st.integers(0, 99),
    offset=st.integers(0, 2**62),
    timestamp=st.integers(0, 2**41),
    key=some_bytes,
    value=some_bytes,
    headers=st.lists(st.tuples(st.text(max_size=10), some_bytes), max_size=4).map(tuple),
)


@given(records)
def test_nothing_is_lost_on_the_way_through_json(record):
    draft = from_json(json.loads(json.dumps(to_json(record))))
    assert (draft.key, draft.value, draft.headers) == (record.key, record.value, record.headers)
    assert (draft.topic, draft.partition) == (record.topic, record.partition)
    assert draft.timestamp == record.timestamp


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists, max_leaves=6))
def test_whatever_json_it_is_parsed_or_refused(value):
    for fields in (value, {"key": value}, {"headers": value}, {"timestamp": value}):
        try:
            draft = from_json(fields)
        except ConfigurationError:
            continue
        assert isinstance(draft.key, bytes | None)
        assert isinstance(draft.timestamp, int | None)


@pytest.mark.parametrize(
    ("value", "content_type", "shown"),
    [
        (None, None, None),
        (b'{"a": 1}', None, {"a": 1}),
        (b"\x81\xa1a\x01", b"application/msgpack", {"a": 1}),
        (b"\x81\x01\xc4\x01\xff", b"application/msgpack", {"1": "/w=="}),
        (b"plain", b"text/plain", "plain"),
        (b"not json", None, "not json"),
        (b"\xff", None, {"base64": "/w=="}),
        (b"\xff", b"application/octet-stream", {"base64": "/w=="}),
        (b"x", b"application/unheard-of", "x"),
    ],
)
def test_a_value_is_shown_as_its_content_type_says(value, content_type, shown):
    headers = () if content_type is None else (("content-type", content_type),)
    assert decoded(Record("t", 0, 0, 0, None, value, headers)) == shown

"""Codecs: by content type, typed by annotation, never guessed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, TypedDict
from uuid import UUID

import msgpack
import msgspec
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mq.app.codecs import (
    CODECS,
    EncodeError,
    InvalidPayloadError,
    PayloadError,
    Payloads,
    UndecodableError,
    codec_named,
    codec_of,
    encode,
)
from mq.errors import ConfigurationError


@dataclass
class Order:
    id: int
    amount: Decimal


class Payment(msgspec.Struct, tag=True):
    order: int


class Refund(msgspec.Struct, tag=True):
    order: int


class Row(TypedDict):
    name: str


class Model(pydantic.BaseModel):
    id: int
    at: datetime


MSGPACK = b"application/msgpack"
JSON = b"application/json"

plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(plain)
def test_untyped_messagepack_round_trips(value: Any) -> None:
    data = encode(CODECS["msgpack"], value)
    assert Payloads(Any).read(data, MSGPACK) == value


@given(plain)
def test_the_two_messagepack_libraries_agree(value: Any) -> None:
    ours = encode(CODECS["msgpack"], value)
    assert msgspec.msgpack.decode(ours) == value
    assert msgpack.unpackb(msgspec.msgpack.encode(value), timestamp=3) == value


@given(
    st.datetimes(datetime(1970, 1, 1), datetime(2200, 1, 1)),
    st.decimals(allow_nan=False),
    st.uuids(),
)
def test_messagepack_of_dates_decimals_and_ids_reads_alike_however_it_was_written(
    at: datetime, amount: Decimal, identity: UUID
) -> None:
    class Event(msgspec.Struct):
        at: datetime
        amount: Decimal
        id: UUID

    event = Event(at.replace(tzinfo=UTC), amount, identity)
    untyped = {"at": event.at, "amount": amount, "id": identity}
    for value in (event, untyped):
        data = encode(CODECS["msgpack"], value)
        assert Payloads(Event).read(data, MSGPACK) == event
        assert Payloads(Any).read(data, MSGPACK)["at"] == event.at


@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        (Order, Order(1, Decimal("2.50"))),
        (Payment | Refund, Refund(3)),
        (Row, {"name": "x"}),
        (list[Order], [Order(1, Decimal(2))]),
        (dict[str, int], {"a": 1}),
        (int, 5),
        (str, "text"),
        (int | None, None),
        (Model, Model(id=1, at=datetime(2026, 1, 1, tzinfo=UTC))),
        (list[Model], [Model(id=1, at=datetime(2026, 1, 1, tzinfo=UTC))]),
        (Any, {"a": [1, None]}),
    ],
)
@pytest.mark.parametrize("codec", ["msgpack", "json"])
def test_typed_values_round_trip(annotation: Any, value: Any, codec: str) -> None:
    data = encode(CODECS[codec], value)
    content_type = CODECS[codec].content_type.encode()
    assert Payloads(annotation).read(data, content_type) == value


def test_a_record_that_does_not_say_is_json_unless_the_handler_says_otherwise() -> None:
    assert Payloads(int).read(b"1", None) == 1
    assert Payloads(int, codec="msgpack").read(b"1", None) == 49
    assert Payloads(int, codec="msgpack").read(b"1", JSON) == 1, (
        "the content type has the last word"
    )


@pytest.mark.parametrize("content_type", [None, JSON, MSGPACK, b"application/avro"])
def test_bytes_are_handed_over_as_they_were_sent(content_type: bytes | None) -> None:
    assert Payloads(bytes).read(b"\x00\xff", content_type) == b"\x00\xff"
    assert Payloads(bytes | None).read(b"\x00\xff", content_type) == b"\x00\xff"


def test_text_is_text() -> None:
    data = encode(CODECS["text"], "grüße")
    assert Payloads(str).read(data, b"text/plain; charset=utf-8") == "grüße"
    assert Payloads(str, codec="text").read(data, None) == "grüße"
    assert Payloads(datetime).read(b"2026-01-01T00:00:00Z", b"text/plain").year == 2026


@pytest.mark.parametrize(
    ("content_type", "name"),
    [
        (b"application/json; charset=UTF-8", "json"),
        (b"Application/JSON", "json"),
        (b"application/cloudevents+json", "json"),
        (b"application/x-msgpack", "msgpack"),
        (b"text/plain", "text"),
        (b"application/octet-stream", "raw"),
    ],
)
def test_content_types_are_read_as_people_write_them(content_type: bytes, name: str) -> None:
    assert codec_of(content_type) is CODECS[name]


def test_a_null_value_needs_a_type_that_allows_it() -> None:
    for annotation in (Any, object, Order | None, None | int):
        assert Payloads(annotation).read(None, None) is None
    for annotation in (Order, int, bytes, Payment | Refund, Model):
        with pytest.raises(InvalidPayloadError, match="null"):
            Payloads(annotation).read(None, None)


@pytest.mark.parametrize(
    ("annotation", "value", "content_type", "error"),
    [
        (Order, b"not json", JSON, UndecodableError),
        (Order, b"", JSON, UndecodableError),
        (Order, b'{"id": "x", "amount": "1"}', JSON, InvalidPayloadError),
        (Order, b"\xc1", MSGPACK, UndecodableError),
        (Any, b"\xc1", MSGPACK, UndecodableError),
        (Any, b"\x91" * 5000, MSGPACK, UndecodableError),
        (Any, b"[" * 100_000, JSON, UndecodableError),
        (Order, b"\x01", b"application/avro", UndecodableError),
        (Model, b'{"id": 1}', JSON, InvalidPayloadError),
        (Model, b"{", JSON, InvalidPayloadError),
        (str, b"\xff", b"text/plain", UndecodableError),
        (int, b"x", b"text/plain", InvalidPayloadError),
        (int, b"x", b"application/octet-stream", InvalidPayloadError),
    ],
)
def test_bad_values_are_told_apart(
    annotation: Any, value: bytes, content_type: bytes, error: type[Exception]
) -> None:
    with pytest.raises(error):
        Payloads(annotation).read(value, content_type)


@given(
    st.binary(max_size=60), st.sampled_from([*(c.content_type.encode() for c in CODECS.values())])
)
def test_arbitrary_bytes_are_read_or_refused_and_nothing_else(
    value: bytes, content_type: bytes
) -> None:
    for annotation in (Any, Order, Payment | Refund, Model):
        try:
            Payloads(annotation).read(value, content_type)
        except PayloadError:
            pass
        else:
            assert annotation is Any or content_type != b"application/octet-stream"


class Opaque:
    pass


@dataclass
class Holder:
    inner: dict[str, list[Opaque]]


class Tree(msgspec.Struct):
    children: list[Tree] = []


@pytest.mark.parametrize("annotation", [Opaque, Holder, Order | Payment, list[Order] | list[int]])
def test_types_that_no_value_can_have_are_refused_at_declaration(annotation: Any) -> None:
    with pytest.raises(ConfigurationError):
        Payloads(annotation)


@pytest.mark.parametrize(
    ("codec", "value"),
    [
        ("json", Opaque()),
        ("msgpack", Opaque()),
        ("msgpack", {"a": Opaque()}),
        ("text", 1),
        ("raw", "x"),
    ],
)
def test_what_a_codec_cannot_write_is_an_error_of_its_own(codec: str, value: Any) -> None:
    with pytest.raises(EncodeError, match=codec):
        encode(CODECS[codec], value)


def test_types_that_contain_themselves_are_fine() -> None:
    assert Payloads(Tree).read(b'{"children": [{}]}', None) == Tree([Tree()])


def test_an_unknown_codec_is_refused_by_name() -> None:
    with pytest.raises(ConfigurationError, match="pickle"):
        codec_named("pickle")


def test_inventive_content_types_do_not_fill_the_memory() -> None:
    payloads = Payloads(int)
    for number in range(1000):
        assert payloads.read(b"7", b"application/json;v=%d" % number) == 7
    assert len(payloads._decoders) < 100

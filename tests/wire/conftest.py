"""What the tests of the wire share: captured conversations, and messages out of thin air."""

from __future__ import annotations

import functools
import gzip
import importlib
import json
import pkgutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import strategies as st

from mq.errors import ErrorCode
from mq.wire import messages
from mq.wire.fields import Member, Message, Struct, layout

GOLDEN = Path(__file__).parent / "golden" / "kafka-4.3-wire.jsonl.gz"
BITS = {"int8": 7, "int16": 15, "int32": 31, "int64": 63}
TIMES = ("timestamp", "timestamp_ms", "time_ms")


class Frame(NamedTuple):
    """One captured frame, without its size; ``correlation_id`` as the capture noted it."""

    client: str | None
    is_request: bool
    api_key: int
    api_version: int
    correlation_id: int
    data: bytes


@pytest.fixture(scope="session")
def golden() -> list[Frame]:
    """Frames between eight kinds of client and Apache Kafka 4.3."""
    with gzip.open(GOLDEN, "rt") as lines:
        rows = [json.loads(line) for line in lines]
    return [
        Frame(r.get("client"), r["d"] == "q", r["k"], r["v"], r["cid"], bytes.fromhex(r["x"]))
        for r in rows
    ]


@pytest.fixture(scope="session")
def message_kinds() -> list[type[Message]]:
    """Every class that is encoded on its own: requests, responses, records."""
    found: dict[type[Message], None] = {}
    for module in pkgutil.walk_packages(messages.__path__, messages.__name__ + "."):
        for kind in vars(importlib.import_module(module.name)).values():
            if isinstance(kind, type) and issubclass(kind, Message) and "VERSIONS" in vars(kind):
                found[kind] = None
    return list(found)


@pytest.fixture(scope="session")
def a() -> Callable[[type[Struct], int], st.SearchStrategy[Any]]:
    """``a(kind, version)``: messages whose fields are all among those of the version."""
    return _messages


@functools.cache
def _messages(kind: type[Struct], version: int) -> st.SearchStrategy[Any]:
    shape = layout(kind, version)
    fields = {member.name: _field(member, version) for member in [*shape.plain, *shape.tagged]}
    return st.builds(kind, **fields)


def _field(member: Member, version: int) -> st.SearchStrategy[Any]:
    one = _value(member, version)
    if member.array:
        one = st.lists(one, max_size=3)
    return st.none() | one if member.nullable(version) else one


def _value(member: Member, version: int) -> st.SearchStrategy[Any]:
    """A value that kio can hold too: it knows error codes by name and times as datetimes."""
    name = member.kind.name
    if member.struct is not None:
        return _messages(member.struct, version)
    if name == "int16" and member.name.endswith("error_code"):
        return st.sampled_from([*ErrorCode]).map(int)
    if name == "int64" and member.name.endswith(TIMES):
        return st.integers(0, 4 * 10**12)
    if name == "int64" and member.name.endswith("_ms"):
        return st.integers(-(10**12), 10**12)
    if name in BITS:
        return st.integers(-(1 << BITS[name]), (1 << BITS[name]) - 1)
    return _PLAIN[name]


_PLAIN: dict[str, st.SearchStrategy[Any]] = {
    "bool": st.booleans(),
    "float64": st.floats(allow_nan=False, allow_infinity=False),
    "uint16": st.integers(0, 0xFFFF),
    "uint32": st.integers(0, 0xFFFFFFFF),
    "uuid": st.uuids(allow_nil=True),
    "string": st.text(max_size=5) | st.just("x" * 130),
    "bytes": st.binary(max_size=5) | st.just(b"x" * 130),
    "records": st.binary(max_size=5) | st.just(b"x" * 130),
}

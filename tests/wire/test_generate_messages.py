"""The generator's own steps; that its output is what is committed, `--check` tells."""

from __future__ import annotations

import pytest

from tools.generate_messages import module_source, parse_versions, snake_case


@pytest.mark.parametrize(
    ("text", "versions"),
    [("none", []), ("2", [2]), ("1-3", [1, 2, 3]), ("3+", [3, 4]), ("7+", [])],
)
def test_versions_are_read_as_kafka_writes_them(text, versions):
    assert [*parse_versions(text, 4)] == versions


@pytest.mark.parametrize(
    ("name", "snake"),
    [
        ("TopicId", "topic_id"),
        ("clientId", "client_id"),
        ("LastKnownElr", "last_known_elr"),
        ("KRaftVersion", "kraft_version"),
        ("ErrorCode", "error_code"),
    ],
)
def test_names_become_snake_case(name, snake):
    assert snake_case(name) == snake


def a_schema(kind, fields):
    return {
        "apiKey": 7,
        "type": kind,
        "name": "Thing" + kind.capitalize(),
        "validVersions": "1-4",
        "flexibleVersions": "3+",
        "fields": fields,
    }


def a_field(name, kind, versions="0+", **more):
    return {"name": name, "type": kind, "versions": versions, **more}


def test_a_field_says_only_what_its_type_does_not():
    fields = [
        a_field("Always", "int32", default="-1"),
        a_field("Late", "string", "2+", nullableVersions="3+", ignorable=True),
        a_field("Gone", "bool", "0"),
        a_field("Tagged", "[]uuid", "3+", taggedVersions="3+", tag=1),
    ]
    source = module_source([a_schema("request", fields), a_schema("response", [])])
    assert "always: int32 = -1" in source
    assert 'late: Annotated[str | None, Field("2+", nullable="3+", ignorable=True)] = ""' in source
    assert 'tagged: Annotated[list[UUID], Field("3+", tag=1)] = []' in source
    assert "gone" not in source


def test_parts_of_one_name_are_shared_if_equal_and_renamed_if_not():
    same = a_field("Same", "[]Same", fields=[a_field("X", "int8")])
    inner = [a_field("Inner", "Inner", fields=[a_field("Y", "int8")])]
    other = [a_field("Inner", "Inner", fields=[a_field("Y", "int16")])]
    request = a_schema("request", [same, a_field("Outer", "[]Outer", fields=inner)])
    response = a_schema("response", [same, a_field("Outer", "[]Outer", fields=other)])
    source = module_source([request, response])
    assert source.count("class Same(Struct)") == 1
    for name in ("RequestInner", "ResponseInner", "RequestOuter", "ResponseOuter"):
        assert source.count(f"class {name}(Struct)") == 1
    assert "inner: RequestInner = factory(RequestInner)" in source


def test_a_field_tagged_in_some_versions_only_is_refused():
    field = a_field("Odd", "int8", "1+", taggedVersions="3+", tag=0)
    with pytest.raises(ValueError, match="tagged only in some versions"):
        module_source([a_schema("request", [field])])

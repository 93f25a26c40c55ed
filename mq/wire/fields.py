"""The words in which Kafka's messages are declared, and what a message consists of at a version.

A message is a class whose attributes are its fields, in the order of the wire. The annotation of an
attribute says what it is::

    partition: int32 = 0
    topic: Annotated[str, Field("0-12", ignorable=True)] = ""
    replicas: Annotated[list[int32] | None, Field("2+", tag=1)] = None

so one declaration serves every version of an API: :class:`Field` names the versions that carry the
attribute, and :func:`layout` answers what is left at one of them. A field without a
:class:`Field` is there in all versions; ``| None`` makes it nullable wherever it exists unless
``nullable`` narrows that.

This module knows nothing of bytes. ``encoder`` and ``decoder`` turn a :class:`Layout` into code.
"""

from __future__ import annotations

import functools
import types
import typing
from collections.abc import Sized
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Final, NamedTuple, TypeAlias
from uuid import UUID

import msgspec

__all__ = [
    "ZERO_UUID",
    "Field",
    "Layout",
    "Member",
    "Message",
    "Records",
    "Request",
    "Response",
    "Struct",
    "factory",
    "int8",
    "int16",
    "int32",
    "int64",
    "layout",
    "uint16",
    "uint32",
    "versions",
]

ZERO_UUID: Final = UUID(int=0)


class Kind(NamedTuple):
    """How one value is written: its name in Kafka's schemas and, if its size is fixed, its format.

    ``format`` is the letter of the ``struct`` module, empty where the size varies.
    """

    name: str
    format: str = ""
    size: int = 0


int8: TypeAlias = Annotated[int, Kind("int8", "b", 1)]
int16: TypeAlias = Annotated[int, Kind("int16", "h", 2)]
int32: TypeAlias = Annotated[int, Kind("int32", "i", 4)]
int64: TypeAlias = Annotated[int, Kind("int64", "q", 8)]
uint16: TypeAlias = Annotated[int, Kind("uint16", "H", 2)]
uint32: TypeAlias = Annotated[int, Kind("uint32", "I", 4)]

Records: TypeAlias = Annotated[bytes | Sized, Kind("records")]
"""Record batches. Decoding gives bytes; encoding passes on whatever has a length, for instance a
range of a file, untouched (see :func:`mq.wire.schema.encode_parts`)."""

_PLAIN: Final = {
    bool: Kind("bool", "?", 1),
    float: Kind("float64", "d", 8),
    str: Kind("string"),
    bytes: Kind("bytes"),
    UUID: Kind("uuid", "16s", 16),
}
_STRUCT: Final = Kind("struct")


@dataclass(frozen=True, slots=True)
class Field:
    """What Kafka's schema says of a field beyond its type.

    ``versions`` and ``nullable`` are ranges as Kafka writes them: ``"3+"``, ``"0-12"``, ``"7"``.
    ``tag`` makes it a tagged field (KIP-482) in all its versions. A field that is not ``ignorable``
    must hold its default when a message is encoded at a version that lacks it.
    """

    versions: str = "0+"
    nullable: str = ""
    tag: int | None = None
    ignorable: bool = False


class Struct(msgspec.Struct, gc=False):
    """A part of a message. Messages are trees, so the garbage collector need not look at them."""


class Message(Struct):
    """What is encoded and decoded on its own: a request, a response or the half of a record.

    ``API_KEY`` is the key of the API, or of the record type. ``FLEXIBLE`` is the first version with
    compact lengths and tagged fields (KIP-482), or None.
    """

    API_KEY: ClassVar[int]
    VERSIONS: ClassVar[range]
    FLEXIBLE: ClassVar[int | None]


class Response(Message):
    """The answer to a :class:`Request`."""


class Request(Message):
    """A request; ``RESPONSE`` is the class of its answer."""

    RESPONSE: ClassVar[type[Response]]


def versions(lowest: int, highest: int) -> range:
    """The versions from ``lowest`` to ``highest``, both included."""
    return range(lowest, highest + 1)


def factory(kind: type[Struct]) -> Any:
    """The default of a field that holds a structure: a fresh one, with defaults."""
    return msgspec.field(default_factory=kind)


class Member(NamedTuple):
    """A field of one structure as declared, whatever the version."""

    name: str
    kind: Kind
    array: bool
    struct: type[Struct] | None
    field: Field
    optional: bool
    default: Any

    def nullable(self, version: int) -> bool:
        return self.optional and _within(version, self.field.nullable or "0+")


class Layout(NamedTuple):
    """A structure at one version.

    ``plain`` fields come first, in this order; then, in flexible versions, the ``tagged`` ones by
    ascending tag. ``absent`` ones do not exist at this version.
    """

    members: tuple[Member, ...]
    plain: tuple[Member, ...]
    tagged: tuple[Member, ...]
    absent: tuple[Member, ...]


def layout(struct: type[Struct], version: int) -> Layout:
    """What ``struct`` consists of at ``version``."""
    members = _members(struct)
    present = [member for member in members if _within(version, member.field.versions)]
    tagged = [member for member in present if member.field.tag is not None]
    return Layout(
        members,
        tuple(member for member in present if member.field.tag is None),
        tuple(sorted(tagged, key=lambda member: member.field.tag or 0)),
        tuple(member for member in members if member not in present),
    )


def _within(version: int, versions: str) -> bool:
    lowest, plus, _ = versions.partition("+")
    if plus:
        return version >= int(lowest)
    lowest, _, highest = versions.partition("-")
    return int(lowest) <= version <= int(highest or lowest)


@functools.cache
def _members(struct: type[Struct]) -> tuple[Member, ...]:
    hints = typing.get_type_hints(struct, include_extras=True)
    example = struct()
    return tuple(
        _member(name, hints[name], getattr(example, name)) for name in struct.__struct_fields__
    )


def _member(name: str, hint: Any, default: Any) -> Member:
    """Read one annotation: from the outside in, Field, ``| None``, list, and the type itself."""
    field, kind, optional = Field(), None, False
    array, struct = False, None
    while True:
        origin = typing.get_origin(hint)
        if origin is Annotated:
            hint, *facts = typing.get_args(hint)
            field = next((fact for fact in facts if isinstance(fact, Field)), field)
            kind = next((fact for fact in facts if isinstance(fact, Kind)), kind)
            if kind is not None:
                break
        elif origin in (typing.Union, types.UnionType):
            (hint,) = (part for part in typing.get_args(hint) if part is not type(None))
            optional = True
        elif origin is list:
            (hint,) = typing.get_args(hint)
            array = True
        else:
            break
    if kind is None:
        kind = _PLAIN.get(hint, _STRUCT)
        struct = hint if kind is _STRUCT else None
    return Member(name, kind, array, struct, field, optional, default)

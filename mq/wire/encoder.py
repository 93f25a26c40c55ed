"""From a message to bytes: writes, for one class at one version, the Python function that does it.

The function is straight-line code. Neighbouring fields of fixed size share one call of ``struct``,
arrays of structures are loops in place, and nothing is looked up per field at run time. It appends
to a list of parts, which the caller joins, or sends one by one where records should not be copied.

Compiled functions trust the caller's types and turn what that leads to into one clear error.
"""

from __future__ import annotations

import functools
import struct
from collections.abc import Callable
from typing import Any, Final
from uuid import UUID

from mq.errors import ErrorCode, KafkaError
from mq.wire.fields import ZERO_UUID, Member, Message, Struct, layout
from mq.wire.source import Source
from mq.wire.varint import UNSIGNED

__all__ = ["compile_encoder"]

Encoder = Callable[[Any], list[Any]]


class _Packers(dict[int, Callable[..., bytes]]):
    """How to pack ``n`` numbers of one format, for each ``n`` that was needed so far."""

    def __init__(self, letter: str) -> None:
        super().__init__()
        self._letter = letter

    def __missing__(self, count: int) -> Callable[..., bytes]:
        pack = struct.Struct(f">{count}{self._letter}").pack
        if count < 256:
            self[count] = pack
        return pack


class MissingFieldError(Exception):
    """A field that is not ignorable is set, but the version does not have it."""


def _missing(name: str) -> None:
    raise MissingFieldError(name)


def _unwritable(title: str, error: Exception) -> Exception:
    if isinstance(error, MissingFieldError):
        text = f"{title} cannot carry {error}, which is set"
        return KafkaError(ErrorCode.UNSUPPORTED_VERSION, text)
    return ValueError(f"{title} cannot be written: {error}")


_PACKERS: Final = {letter: _Packers(letter) for letter in "?bhiqHId"}


def compile_encoder(message: type[Message], version: int) -> Encoder:
    """A function of (message) that gives its bytes as a list of parts."""
    title = f"{message.__name__} v{version}"
    writer = _Writer(version, flexible=_flexible(message, version))
    source = writer.source
    source.scope["unwritable"] = functools.partial(_unwritable, title)
    with source.block("try:"):
        source.line("parts = []")
        writer.structure(message, "m")
        writer.flush()
        source.line("return parts")
    source.line("except BAD as error: raise unwritable(error) from error")
    return source.compile("encode", ("m",), title)


def _flexible(message: type[Message], version: int) -> bool:
    return message.FLEXIBLE is not None and version >= message.FLEXIBLE


class _Writer:
    """Collects the source. ``_run`` holds the fixed-size values not yet written to a line."""

    def __init__(self, version: int, *, flexible: bool) -> None:
        self.version = version
        self.flexible = flexible
        self.source = Source(_SCOPE)
        self._run: list[tuple[str, str]] = []
        self._target = "parts"

    # A structure is its fields in order; then its tagged fields.

    def structure(self, kind: type[Struct], name: str) -> None:
        shape = layout(kind, self.version)
        for member in shape.absent:
            if not member.field.ignorable:
                condition = self._differs(member, f"{name}.{member.name}")
                self.source.line(f"if {condition}: missing({member.name!r})")
        for member in shape.plain:
            self._member(member, f"{name}.{member.name}")
        if self.flexible:
            self._tagged(shape.tagged, name)

    def _tagged(self, members: tuple[Member, ...], name: str) -> None:
        if not members:
            self._run.append(("x", ""))  # pads with the zero that says: no tagged fields
            return
        self.flush()
        conditions = [self._differs(member, f"{name}.{member.name}") for member in members]
        tags, outer = self.source.name("tags"), self._target
        with self.source.block(f"if {' or '.join(conditions)}:"):
            self.source.line(f"{tags} = []")
            for member, condition in zip(members, conditions, strict=True):
                self._target = self.source.name("body")
                with self.source.block(f"if {condition}:"):
                    self.source.line(f"{self._target} = []")
                    self._member(member, f"{name}.{member.name}")
                    self.flush()
                    self.source.line(f"{self._target} = b''.join({self._target})")
                    self.source.line(
                        f"{tags} += varint[{member.field.tag}], varint[len({self._target})], "
                        f"{self._target}"
                    )
            self._target = outer
            self.source.line(f"{outer} += varint[len({tags}) // 3], *{tags}")
        self.source.line(f"else: {outer}.append(b'\\0')")

    def _differs(self, member: Member, value: str) -> str:
        """The condition under which a field does not hold its default."""
        default = member.default
        if default is None:
            return f"{value} is not None"
        if default in ([], "", b"", 0) and not member.optional:
            return value
        plain = isinstance(default, int | str | bytes | float)
        return f"{value} != {default!r}" if plain else f"{value} != {self.source.constant(default)}"

    # One field.

    def _member(self, member: Member, value: str) -> None:
        nullable = member.nullable(self.version)
        if not member.array and member.kind.format and not nullable:
            self._fixed(member, value)
            return
        if not value.isidentifier():
            local = self.source.name(member.name)
            self.source.line(f"{local} = {value}")
            value = local
        if nullable:
            self.flush()
            with self.source.block(f"if {value} is None:"):
                self._null(member)
                self.flush()
            with self.source.block("else:"):
                self._present(member, value, nullable=True)
                self.flush()
        else:
            self._present(member, value, nullable=False)

    def _present(self, member: Member, value: str, *, nullable: bool) -> None:
        if member.array:
            self._array(member, value)
        elif member.struct is not None:
            if nullable:
                self._run.append(("b", "1"))
            self.structure(member.struct, value)
        else:
            self._bytes(member, value)

    def _null(self, member: Member) -> None:
        if member.struct is not None and not member.array:
            self._run.append(("b", "-1"))
        elif self.flexible:
            self._run.append(("x", ""))
        else:
            self._run.append((_length_format(member, array=member.array), "-1"))

    def _fixed(self, member: Member, value: str) -> None:
        if member.kind.name == "uuid":
            value = f"uuid_bytes({value})"
        self._run.append((member.kind.format, value))

    def _length(self, letter: str, value: str) -> None:
        if self.flexible:
            self._part(f"varint[len({value}) + 1]")
        else:
            self._run.append((letter, f"len({value})"))

    def _bytes(self, member: Member, value: str) -> None:
        if member.kind.name == "string":
            self.source.line(f"{value} = {value}.encode()")
        self._length(_length_format(member, array=False), value)
        self._part(value)

    def _array(self, member: Member, value: str) -> None:
        self._length("i", value)
        if member.kind.format and member.kind.name != "uuid":
            packers = self.source.constant(_PACKERS[member.kind.format])
            self._part(f"{packers}[len({value})](*{value})")
            return
        self.flush()
        item = self.source.name("item")
        with self.source.block(f"for {item} in {value}:"):
            if member.struct is not None:
                self.structure(member.struct, item)
            elif member.kind.name == "uuid":
                self._part(f"uuid_bytes({item})")
            else:
                self._bytes(member, item)
            self.flush()

    # Parts.

    def _part(self, expression: str) -> None:
        self.flush()
        self.source.line(f"{self._target}.append({expression})")

    def flush(self) -> None:
        """Write the pending values of fixed size as one packed part."""
        if not self._run:
            return
        letters = "".join(letter for letter, _ in self._run)
        values = ", ".join(value for _, value in self._run if value)
        self._run.clear()
        if values:
            pack = self.source.constant(struct.Struct(">" + letters).pack, ">" + letters)
            self.source.line(f"{self._target}.append({pack}({values}))")
        else:
            self.source.line(f"{self._target}.append({bytes(len(letters))!r})")


def _length_format(member: Member, *, array: bool) -> str:
    """Outside flexible versions strings have 16-bit lengths, all else has 32 bits."""
    return "h" if member.kind.name == "string" and not array else "i"


def _uuid_bytes(value: UUID) -> bytes:
    return _ZERO if value is ZERO_UUID else value.bytes


_ZERO: Final = bytes(16)
_SCOPE: Final = {
    "varint": UNSIGNED,
    "missing": _missing,
    "uuid_bytes": _uuid_bytes,
    "BAD": (struct.error, AttributeError, TypeError, MissingFieldError),
}

"""From bytes to a message: writes, for one class at one version, the Python function that does it.

The function is straight-line code. A run of fields of fixed size, together with the length of what
follows it, is one call of ``struct``. The position is a variable and a constant that only the code
writer adds up, so nothing is spent on moving it; lengths above 127, tagged fields and other rare
things are calls that give back a position as if nothing had happened.

Many bytes of records are not copied: a message has a view of them, which keeps the frame alive.

What the peer sends is not trusted. A length must not move the position backwards, and a count must
not exceed the bytes that are left. A length that points past the end needs no check of its own:
slices stop there, and whatever is read next, or a comparison at the end, tells. An element can cost
a hundred times the two bytes it takes, so a message may have only so many. Every failure is a
:class:`~mq.errors.PeerError`.
"""

from __future__ import annotations

import functools
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final
from uuid import UUID

from mq.errors import PeerError
from mq.wire import lengths
from mq.wire.fields import ZERO_UUID, Member, Message, Struct, layout
from mq.wire.lengths import ELEMENTS_MAX, FEW
from mq.wire.source import Source
from mq.wire.varint import read_unsigned_varint

__all__ = ["compile_decoder"]

Decoder = Callable[[bytes, int], tuple[Any, int]]

VIEWED_BYTES: Final = 16 * 1024  # from here on a view of records is cheaper than a copy

UUIDS_REMEMBERED: Final = 4096  # topic ids come with every fetch; making a UUID takes 1 µs


# --- what the written functions call, mostly when something is rare or wrong --------------------


def _bad_tag(name: str) -> None:
    raise ValueError(f"tagged field {name} is not as long as it says")


def _skip_tags(buffer: bytes, position: int, offset: int) -> int:
    """Skip tagged fields, none of them known, as if there had been none."""
    count, end = read_unsigned_varint(buffer, position + offset)
    for _ in range(count):
        _, end = read_unsigned_varint(buffer, end)
        size, end = read_unsigned_varint(buffer, end)
        end += size
    if end > len(buffer):
        raise IndexError
    return end - offset - 1


class _Uuids(dict[bytes, UUID]):
    """UUIDs by their bytes. It starts anew when full: what is in use comes back at once."""

    def __missing__(self, raw: bytes) -> UUID:
        if len(self) >= UUIDS_REMEMBERED:
            self.clear()
        self[raw] = value = UUID(bytes=raw) if any(raw) else ZERO_UUID
        return value


_SCOPE: Final = {
    "long": lengths.long,
    "long_text": lengths.long_text,
    "null": lengths.null,
    "many": lengths.many,
    "times": lengths.TIMES,
    "compact_times": lengths.COMPACT_TIMES,
    "too_many": lengths.too_many,
    "bad_tag": _bad_tag,
    "skip_tags": _skip_tags,
    "uuids": _Uuids(),
    "unpack_many": lengths.unpack_many,
    "varint": read_unsigned_varint,
    "view": memoryview,
    "ZERO_UUID": ZERO_UUID,
    "BAD": (IndexError, struct.error, ValueError),
}


# --- the writer ------------------------------------------------------------------------------


def compile_decoder(message: type[Message], version: int) -> Decoder:
    """A function of (buffer, position) that gives the message and the position after it."""
    return _compile(message, version, counts=False)


def _compile(message: type[Message], version: int, *, counts: bool) -> Decoder:
    """Elements need not be counted where there are too few bytes for too many of them."""
    flexible = message.FLEXIBLE is not None and version >= message.FLEXIBLE
    title = f"{message.__name__} v{version}"
    reader = _Reader(version, flexible=flexible, counts=counts)
    source = reader.source
    source.scope["unreadable"] = functools.partial(_unreadable, title)
    source.scope["counting"] = functools.partial(_counting, message, version)
    if counts:
        source.line(f"room = {ELEMENTS_MAX}")
    else:
        source.line(f"if len(b) > {ELEMENTS_MAX}: return counting()(b, p)")
    with source.block("try:"):
        result = reader.structure(message)
        reader.settle()
        if reader.unseen:
            source.line(f"if {reader.at()} > len(b): raise IndexError")
        source.line(f"return {result}, {reader.at()}")
    source.line("except BAD as error: raise unreadable(error) from error")
    return source.compile("decode", ("b", "p"), title)


@functools.cache
def _counting(message: type[Message], version: int) -> Decoder:
    return _compile(message, version, counts=True)


def _unreadable(title: str, error: Exception) -> PeerError:
    """The one kind of error that bad bytes make, with what is known of the cause."""
    cause = str(error) if type(error) is ValueError else "the bytes end too early"
    if isinstance(error, UnicodeDecodeError):
        cause = "a string is not UTF-8"
    return PeerError(f"{title} cannot be read: {cause}")


def _least_size(kind: type[Struct], version: int, *, flexible: bool) -> int:
    """The fewest bytes that a ``kind`` can take."""
    total = 1 if flexible else 0
    for member in layout(kind, version).plain:
        if member.array or not member.kind.format:
            is_string = member.kind.name == "string" and not member.array
            total += 1 if flexible or member.struct else 2 if is_string else 4
        else:
            total += member.kind.size
    return max(total, 1)


class _Reader:
    """Collects the source.

    The position is ``_base + _offset``: a variable of the written code and a number known here.
    ``_run`` holds the fields of fixed size that are not yet read by a line. ``unseen`` says that
    the position may be past the end, and no line would notice.
    """

    def __init__(self, version: int, *, flexible: bool, counts: bool) -> None:
        self.version = version
        self.flexible = flexible
        self.counts = counts
        self.source = Source(_SCOPE)
        self.unseen = True
        self._base = "p"
        self._offset = 0
        self._run: list[tuple[str, str]] = []

    def at(self, further: int = 0) -> str:
        """The position as an expression."""
        offset = self._offset + further
        return f"{self._base} + {offset}" if offset else self._base

    def _move(self, base: str, offset: int = 0) -> None:
        self._base, self._offset = base, offset

    @contextmanager
    def _branch(self, head: str, base: str) -> Iterator[None]:
        """A block that starts at the present position and ends with it in ``base``."""
        before = self._base, self._offset
        with self.source.block(head):
            yield
            self.settle()
            self.source.line(f"{base} = {self.at()}")
        self._move(*before)

    def structure(self, kind: type[Struct]) -> str:
        """Write what reads the fields of ``kind``; the expression that makes it of them."""
        shape = layout(kind, self.version)
        names = {member.name: self.source.name(member.name) for member in shape.members}
        for member in shape.plain:
            self._member(member, names[member.name])
        if self.flexible:
            self._tagged(shape.tagged, names)
        arguments = [
            self._default(member) if member in shape.absent else names[member.name]
            for member in shape.members
        ]
        for place, member in enumerate(shape.members):
            if member.kind.name == "uuid" and not member.array and member in shape.plain:
                arguments[place] = f"uuids[{arguments[place]}]"
        while arguments and shape.members[len(arguments) - 1] in shape.absent:
            arguments.pop()
        return f"{self.source.constant(kind)}({', '.join(arguments)})"

    def _default(self, member: Member) -> str:
        if isinstance(member.default, Struct):
            return f"{self.source.constant(type(member.default))}()"
        return "ZERO_UUID" if member.default is ZERO_UUID else repr(member.default)

    # Fields of fixed size wait in the run; `settle` reads them and moves the position past them.

    def settle(self) -> None:
        if not self._run:
            return
        letters = ">" + "".join(letter for letter, _ in self._run)
        unpack = self.source.constant(struct.Struct(letters).unpack_from, letters)
        targets = ", ".join(name for _, name in self._run)
        self.source.line(f"{targets}, = {unpack}(b, {self.at()})")
        self._offset += struct.calcsize(letters)
        self._run.clear()
        self.unseen = False

    def _byte(self, name: str) -> None:
        """Read the run and the one byte after it, and leave the position at that byte."""
        if self._run:
            self._run.append(("B", name))
            self.settle()
            self._offset -= 1
        else:
            self.source.line(f"{name} = b[{self.at()}]")
            self.unseen = False

    # One field.

    def _member(self, member: Member, name: str) -> None:
        nullable = member.nullable(self.version)
        if member.array:
            self._array(member, name, nullable=nullable)
        elif member.struct is not None:
            self._struct(member.struct, name, nullable=nullable)
        elif member.kind.format:
            self._run.append((member.kind.format, name))
        elif self.flexible:
            self._compact_bytes(member, name, nullable=nullable)
        else:
            self._bytes(member, name, nullable=nullable)

    def _struct(self, kind: type[Struct], name: str, *, nullable: bool) -> None:
        if not nullable:
            result = self.structure(kind)
            self.settle()
            self.source.line(f"{name} = {result}")
            return
        presence, base = self.source.name("present"), self.source.name("p")
        self._run.append(("b", presence))
        self.settle()
        with self._branch(f"if {presence} < 0:", base):
            self.source.line(f"{name} = None")
        with self._branch("else:", base):
            result = self.structure(kind)
            self.settle()
            self.source.line(f"{name} = {result}")
        self._move(base)

    def _compact_bytes(self, member: Member, name: str, *, nullable: bool) -> None:
        """``n``, then n - 1 bytes; n = 0 is null."""
        n, base = self.source.name("n"), self.source.name("p")
        is_string = member.kind.name == "string"
        self._byte(n)
        read = f"{name} = {self._slice(member, n, base, 1)}"
        if nullable:
            with self.source.block(f"if {n} > 1:"):
                self._long(n, member.kind.name)
                self.source.line(f"{base} = {self.at()} + {n}")
                self.source.line(read)
            with self.source.block("else:"):
                empty = "''" if is_string else "b''"
                self.source.line(f"{base} = {self.at(1)}")
                self.source.line(f"{name} = {empty} if {n} else None")
        else:
            self._long(n, member.kind.name)
            self.source.line(f"{base} = {self.at()} + ({n} or null({member.name!r}))")
            self.source.line(read)
        self._move(base)
        self.unseen = True

    def _long(self, n: str, kind: str = "") -> None:
        """Read on if a length has more than one byte, which is the rule for records."""
        reader = "long_text" if kind == "string" else "long"
        long = f"{n}, {self._base} = {reader}(b, {self._base}, {self._offset})"
        if kind != "records":
            self.source.line(f"if {n} > 127: {long}")
            return
        with self.source.block(f"if {n} > 127:"):
            self.source.line(f"left = b[{self.at(1)}]")
            self.source.line(f"if left > 127: {long}")
            self.source.line(f"else: {n} += (left << 7) - 128; {self._base} += 1")

    # Outside flexible versions a negative length is null, whichever it is: so Kafka reads it.

    def _bytes(self, member: Member, name: str, *, nullable: bool) -> None:
        """``n`` as 16 or 32 bits, then n bytes."""
        is_string = member.kind.name == "string"
        if is_string and not self._run:
            self._text(member, name, nullable=nullable)
            return
        n, base = self.source.name("n"), self.source.name("p")
        self._run.append(("h" if is_string else "i", n))
        self.settle()
        with self.source.block(f"if {n} < 0:"):
            self._null(member, name, base, nullable=nullable)
        with self.source.block("else:"):
            self.source.line(f"{base} = {self.at()} + {n}")
            self.source.line(f"{name} = {self._slice(member, n, base)}")
        self._move(base)
        self.unseen = True

    def _slice(self, member: Member, n: str, end: str, further: int = 0) -> str:
        """The ``n`` bytes from the position to ``end``, as what they stand for."""
        place = f"[{self.at(further)} : {end}]"
        if member.kind.name == "string":
            return f"b{place}.decode()"
        if member.kind.name == "records":
            return f"b{place} if {n} < {VIEWED_BYTES} else view(b){place}"
        return f"b{place}"

    def _text(self, member: Member, name: str, *, nullable: bool) -> None:
        """A string whose two bytes of length stand alone: quicker to look at than to unpack."""
        n, base, at = self.source.name("n"), self.source.name("p"), self.at()
        low = f"b[{self.at(1)}]"
        self._offset += 2
        with self.source.block(f"if b[{at}] > 127:"):
            self._null(member, name, base, nullable=nullable)
        with self.source.block("else:"):
            self.source.line(f"{n} = {low}")
            self.source.line(f"if b[{at}]: {n} += b[{at}] << 8")
            self.source.line(f"{base} = {self.at()} + {n}")
            self.source.line(f"{name} = b[{self.at()} : {base}].decode()")
        self._move(base)
        self.unseen = True

    def _null(self, member: Member, name: str, base: str, *, nullable: bool) -> None:
        if nullable:
            self.source.line(f"{base} = {self.at()}")
            self.source.line(f"{name} = None")
        else:
            self.source.line(f"null({member.name!r})")

    # Arrays.

    def _array(self, member: Member, name: str, *, nullable: bool) -> None:
        n, base = self.source.name("n"), self.source.name("p")
        if self.flexible:
            self._byte(n)
        else:
            self._run.append(("i", n))
            self.settle()
        if not nullable:
            self._elements(member, name, n)
            return
        with self._branch(f"if {n} {'== 0' if self.flexible else '< 0'}:", base):
            self._offset += self.flexible
            self.source.line(f"{name} = None")
        with self._branch("else:", base):
            self._elements(member, name, n)
        self._move(base)
        self.unseen = True

    def _elements(self, member: Member, name: str, n: str) -> None:
        if member.kind.format and member.kind.name != "uuid":
            self._numbers(member, name, n)
            return
        least = member.kind.size or 1
        if member.struct is not None:
            least = _least_size(member.struct, self.version, flexible=self.flexible)
        times, base = self.source.name("times"), self.source.name("p")
        self._either(n, f"{times} = {'compact_times' if self.flexible else 'times'}[{n}]")
        self._or_many(n, f"{times} = many({member.name!r}, @, {least}, left)")
        if self.counts:
            self.source.line(f"if (room := room - {n}) < 0: too_many({member.name!r})")
        self.source.line(f"{name} = []")
        self.source.line(f"{base} = {self.at()}")
        self._move(base)
        with self._branch(f"for _ in {times}:", base):
            self.source.line(f"{name}.append({self._element(member)})")
        self._move(base)
        self.unseen = True

    def _numbers(self, member: Member, name: str, n: str) -> None:
        letter, size = member.kind.format, member.kind.size
        table = self.source.constant(lengths.unpackers(letter, compact=self.flexible), letter * 2)
        after = f"(b, {self.at(self.flexible)})"
        empty = 1 if self.flexible else 0
        with self.source.block(f"if {n} == {empty}:"):
            self.source.line(f"{name} = []")
        self._either(n, f"{name} = [*{table}[{n}]{after}]", "elif")
        self._or_many(n, f"{name} = [*unpack_many({member.name!r}, @, {letter!r}, left){after}]")
        base = self.source.name("p")
        self.source.line(f"{base} = {self._base} + {n} * {size}")
        self._move(base, self._offset - size * empty)
        self.unseen = True

    def _either(self, n: str, line: str, word: str = "if") -> None:
        """``line`` is for the few elements that arrays usually have."""
        few = f"{n} < {FEW}" if self.flexible else f"0 <= {n} < {FEW}"
        self.source.line(f"{word} {few}: {line}")

    def _or_many(self, n: str, line: str) -> None:
        """``line`` is for many of them, with @ for their number; the position is after it."""
        with self.source.block("else:"):
            if self.flexible:
                self._long(n)
                self._offset += 1
            self.source.line(f"left = len(b) - {self._base} - {self._offset}")
            self.source.line(line.replace("@", f"{n} - 1" if self.flexible else n))

    def _element(self, member: Member) -> str:
        if member.struct is not None:
            item = self.structure(member.struct)
        else:
            value = self.source.name("item")
            self._member(member._replace(array=False, optional=False), value)
            item = f"uuids[{value}]" if member.kind.name == "uuid" else value
        self.settle()
        return item

    # Tagged fields (KIP-482): a count, then tag, size and value of each; unknown ones are skipped.

    def _tagged(self, members: tuple[Member, ...], names: dict[str, str]) -> None:
        if self._run:
            count = self.source.name("n")
            self._byte(count)
        else:
            count = f"b[{self.at()}]"
        for member in members:
            self.source.line(f"{names[member.name]} = {self._default(member)}")
        if members:
            with self.source.block(f"if {count}:"):
                self._known_tags(members, names)
        else:
            skip = f"{self._base} = skip_tags(b, {self._base}, {self._offset})"
            self.source.line(f"if {count}: {skip}")
        self._offset += 1
        self.unseen = False

    def _known_tags(self, members: tuple[Member, ...], names: dict[str, str]) -> None:
        """Read them, and leave the base as if there had been none."""
        before = self._base, self._offset
        names = dict(names)
        count, tag, stop, base = (self.source.name(stem) for stem in ("n", "tag", "stop", "p"))
        self.source.line(f"{count}, {base} = varint(b, {self.at()})")
        with self.source.block(f"for _ in range({count}):"):
            self.source.line(f"{tag}, {base} = varint(b, {base})")
            self.source.line(f"{stop}, {base} = varint(b, {base})")
            self.source.line(f"{stop} += {base}")
            for member in members:
                with self.source.block(f"if {tag} == {member.field.tag}:"):
                    self._move(base)
                    name = names[member.name]
                    self._member(member, name)
                    self.settle()
                    if member.kind.name == "uuid" and not member.array:
                        self.source.line(f"{name} = uuids[{name}]")
                    self.source.line(f"if {self.at()} != {stop}: bad_tag({member.name!r})")
            self.source.line(f"{base} = {stop}")
        self.source.line(f"if {base} > len(b): raise IndexError")
        self._move(*before)
        self.source.line(f"{self._base} = {base} - {self._offset + 1}")

"""Regular expressions over topic names, in the syntax of RE2, matched in linear time (KIP-848).

A subscription by pattern is matched by the broker, against all topics, on the one loop that
everybody waits for. A matcher that backtracks, as Python's ``re`` does, would let one client stop
all with ``(a+)+$``. So this is an automaton without backtracking: each character of a name is
looked at once, whatever the pattern, and the steps are remembered.

The syntax is RE2's, which Kafka's brokers speak since 4.0: no back references and no lookaround.
Topic names are made of a few ASCII characters, so a class is a set of those, and what can only
match others matches nothing. Left out: Unicode scripts (``\\p{Greek}``); general categories
(``\\p{Lu}``) are there. Nothing is captured, for only whole names are compared.
"""

from __future__ import annotations

import functools
import string
import unicodedata
from collections.abc import Iterable
from typing import Final, NamedTuple, TypeAlias

from mq.errors import ErrorCode, KafkaError

__all__ = ["TopicPattern"]

Characters: TypeAlias = frozenset[str]

_ALL: Final[Characters] = frozenset(map(chr, range(128)))
_WORD: Final[Characters] = frozenset(string.ascii_letters + string.digits + "_")
_CLASSES: Final[dict[str, Characters]] = {
    "alnum": frozenset(string.ascii_letters + string.digits),
    "alpha": frozenset(string.ascii_letters),
    "ascii": _ALL,
    "blank": frozenset("\t "),
    "cntrl": frozenset(map(chr, [*range(32), 127])),
    "digit": frozenset(string.digits),
    "graph": frozenset(map(chr, range(33, 127))),
    "lower": frozenset(string.ascii_lowercase),
    "print": frozenset(map(chr, range(32, 127))),
    "punct": frozenset(string.punctuation),
    "space": frozenset("\t\n\v\f\r "),
    "upper": frozenset(string.ascii_uppercase),
    "word": _WORD,
    "xdigit": frozenset(string.hexdigits),
}
_PERL: Final[dict[str, Characters]] = {
    "d": _CLASSES["digit"],
    "s": frozenset("\t\n\f\r "),
    "w": _WORD,
}
_CONTROL: Final = {"a": "\a", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
_ASSERTIONS: Final = {"A": "start", "z": "end", "b": "boundary", "B": "inside"}

# RE2 has the first bound too; the others keep one pattern from using up memory and stack.
_REPEAT_MAX: Final = 1_000
_DEPTH_MAX: Final = 100
_STATES_MAX: Final = 2_000
_REMEMBERED_MAX: Final = 10_000


class Part(NamedTuple):
    """A piece of a pattern.

    ``kind`` says what the others mean: ``set`` of characters, ``all`` parts one after another,
    ``any`` one of the parts, ``repeat`` the part ``least`` to ``most`` times (None: for ever), or
    an assertion, which matches between characters.
    """

    kind: str
    characters: Characters = frozenset()
    parts: tuple[Part, ...] = ()
    least: int = 0
    most: int | None = None


class State(NamedTuple):
    """A state of the automaton: what it consumes (None: nothing), and which may follow."""

    kind: str
    characters: Characters
    following: tuple[int, ...]


_Where: TypeAlias = tuple[frozenset[int], str]
"""The states that may be next, and what came before: ``start``, a ``word`` character, ``other``."""

_MATCH: Final = 0


class TopicPattern:
    """A compiled pattern.

    Raises:
        KafkaError: INVALID_REGULAR_EXPRESSION, and why.
    """

    def __init__(self, text: str) -> None:
        self._states = [State("match", frozenset(), ())]
        first = self._build(_Parser(text).parse(), _MATCH)
        self._first: _Where = frozenset([first]), "start"
        self._steps: dict[tuple[_Where, str], _Where] = {}

    def matches(self, name: str) -> bool:
        """Whether the pattern matches the whole of ``name``."""
        where = self._first
        for character in name:
            where = self._step(where, character)
            if not where[0]:
                return False
        return _MATCH in self._reachable(where, "")

    def _step(self, where: _Where, character: str) -> _Where:
        known = self._steps.get((where, character))
        if known is not None:
            return known
        states = self._reachable(where, character)
        following = frozenset(
            next_one
            for state in states
            if self._states[state].kind == "set" and character in self._states[state].characters
            for next_one in self._states[state].following
        )
        reached = following, "word" if character in _WORD else "other"
        if len(self._steps) >= _REMEMBERED_MAX:
            self._steps.clear()
        self._steps[where, character] = reached
        return reached

    def _reachable(self, where: _Where, character: str) -> set[int]:
        """All states that can be entered before ``character`` (empty at the end) is consumed."""
        waiting, before = list(where[0]), where[1]
        reached: set[int] = set()
        while waiting:
            number = waiting.pop()
            if number in reached:
                continue
            reached.add(number)
            state = self._states[number]
            if state.kind == "fork" or _holds(state.kind, before, character):
                waiting += state.following
        return reached

    def _build(self, part: Part, following: int) -> int:
        """Add the states of ``part``, after which ``following`` comes; returns the first."""
        if part.kind == "all":
            for each in reversed(part.parts):
                following = self._build(each, following)
            return following
        if part.kind == "any":
            return self._add("fork", *[self._build(each, following) for each in part.parts])
        if part.kind == "repeat":
            return self._build_repeat(part, following)
        return self._add(part.kind, following, characters=part.characters)

    def _build_repeat(self, part: Part, following: int) -> int:
        (repeated,) = part.parts
        first = following
        if part.most is None:
            first = self._add("fork", following)
            body = self._build(repeated, first)
            self._states[first] = State("fork", frozenset(), (body, following))
        else:
            for _ in range(part.most - part.least):
                first = self._add("fork", self._build(repeated, first), following)
        for _ in range(part.least):
            first = self._build(repeated, first)
        return first

    def _add(self, kind: str, *following: int, characters: Characters = frozenset()) -> int:
        if len(self._states) >= _STATES_MAX:
            raise _invalid("it is too large")
        self._states.append(State(kind, characters, following))
        return len(self._states) - 1


def _holds(assertion: str, before: str, character: str) -> bool:
    """Whether an assertion holds between what came before and what comes next."""
    if assertion == "start":
        return before == "start"
    if assertion == "end":
        return not character
    changes = (before == "word") != (character in _WORD)
    return (assertion == "boundary" and changes) or (assertion == "inside" and not changes)


def _invalid(why: str) -> KafkaError:
    return KafkaError(
        ErrorCode.INVALID_REGULAR_EXPRESSION,
        f"SubscribedTopicRegex is not a valid regular expression: {why}",
    )


class _Parser:
    """Reads a pattern from left to right."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._folds = False  # upper and lower case are the same: (?i)

    def parse(self) -> Part:
        part = self._alternatives(0)
        if self._at < len(self._text):
            raise _invalid("there is an unexpected )")
        return part

    # Reading.

    def _take(self, expected: str) -> bool:
        found = self._text.startswith(expected, self._at)
        self._at += len(expected) if found else 0
        return found

    def _next(self) -> str:
        if self._at == len(self._text):
            raise _invalid("it ends too early")
        self._at += 1
        return self._text[self._at - 1]

    def _until(self, end: str) -> str:
        stop = self._text.find(end, self._at)
        if stop < 0:
            raise _invalid(f"{end} is missing")
        found, self._at = self._text[self._at : stop], stop + len(end)
        return found

    # Structure.

    def _alternatives(self, depth: int) -> Part:
        if depth > _DEPTH_MAX:
            raise _invalid("it is nested too deeply")
        branches = [self._sequence(depth)]
        while self._take("|"):
            branches.append(self._sequence(depth))
        return branches[0] if len(branches) == 1 else Part("any", parts=tuple(branches))

    def _sequence(self, depth: int) -> Part:
        parts: list[Part] = []
        while self._at < len(self._text) and self._text[self._at] not in "|)":
            if self._take("\\Q"):
                parts += map(self._literal, self._quoted())
            else:
                parts.append(self._repeated(self._atom(depth)))
        return Part("all", parts=tuple(parts))

    def _quoted(self) -> str:
        end = self._text.find("\\E", self._at)
        stop = len(self._text) if end < 0 else end
        quoted, self._at = self._text[self._at : stop], stop + 2 * (end >= 0)
        return quoted

    def _repeated(self, part: Part) -> Part:
        bounds = self._bounds()
        if bounds is None:
            return part
        self._take("?")  # as few as possible, which is all the same here
        if self._bounds() is not None:
            raise _invalid("a repetition is repeated")
        return Part("repeat", parts=(part,), least=bounds[0], most=bounds[1])

    def _bounds(self) -> tuple[int, int | None] | None:
        """How often what stands before is repeated, None if nothing says so."""
        for sign, bounds in (("*", (0, None)), ("+", (1, None)), ("?", (0, 1))):
            if self._take(sign):
                return bounds
        start = self._at
        if self._take("{") and "}" in self._text[self._at :]:
            least, comma, most = self._until("}").partition(",")
            if _is_number(least) and (not most or _is_number(most)):
                return _checked_bounds(int(least), int(most) if most else None, bool(comma))
        self._at = start  # then the brace stands for itself
        return None

    def _atom(self, depth: int) -> Part:
        character = self._next()
        if character == "(":
            return self._group(depth)
        if character == "[":
            return self._set(self._bracketed())
        if character == ".":
            return Part("set", _ALL - {"\n"})
        if character in "^$":
            return Part("start" if character == "^" else "end")
        if character in "*+?":
            raise _invalid(f"there is nothing before {character} to repeat")
        if character == "\\":
            return self._escaped()
        return self._literal(character)

    def _group(self, depth: int) -> Part:
        folds = self._folds
        if self._take("?") and not self._begin_special():
            return Part("all")  # flags for what follows in the group around it
        part = self._alternatives(depth + 1)
        if not self._take(")"):
            raise _invalid(") is missing")
        self._folds = folds
        return part

    def _begin_special(self) -> bool:
        """Read what follows ``(?``; False if the group ends with it."""
        if self._take("P<") or self._take("<"):
            name = self._until(">")
            if not name or not set(name) <= _WORD:
                raise _invalid("a group has an illegal name")
            return True
        folds, sign, seen = self._folds, True, 0
        while (flag := self._next()) not in ":)":
            if flag == "-" and sign:
                sign, seen = False, 0
                continue
            if flag not in "imsU":
                raise _invalid(f"there are no groups that begin with (?{flag}")
            folds = sign if flag == "i" else folds
            seen += 1
        if not sign and not seen:
            raise _invalid("flags are missing")
        self._folds = folds
        return flag == ":"

    # Characters.

    def _literal(self, character: str) -> Part:
        return self._set(frozenset([character]))

    def _set(self, characters: Iterable[str]) -> Part:
        found = frozenset(characters)
        if self._folds:
            found |= {each.swapcase() for each in found if each.isascii()}
        return Part("set", found)

    def _escaped(self) -> Part:
        character = self._text[self._at : self._at + 1]
        if character in _ASSERTIONS and character:
            self._at += 1
            return Part(_ASSERTIONS[character])
        named = self._class()
        return self._literal(self._escape()) if named is None else self._set(named)

    def _class(self) -> Characters | None:
        """The class that a backslash, which has been read, begins; None if it begins none."""
        character = self._text[self._at : self._at + 1]
        if character and character in "dswDSW":
            self._at += 1
            known = _PERL[character.lower()]
            return known if character.islower() else _ALL - known
        if character and character in "pP":
            self._at += 1
            name = self._until("}") if self._take("{") else self._next()
            known = _category(name.removeprefix("^"))
            return _ALL - known if (character == "P") != name.startswith("^") else known
        return None

    def _escape(self) -> str:
        """The one character that a backslash, which has been read, stands for."""
        character = self._next()
        if character in _CONTROL:
            return _CONTROL[character]
        if character == "x":
            digits = self._until("}") if self._take("{") else self._next() + self._next()
            return _code_point(digits, 16)
        if character in "01234567":
            start = self._at - 1
            while self._at < start + 3 and self._text[self._at : self._at + 1] in tuple("01234567"):
                self._at += 1
            if character != "0" and self._at == start + 1:
                raise _invalid("it refers back to a group")
            return _code_point(self._text[start : self._at], 8)
        if character.isascii() and not character.isalnum():
            return character
        raise _invalid(f"there is no escape \\{character}")

    def _bracketed(self) -> Characters:
        negated = self._take("^")
        found: set[str] = set()
        first = True
        while first or not self._take("]"):
            first = False
            named = self._named_class()
            if named is not None:
                found |= named
                continue
            low = self._bracketed_character()
            high = low
            if self._text[self._at : self._at + 1] == "-" and self._text[self._at + 1 :][:1] != "]":
                self._at += 1
                high = self._bracketed_character()
            if high < low:
                raise _invalid(f"{low}-{high} is not a range")
            found |= {each for each in _ALL if low <= each <= high}
        if self._folds:
            found |= {each.swapcase() for each in found}
        return _ALL - found if negated else frozenset(found)

    def _bracketed_character(self) -> str:
        character = self._next()
        return self._escape() if character == "\\" else character

    def _named_class(self) -> Characters | None:
        if self._take("[:"):
            name = self._until(":]")
            known = _CLASSES.get(name.removeprefix("^"))
            if known is None:
                raise _invalid(f"there is no class [:{name}:]")
            return _ALL - known if name.startswith("^") else known
        start = self._at
        named = self._class() if self._take("\\") else None
        if named is None:
            self._at = start
        return named


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal()


def _checked_bounds(least: int, most: int | None, comma: bool) -> tuple[int, int | None]:
    if not comma:
        most = least
    if max(least, most or 0) > _REPEAT_MAX or (most is not None and most < least):
        raise _invalid("a number of repetitions is out of range")
    return least, most


def _code_point(digits: str, radix: int) -> str:
    try:
        return chr(int(digits, radix))
    except (ValueError, OverflowError):
        raise _invalid(f"{digits} is not the code of a character") from None


@functools.cache
def _known_categories() -> dict[str, Characters]:
    known: dict[str, set[str]] = {"Any": set(_ALL)}
    for character in _ALL:
        category = unicodedata.category(character)
        for name in (category, category[0]):
            known.setdefault(name, set()).add(character)
    return {name: frozenset(characters) for name, characters in known.items()}


def _category(name: str) -> Characters:
    """The ASCII characters of a general category of Unicode."""
    if name in _known_categories():
        return _known_categories()[name]
    if name in ("Lm", "Lo", "Lt", "M", "Mc", "Me", "Mn", "Nl", "No", "Zl", "Zp", "Cf", "Co", "Cs"):
        return frozenset()
    raise _invalid(f"there is no category {name}")

"""The places in a partition that a person can name, as in ``mq consume orders --offset -10``.

=============  ===================================================================
``start``      the first record there is
``end``        after the last one
``47``         offset 47
``+2``         two after the start
``-3``         three before the end
``@-1h``       the first record younger than an hour (s, m, h, d)
``@TIME``      the first record at or after a time: RFC 3339, or milliseconds since the epoch
``A:B``        from A up to, and not including, B, each one of the above
=============  ===================================================================

Pure: a place is resolved against offsets and a clock that the caller brings.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum, auto
from typing import Final

from mq.errors import ConfigurationError

__all__ = ["Place", "Span", "parse_duration_ms", "parse_span", "parse_time_ms"]

_UNITS_MS: Final = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}

_DATE: Final = r"\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?)?(?:Z|[+-]\d\d:\d\d)?"
_TIME: Final = rf"-\d+(?:ms|[smhd])|{_DATE}|\d+"
_PLACE: Final = rf"start|end|[+-]?\d+|@(?:{_TIME})"
_SPAN: Final = re.compile(rf"({_PLACE})?(?:(:)({_PLACE})?)?")


class Kind(Enum):
    """What the number of a :class:`Place` counts."""

    OFFSET = auto()
    AFTER_START = auto()
    BEFORE_END = auto()
    TIME_MS = auto()


@dataclass(frozen=True, slots=True)
class Place:
    """One place in any partition."""

    kind: Kind
    number: int

    @property
    def timestamp_ms(self) -> int | None:
        """The time to look up, if the place is a time."""
        return self.number if self.kind is Kind.TIME_MS else None

    def offset(self, start: int, end: int, at_time: int | None = None) -> int:
        """The place as an offset within ``start`` and ``end``.

        ``at_time`` is the offset that the broker found for :attr:`timestamp_ms`, None if every
        record is older.
        """
        match self.kind:
            case Kind.OFFSET:
                wanted = self.number
            case Kind.AFTER_START:
                wanted = start + self.number
            case Kind.BEFORE_END:
                wanted = end - self.number
            case Kind.TIME_MS:
                wanted = end if at_time is None else at_time
        return max(start, min(wanted, end))


START: Final = Place(Kind.AFTER_START, 0)
END: Final = Place(Kind.BEFORE_END, 0)


@dataclass(frozen=True, slots=True)
class Span:
    """From ``begin`` up to and not including ``end``; ``end`` None means no end was named."""

    begin: Place
    end: Place | None


def parse_span(text: str, now_ms: int) -> Span:
    """The span that a person wrote.

    Raises:
        ConfigurationError: it follows no rule of the table above.
    """
    found = _SPAN.fullmatch(text)
    if not text or not found:
        raise ConfigurationError(
            f"{text!r} is no offset: write start, end, 47, +2, -3, @-1h, @2026-01-31T12:00Z or A:B"
        )
    begin, colon, end = found.groups()
    return Span(
        _place(begin, now_ms) if begin else START,
        _place(end, now_ms) if end else END if colon else None,
    )


def _place(text: str, now_ms: int) -> Place:
    if text == "start":
        return START
    if text == "end":
        return END
    if text[0] == "@":
        return Place(Kind.TIME_MS, parse_time_ms(text[1:], now_ms))
    if text[0] == "+":
        return Place(Kind.AFTER_START, int(text))
    if text[0] == "-":
        return Place(Kind.BEFORE_END, -int(text))
    return Place(Kind.OFFSET, int(text))


def parse_time_ms(text: str, now_ms: int) -> int:
    """A time: ``-1h`` or ``1h`` before now, RFC 3339 (UTC unless it says otherwise), milliseconds.

    Raises:
        ConfigurationError: it is none of these.
    """
    if text.isdecimal():
        return int(text)
    if re.fullmatch(r"-?\d+(?:ms|[smhd])", text):
        return now_ms - parse_duration_ms(text.removeprefix("-"))
    try:
        when = datetime.fromisoformat(text)
    except ValueError as error:
        raise ConfigurationError(
            f"{text!r} is no time: write 1h or 2026-01-31T12:00:00Z"
        ) from error
    return int((when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp() * 1000)


def parse_duration_ms(text: str) -> int:
    """``90s``, ``15m``, ``2h`` or ``1d`` in milliseconds.

    Raises:
        ConfigurationError: it is no length of time.
    """
    found = re.fullmatch(r"(\d+)(ms|[smhd])", text)
    if not found:
        raise ConfigurationError(f"{text!r} is no length of time: write 90s, 15m, 2h or 1d")
    return int(found[1]) * _UNITS_MS[found[2]]

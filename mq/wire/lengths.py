"""Lengths and counts that a peer sends, where they are not small: read, believed or refused.

The code that ``decoder`` writes looks at a length of one byte and at a count of few elements by
itself, and calls this module for all others. Errors are ValueErrors; the decoder makes them the
peer's.
"""

from __future__ import annotations

import functools
import struct
from collections.abc import Callable, Iterator
from typing import Any, Final

from mq.wire.varint import read_unsigned_varint

__all__ = [
    "COMPACT_TIMES",
    "ELEMENTS_MAX",
    "FEW",
    "TIMES",
    "long",
    "long_text",
    "many",
    "null",
    "too_many",
    "unpack_many",
    "unpackers",
]

Unpack = Callable[[bytes, int], tuple[Any, ...]]

STRING_BYTES_MAX: Final = 0x7FFF  # as in Kafka, also where a compact length could say more
ELEMENTS_MAX: Final = 100_000  # of all arrays of a message together, but those of numbers


def long(buffer: bytes, position: int, offset: int) -> tuple[int, int]:
    """A compact length of several bytes at ``position + offset``, and a position from which it
    looks as if it had taken one byte."""
    start = position + offset
    second = buffer[start + 1]
    if second < 0x80:  # up to 16 KiB: most batches of records
        return buffer[start] & 0x7F | second << 7, position + 1
    value, end = read_unsigned_varint(buffer, start)
    return value, end - offset - 1


def long_text(buffer: bytes, position: int, offset: int) -> tuple[int, int]:
    """As :func:`long`, for a string."""
    value, position = long(buffer, position, offset)
    if value > STRING_BYTES_MAX + 1:
        raise ValueError(f"a string of {value - 1} bytes; the limit is {STRING_BYTES_MAX}")
    return value, position


def null(name: str) -> int:
    """Refuse a null; as an expression it stands for the length that there is not."""
    raise ValueError(f"{name} must not be null")


def many(name: str, count: int, least: int, left: int) -> range:
    """What to loop over for a count of elements, of ``least`` bytes each, that is not small."""
    if count < 0:
        null(name)
    if count * least > left:
        raise ValueError(f"{name} claims {count} elements in {max(left, 0)} bytes")
    return range(count)


def unpack_many(name: str, count: int, letter: str, left: int) -> Unpack:
    """How to unpack a count of numbers that is not small."""
    many(name, count, struct.calcsize(letter), left)
    return struct.Struct(f">{count}{letter}").unpack_from


def too_many(name: str) -> None:
    """Refuse a message in which the elements of ``name`` are the ones too many."""
    raise ValueError(f"up to {name} its arrays have more than {ELEMENTS_MAX} elements")


class _Null:
    """What stands in a table for the count of an array that must not be null."""

    def __iter__(self) -> Iterator[None]:
        raise ValueError("an array must not be null")

    def __call__(self, _buffer: bytes, _position: int) -> tuple[Any, ...]:
        raise ValueError("an array must not be null")


# Counts below this are looked up in tables; they are too small to do harm. Compact counts are one
# more than what they count, and 0 is null.
FEW: Final = 120
TIMES: Final = tuple((None,) * count for count in range(FEW))  # quicker to loop over than range
COMPACT_TIMES: Final = (_Null(), *TIMES[: FEW - 1])


@functools.cache
def unpackers(letter: str, *, compact: bool) -> tuple[Unpack, ...]:
    """How to unpack n numbers, for each small n."""
    table = tuple(struct.Struct(f">{n}{letter}").unpack_from for n in range(FEW))
    return (_Null(), *table[: FEW - 1]) if compact else table

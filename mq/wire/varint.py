"""Numbers in base 128: seven bits a byte, the lowest first, the eighth bit says "more follows".

Kafka writes lengths and tags of flexible messages so (KIP-482), unsigned; and, with the sign in the
lowest bit ("zigzag"), the numbers inside record batches.
"""

from __future__ import annotations

from typing import Final

__all__ = [
    "UNSIGNED",
    "read_signed_varint",
    "read_unsigned_varint",
    "signed_varint",
    "unsigned_varint",
]

_REMEMBERED: Final = 1 << 14  # values below this, of at most two bytes, are encoded only once


def unsigned_varint(value: int) -> bytes:
    """``value``, which must not be negative, as a varint."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


class _Unsigned(dict[int, bytes]):
    def __missing__(self, value: int) -> bytes:
        encoded = unsigned_varint(value)
        if value < _REMEMBERED:
            self[value] = encoded
        return encoded


UNSIGNED: Final = _Unsigned()
"""``UNSIGNED[value]`` is :func:`unsigned_varint`, but quicker: most lengths are short and recur."""


def signed_varint(value: int) -> bytes:
    """``value`` as a zigzag varint: small negative numbers stay short."""
    return UNSIGNED[value << 1 if value >= 0 else ~(value << 1)]


def read_unsigned_varint(buffer: bytes, position: int) -> tuple[int, int]:
    """The varint at ``position`` and the position after it.

    Raises:
        ValueError: it does not fit 32 bits.
        IndexError: the buffer ends within it.
    """
    value, position = _read(buffer, position, 5)
    if value > 0xFFFFFFFF:
        raise ValueError("a varint does not fit 32 bits")
    return value, position


def read_signed_varint(buffer: bytes, position: int) -> tuple[int, int]:
    """The zigzag varint at ``position`` and the position after it.

    Raises:
        ValueError: it is longer than one of 64 bits.
        IndexError: the buffer ends within it.
    """
    value = buffer[position]
    if value < 0x80:
        position += 1
    elif (second := buffer[position + 1]) < 0x80:  # nearly all that are longer
        value += (second << 7) - 0x80
        position += 2
    else:
        value, position = _read(buffer, position, 10)
    return (value >> 1) ^ -(value & 1), position


def _read(buffer: bytes, position: int, bytes_max: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = buffer[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7
        if shift == 7 * bytes_max:
            raise ValueError(f"a varint is longer than {bytes_max} bytes")

"""Strings as Java counts them: in UTF-16 code units.

Two places of the protocol depend on it: which partition of ``__consumer_offsets`` a group lives in,
and how long the metadata of a committed offset may be.
"""

from __future__ import annotations

import functools

__all__ = ["java_hash", "java_length"]


@functools.lru_cache(maxsize=4096)  # every heartbeat asks for the same few
def java_hash(text: str) -> int:
    """``String.hashCode()``: a signed 32-bit number."""
    units = text.encode("utf-16-be", "surrogatepass")
    code = 0
    for high, low in zip(units[::2], units[1::2], strict=True):
        code = (31 * code + (high << 8 | low)) & 0xFFFFFFFF
    return code - (1 << 32) if code >> 31 else code


def java_length(text: str) -> int:
    """``String.length()``: characters outside the basic plane count twice."""
    return len(text) if text.isascii() else len(text) + sum(char > "\uffff" for char in text)

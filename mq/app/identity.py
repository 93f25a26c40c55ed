"""What a message is called: a name that outlives its record.

A message published by mq gets a UUID of version 7 (RFC 9562): ordered by time, unique without
asking anyone. One that a handler sends gets a name derived from the message that the handler was
given, so a handler that runs twice sends the same names twice, and who receives them can tell. A
record that nobody named is called by its place.
"""

from __future__ import annotations

import random
import time
import uuid
from typing import Final

__all__ = ["derived_id", "new_id", "place_id"]

_SENT_BY_HANDLERS: Final = uuid.UUID("5f0c8a5e-6f0b-5d0e-9a54-9d1c3c5a3b7e")

# Uniqueness is asked for, not secrecy; seeded from the system when the process starts.
_random_bits = random.Random(uuid.uuid4().int).getrandbits


def new_id() -> str:
    """A fresh UUID of version 7."""
    millis = time.time_ns() // 1_000_000
    bits = _random_bits(74)
    text = f"{millis:012x}{0x7000 | bits >> 62:04x}{1 << 63 | bits & (1 << 62) - 1:016x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def derived_id(of: str, handler: str, ordinal: int) -> str:
    """The name of the message that ``handler`` sends as its ``ordinal``-th for the message ``of``.

    Counting starts at 0.
    """
    return str(uuid.uuid5(_SENT_BY_HANDLERS, f"{of}\n{handler}\n{ordinal}"))


def place_id(cluster: str, topic: str, partition: int, offset: int) -> str:
    """The name of a message that was published without one."""
    return f"{cluster}/{topic}/{partition}/{offset}"

"""What a supervisor and its child say to each other: lines of JSON over a socket pair.

The child's end is its standard input. The end of the conversation is a message too: it tells either
side that the other one is gone, however it went.
"""

from __future__ import annotations

import msgspec

__all__ = [
    "Drain",
    "Failed",
    "FromChild",
    "Handling",
    "Joined",
    "Loaded",
    "Run",
    "ToChild",
    "decode_from_child",
    "decode_to_child",
    "encode",
]


class Handling(msgspec.Struct, frozen=True):
    """One handler of the application, for people to read."""

    topics: tuple[str, ...]
    group: str
    handler: str


class Loaded(msgspec.Struct, frozen=True, tag=True):
    """The application is imported; the child waits for :class:`Run`."""

    app: str
    bootstrap: str | None
    drain_s: float
    handlers: tuple[Handling, ...]


class Joined(msgspec.Struct, frozen=True, tag=True):
    """The child is a member of a consumer group, from now until it leaves or dies."""

    group: str
    member_id: str


class Failed(msgspec.Struct, frozen=True, tag=True):
    """Why the child is about to end with a code other than 0."""

    reason: str
    exit_code: int


class Run(msgspec.Struct, frozen=True, tag=True):
    """Run the application on the Kafka at ``bootstrap``; ``drain_s`` replaces its own limit."""

    bootstrap: str
    drain_s: float


class Drain(msgspec.Struct, frozen=True, tag=True):
    """Finish what has begun, begin nothing more, and end."""


FromChild = Loaded | Joined | Failed
ToChild = Run | Drain

_from_child: msgspec.json.Decoder[FromChild] = msgspec.json.Decoder(FromChild)
_to_child: msgspec.json.Decoder[ToChild] = msgspec.json.Decoder(ToChild)


def encode(message: FromChild | ToChild) -> bytes:
    """``message`` as one line."""
    return msgspec.json.encode(message) + b"\n"


def decode_from_child(line: bytes) -> FromChild:
    return _from_child.decode(line)


def decode_to_child(line: bytes) -> ToChild:
    return _to_child.decode(line)

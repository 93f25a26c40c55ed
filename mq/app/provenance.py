"""What is written on a record that failed: where it came from and what it has been through.

A record that hops (to a retry topic or to the dead letters) keeps its key, its value and its
headers byte for byte, in their order; behind them stand ours. On every further hop ours are
replaced, never appended to, so records do not grow. Their names begin with ``mq-``, their values
are text in UTF-8, times are milliseconds since the epoch. Dead letters also carry the headers that
KIP-1191 gives to those of share groups, so that other tools understand them.

``mq-id`` names the message, not the record: it is there from the first publish and stays through
retries, death and redrive.

This module knows no topic names, and nothing of what happens to the record next.
"""

from __future__ import annotations

import hashlib
import re
import sys
import traceback
from collections.abc import Iterable
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Literal, NamedTuple, TypeAlias, overload

from mq.record import Headers

__all__ = [
    "ID",
    "KIP_1191",
    "REPLAYS",
    "Death",
    "Hop",
    "RawHeaders",
    "digest",
    "fingerprint",
    "last_values",
    "number",
    "text",
    "type_name",
    "user_headers",
    "with_ours",
]

ID: Final = "mq-id"
REPLAYS: Final = "mq-replays"
KIP_1191: Final = "__dlq.errors."

TRACEBACK_BYTES_MAX: Final = 8 * 1024
MESSAGE_BYTES_MAX: Final = 2 * 1024
_HOP_MESSAGE_BYTES_MAX: Final = 256
_DIGITS_MAX: Final = 20
_FRAMES_MAX: Final = 60  # a recursion error has a thousand, all alike

RawHeaders: TypeAlias = Iterable[tuple[str, bytes | None]]

_OURS: Final = frozenset(
    [
        *("mq-origin-topic", "mq-origin-partition", "mq-origin-offset", "mq-origin-timestamp"),
        *("mq-group", "mq-handler", "mq-attempt", "mq-first-failed-at", "mq-failed-at"),
        *("mq-error-type", "mq-error-message", "mq-error-traceback", "mq-fingerprint"),
        *("mq-due-at", REPLAYS),
        *(
            KIP_1191 + name
            for name in ("topic", "partition", "offset", "group", "delivery.count", "message")
        ),
    ]
)


def user_headers(headers: RawHeaders | None) -> Headers:
    """The headers that the record had before any hop, ``mq-id`` included."""
    return tuple((name, value) for name, value in headers or () if name not in _OURS)


class Hop(NamedTuple):
    """What a failed record takes along: where it came from and what it has been through.

    ``attempt`` is the number of the last attempt that was made, 0 after a redrive.
    """

    id: str
    topic: str
    partition: int
    offset: int
    timestamp: int
    group: str
    handler: str
    attempt: int = 0
    first_failed_at: int | None = None
    failed_at: int | None = None
    due_at: int = 0
    replays: int = 0

    def headers(self, headers: RawHeaders | None, error: BaseException | None = None) -> Headers:
        """The headers for a retry topic: those of the record, then ours."""
        ours = self.provenance()
        ours.append(("mq-due-at", b"%d" % self.due_at))
        if error is not None:
            ours.append(("mq-error-type", type_name(error).encode()))
            ours.append(("mq-error-message", _message(error, _HOP_MESSAGE_BYTES_MAX)))
        return with_ours(headers, ours)

    def provenance(self) -> list[tuple[str, bytes]]:
        """What all hops say alike."""
        ours = [
            (ID, self.id.encode()),
            ("mq-origin-topic", self.topic.encode()),
            ("mq-origin-partition", b"%d" % self.partition),
            ("mq-origin-offset", b"%d" % self.offset),
            ("mq-origin-timestamp", b"%d" % self.timestamp),
            ("mq-group", self.group.encode()),
            ("mq-handler", self.handler.encode()),
            ("mq-attempt", b"%d" % self.attempt),
        ]
        if self.first_failed_at is not None:
            ours.append(("mq-first-failed-at", b"%d" % self.first_failed_at))
        if self.failed_at is not None:
            ours.append(("mq-failed-at", b"%d" % self.failed_at))
        if self.replays:
            ours.append((REPLAYS, b"%d" % self.replays))
        return ours

    @classmethod
    def read(cls, headers: RawHeaders | None, otherwise: Hop) -> Hop:
        """What the headers of a record in a retry topic say; ``otherwise`` where they say nothing.

        Somebody may have put a foreign record there: nothing here fails on it.
        """
        told = last_values(headers).get
        return cls(
            text(told(ID)) or otherwise.id,
            text(told("mq-origin-topic")) or otherwise.topic,
            number(told("mq-origin-partition"), otherwise.partition),
            number(told("mq-origin-offset"), otherwise.offset),
            number(told("mq-origin-timestamp"), otherwise.timestamp),
            text(told("mq-group")) or otherwise.group,
            text(told("mq-handler")) or otherwise.handler,
            number(told("mq-attempt"), otherwise.attempt),
            number(told("mq-first-failed-at"), otherwise.first_failed_at),
            number(told("mq-failed-at"), otherwise.failed_at),
            number(told("mq-due-at"), otherwise.due_at),
            number(told(REPLAYS), otherwise.replays),
        )


@dataclass(frozen=True, slots=True)
class Death:
    """A record's last failure. ``hop`` tells the rest; its ``attempt`` counts all attempts."""

    hop: Hop
    error: BaseException

    def headers(
        self, headers: RawHeaders | None, keep: Literal["all", "message", "type"] = "all"
    ) -> Headers:
        """The headers for the dead-letter topic.

        ``keep`` sheds what can be shed when the letter is too large for its topic: first the
        traceback, then the message too.
        """
        hop, error = self.hop, self.error
        ours = hop.provenance()
        ours.append(("mq-error-type", type_name(error).encode()))
        if keep != "type":
            ours.append(("mq-error-message", _message(error, MESSAGE_BYTES_MAX)))
        if keep == "all":
            ours.append(("mq-error-traceback", _traceback(error)))
        ours.append(("mq-fingerprint", fingerprint(error).encode()))
        ours.append((KIP_1191 + "topic", hop.topic.encode()))
        ours.append((KIP_1191 + "partition", b"%d" % hop.partition))
        ours.append((KIP_1191 + "offset", b"%d" % hop.offset))
        ours.append((KIP_1191 + "group", hop.group.encode()))
        ours.append((KIP_1191 + "delivery.count", b"%d" % hop.attempt))
        if keep != "type":
            ours.append((KIP_1191 + "message", _message(error, MESSAGE_BYTES_MAX)))
        return with_ours(headers, ours)


def with_ours(headers: RawHeaders | None, ours: list[tuple[str, bytes]]) -> Headers:
    """The record's own headers untouched, then ours. An id that is there already stays there."""
    users = user_headers(headers)
    if any(name == ID for name, _ in users):
        ours = [header for header in ours if header[0] != ID]
    return (*users, *ours)


def type_name(error: BaseException) -> str:
    """The full name of an error's class, builtins by their bare names."""
    kind = type(error)
    name = kind.__qualname__
    return name if kind.__module__ == "builtins" else f"{kind.__module__}.{name}"


def _message(error: BaseException, bytes_max: int) -> bytes:
    try:
        told = str(error)
    except Exception as fault:  # an error whose own __str__ fails is an error all the same
        told = f"(its message cannot be shown: {type(fault).__name__})"
    return _cut(told.encode(errors="replace")[:bytes_max])


def _traceback(error: BaseException) -> bytes:
    """The traceback from the handler's first frame on; of a long one its end, which tells most."""
    try:
        lines = traceback.format_exception(
            type(error), error, _beyond_ours(error.__traceback__), limit=-_FRAMES_MAX
        )
        told = "".join(lines)
    except Exception as fault:
        told = f"(the traceback cannot be shown: {type(fault).__name__})"
    data = told.encode(errors="replace")
    if len(data) > TRACEBACK_BYTES_MAX:
        data = b"...\n" + data[4 - TRACEBACK_BYTES_MAX :]
    return _cut(data)


def _cut(data: bytes) -> bytes:
    """Text that was cut somewhere, without the halves of characters at its edges."""
    return data.decode(errors="ignore").encode()


def _module_of(trace: TracebackType) -> str:
    return str(trace.tb_frame.f_globals.get("__name__", ""))


def _is_ours(trace: TracebackType) -> bool:
    return _module_of(trace).partition(".")[0] == "mq"


def _beyond_ours(trace: TracebackType | None) -> TracebackType | None:
    start = trace
    while start is not None and _is_ours(start):
        start = start.tb_next
    return start or trace


def fingerprint(error: BaseException) -> str:
    """Twelve hex digits that are equal for failures of one cause.

    They cover the error's class, the deepest frame of the application's own code and the message
    with digits and UUIDs masked. Line numbers are not in it, so an edit elsewhere in the file does
    not make old failures look new.
    """
    deepest = ""
    trace = error.__traceback__
    while trace is not None:
        if not _is_ours(trace) and not _is_library(trace):
            deepest = f"{_module_of(trace)}:{trace.tb_frame.f_code.co_name}"
        trace = trace.tb_next
    return digest(type_name(error), deepest, _message(error, MESSAGE_BYTES_MAX).decode())


def digest(kind: str, frame: str, message: str) -> str:
    """The fingerprint of a failure told in words."""
    masked = _VARIABLE.sub("#", message)
    return hashlib.blake2b("\n".join((kind, frame, masked)).encode(), digest_size=6).hexdigest()


_VARIABLE: Final = re.compile(
    r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}|0x[0-9a-f]+|\d+"
)


def _is_library(trace: TracebackType) -> bool:
    name = trace.tb_frame.f_code.co_filename
    if name.startswith("<frozen") or "site-packages" in name or "dist-packages" in name:
        return True
    return _module_of(trace).partition(".")[0] in sys.stdlib_module_names - {"__main__"}


def last_values(headers: RawHeaders | None) -> dict[str, bytes]:
    """Headers by name; of equal names the last one counts, as Kafka's ``lastHeader`` has it."""
    return {name: value for name, value in headers or () if value is not None}


def text(value: bytes | None) -> str | None:
    """The text of a header's value; bytes that are no UTF-8 are replaced."""
    return None if value is None else value.decode(errors="replace")


@overload
def number(value: bytes | None, default: int) -> int: ...
@overload
def number(value: bytes | None, default: int | None = None) -> int | None: ...
def number(value: bytes | None, default: int | None = None) -> int | None:
    """The decimal number of a header's value; ``default`` for anything else."""
    try:
        return int(value) if value and len(value) <= _DIGITS_MAX else default
    except ValueError:
        return default

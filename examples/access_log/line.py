"""One line of an access log in the combined format, and what it says."""

from __future__ import annotations

import re
from datetime import datetime

import msgspec

__all__ = ["Hit", "MalformedLine", "parse"]

_COMBINED = re.compile(
    r"(?P<client>\S+) \S+ \S+ \[(?P<time>[^\]]+)\] "
    r'"(?P<method>\S+) (?P<target>\S+) \S+" (?P<status>\d+) (?P<size>\d+|-) "[^"]*" "[^"]*"'
)


class MalformedLine(ValueError):
    """The line is not in the combined format."""


class Hit(msgspec.Struct, frozen=True):
    """A request that was served: ``size`` is in bytes of the answer's body."""

    client: str
    time: datetime
    method: str
    path: str
    status: int
    size: int

    @property
    def hour(self) -> str:
        """The hour that the hit is counted in, in the words of the log: ``17/May/2015:10``."""
        return self.time.strftime("%d/%b/%Y:%H")


def parse(line: str) -> Hit:
    """Read one line.

    Raises:
        MalformedLine: It is cut short, or not in the combined format at all.
    """
    match = _COMBINED.fullmatch(line)
    if match is None:
        raise MalformedLine(f"not in the combined format: {line[:80]!r}")
    return Hit(
        client=match["client"],
        time=datetime.strptime(match["time"], "%d/%b/%Y:%H:%M:%S %z"),
        method=match["method"],
        path=match["target"].partition("?")[0],
        status=int(match["status"]),
        size=0 if match["size"] == "-" else int(match["size"]),
    )

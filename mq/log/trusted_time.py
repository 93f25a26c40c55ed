"""The time that deletion goes by: the wall clock, unless it jumps.

Records carry wall-clock times, so their age can only be told by a wall clock, and a wall clock can
be set: by hand, by a virtual machine that wakes up, by a battery that is empty. A second clock that
nobody sets tells how much time has passed since the last look. Where the two disagree, the wall
clock has jumped, and what it says is not believed at once: the time goes on as it was, and never
runs ahead of the wall clock. A jump that was a mistake is corrected sooner or later. One that has
stood for a day is taken for the truth.

This can be promised: while a broker runs, a jump of its clock deletes nothing for a day. This
cannot: a clock that is wrong at the start is believed, for nobody can tell it from a broker that
has been down for long; and a producer whose clock is wrong stamps its records wrongly (the topic's
``message.timestamp.after.max.ms`` and ``message.timestamp.before.max.ms`` bound that).

Pure: both clocks are arguments.
"""

from __future__ import annotations

from typing import Final

__all__ = ["GRACE_MS", "TOLERANCE_MS", "TrustedTime"]

TOLERANCE_MS: Final = 60_000
"""Clocks that differ by less agree: time servers correct a second or two at once."""

GRACE_MS: Final = 24 * 60 * 60 * 1000
"""So long a jump has to stand until it is believed."""

# Time servers correct small differences by letting the clock run faster or slower, by 0.05 % at
# most; what is slower than this is followed.
_SLEW: Final = 100


class TrustedTime:
    """Times in milliseconds; the steady clock may begin anywhere.

    Attributes:
        ahead_ms: how far the wall clock was ahead of what is believed, at the last look; below 0 if
            it was behind, and 0 if it is believed.
    """

    def __init__(self, wall_ms: int, steady_ms: int) -> None:
        self.ahead_ms = 0
        self._offset = wall_ms - steady_ms  # of the wall clock, as believed
        self._read_at = steady_ms
        self._doubted: int | None = None  # an offset that is not believed
        self._doubted_since = 0

    def read(self, wall_ms: int, steady_ms: int) -> int:
        """The time to go by."""
        self._follow(wall_ms - steady_ms, steady_ms)
        self.ahead_ms = 0 if self._doubted is None else wall_ms - steady_ms - self._offset
        return wall_ms if self._doubted is None else min(wall_ms, steady_ms + self._offset)

    def _follow(self, offset: int, steady_ms: int) -> None:
        slew = (steady_ms - self._read_at) // _SLEW
        self._read_at += slew * _SLEW  # what is left of the division counts the next time
        self._offset += max(-slew, min(slew, offset - self._offset))
        if abs(offset - self._offset) <= TOLERANCE_MS:
            self._doubted = None
        elif self._doubted is None or abs(offset - self._doubted) > TOLERANCE_MS:
            self._doubted, self._doubted_since = offset, steady_ms
        elif steady_ms - self._doubted_since >= GRACE_MS:
            self._offset, self._doubted = offset, None

"""The broker's clocks: one for timers, one for what is old.

Timers go by the monotonic clock. Whether something has had its time (a segment, what a group has
committed, a transactional id) is told by a clock that does not follow when the machine's clock
jumps: see :mod:`mq.log.trusted_time`.
"""

from __future__ import annotations

import logging
import time
from typing import Final

from mq.coordinators.effects import Now
from mq.log.trusted_time import TrustedTime

__all__ = ["Clock"]

logger = logging.getLogger("mq.broker")

# Where there is one, the clock that goes on while the machine sleeps: a sleep is no jump.
_STEADY_CLOCK: Final = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


class Clock:
    """Tells the time; on the loop."""

    def __init__(self) -> None:
        self._time = TrustedTime(*_clocks())
        self._is_doubted = False

    def now(self) -> Now:
        """This moment."""
        return Now(time.monotonic_ns() // 1_000_000, self.now_ms())

    def now_ms(self) -> int:
        """The time to tell by what is old."""
        now_ms = self._time.read(*_clocks())
        ahead_s = self._time.ahead_ms // 1000
        if ahead_s and not self._is_doubted:
            logger.warning(
                "the clock has jumped by %+d seconds: nothing is deleted for its age on this "
                "account, unless the clock stays like that for a day",
                ahead_s,
            )
        self._is_doubted = bool(ahead_s)
        return now_ms


def _clocks() -> tuple[int, int]:
    """The wall clock and the steady one, in milliseconds."""
    return time.time_ns() // 1_000_000, int(time.clock_gettime(_STEADY_CLOCK) * 1000)

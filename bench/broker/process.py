"""What the kernel knows of a process: CPU time and memory. Linux only."""

from __future__ import annotations

import time
from pathlib import Path
from typing import NamedTuple

_SCHEDULER_CLOCK = 2  # CPUCLOCK_SCHED: nanoseconds, where /proc counts in hundredths of a second


def cpu_seconds(pid: int) -> float:
    """User and system time of a process so far, of all its threads, the ended ones too."""
    return time.clock_gettime(~pid << 3 | _SCHEDULER_CLOCK)


class Memory(NamedTuple):
    """In MiB: what it holds if shared pages are divided among their users, and in all."""

    proportional: float
    resident: float


def memory(pid: int) -> Memory:
    """The memory of a process now."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    by_name = {line.split(":")[0]: int(line.split()[1]) for line in lines}
    return Memory(by_name["Pss"] / 1024, by_name["Rss"] / 1024)

"""When committed offsets expire, and groups with them (KIP-211).

Every group says itself from when on its offsets count (``expiry_base_ms``) and whether it may go
once the last of them is gone. All are looked through every ten minutes, in short steps, so that
nobody's request waits for all of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from mq.coordinators.consumer_requests import Group
from mq.coordinators.effects import Now, StateRecord
from mq.coordinators.group_config import GroupConfig
from mq.coordinators.offsets import Offsets
from mq.coordinators.timer_key import TimerKey
from mq.coordinators.timers import Timers

__all__ = ["GroupExpiry", "Swept"]

_OFFSETS_PER_SWEEP: Final = 5_000

_EXPIRY: Final = TimerKey("expiry")


class Swept(NamedTuple):
    """What is to be deleted of one group."""

    group_id: str
    tombstones: tuple[StateRecord, ...]


class GroupExpiry:
    """The look-out for what has expired among ``groups`` and their ``offsets``."""

    def __init__(
        self,
        config: GroupConfig,
        groups: Mapping[str, Group],
        offsets: Offsets,
        timers: Timers[TimerKey],
    ) -> None:
        self._interval_ms = config.offsets_retention_check_interval_ms
        self._groups = groups
        self._offsets = offsets
        self._timers = timers
        self._to_sweep: list[str] = []

    def begin(self, now: Now) -> None:
        """Look for the first time after an interval."""
        self._schedule(self._interval_ms, now)

    def sweep(self, now: Now) -> list[Swept]:
        """Delete what has expired of some groups, and the groups that have nothing left."""
        self._schedule(self._interval_ms, now)
        found, examined = list[Swept](), 0
        self._to_sweep = self._to_sweep or list(self._groups)
        while self._to_sweep and examined < _OFFSETS_PER_SWEEP:
            group = self._groups.get(self._to_sweep.pop())
            if group is None:
                continue
            try:
                tombstones, count = self._swept(group, now)
            except Exception:
                if not found:
                    raise
                self._to_sweep.append(group.group_id)  # it fails again, when nothing else is lost
                break
            if tombstones:
                found.append(Swept(group.group_id, tombstones))
            examined += count
        if self._to_sweep:
            self._schedule(1, now)
        return found

    def _swept(self, group: Group, now: Now) -> tuple[tuple[StateRecord, ...], int]:
        """What is to be deleted of one group, and how much work it was to see that."""
        tombstones, left = self._offsets.expire(
            group.group_id, group.subscribes, group.expiry_base_ms, now.wall_ms
        )
        count = 1 + left + len(tombstones)
        if not left and group.expendable:
            tombstones += group.tombstones()
        return tuple(tombstones), count

    def _schedule(self, delay_ms: int, now: Now) -> None:
        self._timers.schedule(_EXPIRY, now.monotonic_ms + delay_ms)

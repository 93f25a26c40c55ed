"""What the timers of groups are known by."""

from __future__ import annotations

from typing import Literal, NamedTuple

__all__ = ["TimerKey"]


class TimerKey(NamedTuple):
    """What a group may be waiting for; ``member_id`` is empty unless it concerns one member.

    Classic groups wait for a member's ``session``, and together for ``join`` and ``sync``. Groups
    of the consumer protocol wait for a ``member`` to be heard of and for its ``revocation``, and
    for one of the classic protocol to ``rejoin`` and ``resync``. ``expiry`` belongs to no group: it
    is when all offsets are looked through for expired ones.
    """

    kind: Literal["session", "join", "sync", "member", "revocation", "rejoin", "resync", "expiry"]
    group_id: str = ""
    member_id: str = ""

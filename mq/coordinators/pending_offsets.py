"""Offsets that were committed as part of a transaction which has not ended yet (KIP-98, KIP-447).

They count when the transaction is committed, and never existed if it is aborted. Meanwhile a
consumer that asks for stable offsets is told to wait, for whoever begins to read at the old ones
might repeat what is being committed.

What was written later wins, not what ended later: an offset that another commit has overtaken in
the log is worth nothing any more, though its transaction is still waited for.
"""

from __future__ import annotations

from typing import TypeAlias

from mq.coordinators.group_records import OffsetCommit

__all__ = ["PendingOffsets"]

Place: TypeAlias = tuple[str, str, int]
Owner: TypeAlias = tuple[int, int]


class PendingOffsets:
    """The offsets of open transactions, of which each producer has one in a partition of the log.

    ``Place`` is a group, a topic and a partition; ``Owner`` the partition of the state topic and
    the producer id, which together name a transaction's share of the log.
    """

    def __init__(self) -> None:
        self._records: dict[Owner, dict[Place, OffsetCommit | None]] = {}
        self._owners: dict[Place, list[Owner]] = {}  # in the order of their records
        self._groups: dict[str, int] = {}  # how many places of a group are pending

    def add(self, owner: Owner, record: OffsetCommit) -> None:
        """A record of an open transaction was stored."""
        place = record[:3]
        owners = self._owners.setdefault(place, [])
        if owner in owners:
            owners.remove(owner)
        else:
            self._groups[place[0]] = self._groups.get(place[0], 0) + 1
        owners.append(owner)
        self._records.setdefault(owner, {})[place] = record

    def overtake(self, place: Place) -> None:
        """A record that counts was stored: those before it will not."""
        for owner in self._owners.get(place, ()):
            self._records[owner][place] = None

    def end(self, owner: Owner, *, commit: bool) -> list[OffsetCommit]:
        """A transaction has ended.

        Returns:
            The offsets that count from now on.
        """
        counting: list[OffsetCommit] = []
        for place, record in self._records.pop(owner, {}).items():
            owners = self._owners[place]
            if commit and record is not None:
                counting.append(record)
                for earlier in owners[: owners.index(owner)]:
                    self._records[earlier][place] = None
            owners.remove(owner)
            if not owners:
                del self._owners[place]
            self._groups[place[0]] -= 1
            if not self._groups[place[0]]:
                del self._groups[place[0]]
        return counting

    def __contains__(self, place: Place) -> bool:
        """Whether it is open how far a group has come in a partition."""
        return place in self._owners

    def concerns(self, group_id: str) -> bool:
        """Whether anything of a group is open."""
        return group_id in self._groups

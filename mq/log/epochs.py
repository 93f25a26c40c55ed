"""Leader epochs: in which reign was which offset written (KIP-101, KIP-320).

A new epoch begins whenever records that a reader may have seen could have been lost, so that the
reader can find out: it asks where the epoch of its last record ended. Entries are pairs of an epoch
and the first offset written in it; both columns rise. The last epoch may have no record yet.

Pure: the file (``leader-epoch-checkpoint``) is read and written elsewhere.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from typing import Final

__all__ = ["UNDEFINED", "LeaderEpochs"]

UNDEFINED: Final = (-1, -1)
"""The answer about an epoch of which nothing is known: no epoch, no offset."""


class LeaderEpochs:
    """The epochs of one partition."""

    def __init__(self, entries: Iterable[tuple[int, int]] = ()) -> None:
        """Take entries as stored.

        Raises:
            ValueError: they do not rise.
        """
        self._epochs: list[int] = []
        self._starts: list[int] = []
        for epoch, start in entries:
            if epoch <= self.latest or start < (self._starts[-1] if self._starts else 0):
                raise ValueError(f"epoch {epoch} at {start} follows {self.entries}")
            self._epochs.append(epoch)
            self._starts.append(start)

    @property
    def entries(self) -> list[tuple[int, int]]:
        """All epochs with their first offsets."""
        return list(zip(self._epochs, self._starts, strict=True))

    @property
    def latest(self) -> int:
        """The current epoch, -1 if there has been none."""
        return self._epochs[-1] if self._epochs else -1

    def assign(self, epoch: int, start: int) -> bool:
        """Begin ``epoch`` at offset ``start``; an older or equal epoch changes nothing.

        Epochs without a record (those that begin at ``start`` or above) give way.
        """
        if epoch <= self.latest:
            return False
        self.truncate_end(start)
        self._epochs.append(epoch)
        self._starts.append(start)
        return True

    def epoch_at(self, offset: int) -> int:
        """The epoch in which ``offset`` was or will be written, -1 if it is before all."""
        place = bisect_right(self._starts, offset)
        return self._epochs[place - 1] if place else -1

    def end_offset(self, epoch: int, log_end_offset: int) -> tuple[int, int]:
        """The largest epoch not above ``epoch``, and where it ended (OffsetForLeaderEpoch).

        Returns:
            ``UNDEFINED`` for an epoch above all known ones, or where none is known; ``epoch``
            itself with the first known offset for one below all known ones.
        """
        if epoch < 0 or epoch > self.latest:
            return UNDEFINED
        if epoch == self.latest:
            return epoch, log_end_offset
        place = bisect_right(self._epochs, epoch)
        return self._epochs[place - 1] if place else epoch, self._starts[place]

    def truncate_end(self, end: int) -> bool:
        """Drop epochs that begin at ``end`` or above; whether there were any."""
        keep = len(self._starts)
        while keep and self._starts[keep - 1] >= end:
            keep -= 1
        changed = keep < len(self._starts)
        del self._epochs[keep:], self._starts[keep:]
        return changed

    def begin_at(self, start: int) -> None:
        """Make the first epoch begin at ``start``, where the log does, for it cannot begin later.

        Epochs that end below are dropped.
        """
        self.truncate_start(start)
        if self._starts:
            self._starts[0] = start

    def truncate_start(self, start: int) -> bool:
        """Drop what lies below ``start``; the epoch that is under way there begins at it."""
        place = bisect_right(self._starts, start) - 1
        if place < 0 or (place == 0 and self._starts[0] == start):
            return False
        del self._epochs[:place], self._starts[:place]
        self._starts[0] = start
        return True

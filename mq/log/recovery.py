"""What a start has to repair, decided from names and headers alone.

After a stop in order nothing is repaired. After a crash, what lies above the recovery point may be
torn: it is scanned, and cut where the first batch is missing, damaged or out of place. What lies
below had been synced, so that nobody looks at its checksums: a start reads the headers there, in
the segment of the recovery point and from a bookmark on if there is one, to index them.

Nothing beyond a hole survives: a segment that does not begin where the one before ends goes, and
all after it. That is safe because nothing above the recovery point can be followed by something
that was acknowledged unless everything between was synced as well; and it never hits compacted
segments, since compaction keeps segments end to end and works below the recovery point only.

A cut below the recovery point, or after a stop in order, is no work of a crash: what it takes had
been synced, and is kept beside the log as ``<base offset>.log.damaged`` (see ``damage``) for a
human to look at. Rot in what a start does not look at takes nothing, and is told to who reads it.

Pure: the loader reads names and batches and does what is decided here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from mq.log.epochs import LeaderEpochs
from mq.log.index import AbortedTransaction
from mq.log.producers import Producers
from mq.log.transactions import Transactions
from mq.wire.batch import BatchHeader

__all__ = [
    "Names",
    "Recovered",
    "Replay",
    "Tidying",
    "first_to_verify",
    "interrupted_swaps",
    "sort_names",
    "tidy",
]

_NAME: Final = re.compile(r"(\d{20})\.(log|index|timeindex|txnindex|snapshot|bookmark)(?:\.(\w+))?")


class Recovered(NamedTuple):
    """What opening a partition took.

    Attributes:
        clean: the last stop left all in order.
        scanned_bytes: how much was read.
        truncated_bytes: how much was cut off the log, ``removed_segments`` included.
        removed_segments: how many were lost whole.
        after_clean_stop: the last stop claimed to be in order, even if that proved wrong.
        lost_synced: some of what is missing had been synced: the log ends below its recovery point,
            or was cut after a stop in order. No crash explains that.
        batches_behind: what was cut holds at least one whole batch. That may be the work of a power
            loss, as unsynced sectors reach the disk in any order.
        set_aside: names of the files beside the log that hold what was lost although it had been
            synced, at this start or at an earlier one; they stay until they are removed by hand.
        replayed_bytes: how much was missing and came out of the journal.
    """

    clean: bool = True
    scanned_bytes: int = 0
    truncated_bytes: int = 0
    removed_segments: int = 0
    after_clean_stop: bool = False
    lost_synced: bool = False
    batches_behind: bool = False
    set_aside: tuple[str, ...] = ()
    replayed_bytes: int = 0


class Names(NamedTuple):
    """A partition's files: offsets of those of a kind, rising, and indexes without a log."""

    logs: list[int]
    snapshots: list[int]
    orphans: list[str]
    bookmarks: list[int]


class Tidying(NamedTuple):
    """First remove, then rename (from, to)."""

    remove: list[str]
    rename: list[tuple[str, str]]


def sort_names(names: Iterable[str]) -> Names:
    """Sort the names in a tidied directory."""
    kinds: dict[str, list[int]] = {"log": [], "snapshot": [], "bookmark": []}
    others: list[tuple[int, str]] = []
    for name in names:
        if (match := _NAME.fullmatch(name)) and not match[3]:
            if match[2] in kinds:
                kinds[match[2]].append(int(match[1]))
            else:
                others.append((int(match[1]), name))
    logs = set(kinds["log"])
    orphans = [name for offset, name in others if offset not in logs]
    return Names(
        sorted(logs), sorted(kinds["snapshot"]), sorted(orphans), sorted(kinds["bookmark"])
    )


def interrupted_swaps(names: Iterable[str]) -> list[int]:
    """Base offsets of compacted segments (``.log.swap``) that were taking their place."""
    found = [match for name in names if (match := _NAME.fullmatch(name))]
    cleaned = [int(match[1]) for match in found if match[3] == "cleaned"]
    swaps = [int(match[1]) for match in found if match.group(2, 3) == ("log", "swap")]
    # While a .cleaned is left the originals are all there: the compaction begins anew.
    return sorted(base for base in swaps if not cleaned or base < min(cleaned))


def tidy(names: Iterable[str], swap_ends: Mapping[int, int]) -> Tidying:
    """How to end what a crash interrupted.

    Args:
        names: all names in the directory.
        swap_ends: for each of ``interrupted_swaps`` the offset after its last batch.
    """
    remove: list[str] = []
    rename: list[tuple[str, str]] = []
    for name in names:
        match = _NAME.fullmatch(name)
        if match is None:
            if name.endswith(".tmp"):
                remove.append(name)
        elif match[3] == "damaged":
            continue  # what was set aside is not for the log to remove
        elif match[3] == "swap" and int(match[1]) in swap_ends:
            rename.append((name, name.removesuffix(".swap")))
        elif match[3] or (match[2] != "snapshot" and _is_replaced(int(match[1]), swap_ends)):
            remove.append(name)
    return Tidying(remove, rename)


def _is_replaced(base: int, swap_ends: Mapping[int, int]) -> bool:
    return any(first <= base < end for first, end in swap_ends.items())


def first_to_verify(logs: Sequence[int], recovery_point: int) -> int:
    """The place in ``logs`` of the segment that holds the recovery point, the first to scan."""
    place = 0
    while place + 1 < len(logs) and logs[place + 1] <= recovery_point:
        place += 1
    return place


class Replay:
    """What the batches of a log, read in their order, add up to.

    Attributes:
        end_offset: after the last batch that was accepted.
        aborted: the transaction that this batch aborts, if it does.
    """

    def __init__(
        self,
        producers: Producers,
        producers_offset: int,
        epochs: LeaderEpochs | None,
        now_ms: int,
    ) -> None:
        """Begin with the producers of a snapshot at ``producers_offset``.

        Args:
            epochs: learns the epochs of the batches; None if they are known (their field, like the
                base offset, is covered by no checksum).
            now_ms: counts as the time when the batches were stored, which nobody recorded.
        """
        self.end_offset = 0
        self.aborted: AbortedTransaction | None = None
        self._transactions = Transactions(producers)
        self._producers_offset = producers_offset
        self._epochs = epochs
        self._now_ms = now_ms

    def follows(self, base_offset: int) -> bool:
        """Whether a segment of this base offset has no hole before it."""
        return base_offset == self.end_offset

    def accept(self, header: BatchHeader, batch: bytes | None = None, *, gapless: bool) -> bool:
        """Take the next batch, unless it is out of place; ``batch`` is all of a control batch.

        No checksum covers the base offset. In an active segment, which is never compacted, every
        batch must begin where the one before ends (``gapless``).
        """
        self.aborted = None
        if header.base_offset < self.end_offset:
            return False
        if gapless and header.base_offset != self.end_offset:
            return False
        self.end_offset = header.last_offset + 1
        if self._epochs is not None:
            self._epochs.assign(header.leader_epoch, header.base_offset)
        if header.producer_id >= 0 and header.base_offset >= self._producers_offset:
            learn = self._transactions.learn
            self.aborted = learn(header, header.base_offset, batch, self._now_ms)
        return True

"""The transaction index of a sealed segment, built anew from the log.

What an abort marker ends may begin in any segment before it. So the index is found by replaying
what producers did, from the newest snapshot that lies before it, or from where the log begins.
"""

from __future__ import annotations

from collections.abc import Sequence

from mq.log.files import Files
from mq.log.index import AbortedIndex
from mq.log.producers import CorruptSnapshotError, Producers
from mq.log.segment import Segment
from mq.log.transactions import Transactions

__all__ = ["rebuild"]


def rebuild(files: Files, segments: Sequence[Segment]) -> AbortedIndex:
    """The transaction index of the last of ``segments``, which begin where the log does.

    It is written, too, so that it is there the next time.
    """
    first, producers = _last_snapshot(files, segments)
    transactions, index = Transactions(producers), AbortedIndex()
    for segment in segments[first:]:
        index = AbortedIndex()
        for position, header in segment.scan():
            if header.producer_id >= 0:
                batch = segment.read(position, header.length) if header.is_control else None
                aborted = transactions.learn(header, header.base_offset, batch, 0)
                if aborted is not None:
                    index.append(aborted)
    segments[-1].write_aborted(index)
    return index


def _last_snapshot(files: Files, segments: Sequence[Segment]) -> tuple[int, Producers]:
    """The last segment that begins with a usable snapshot, and the producers of that."""
    for place in range(len(segments) - 1, 0, -1):
        try:
            return place, Producers.decode(files.read(segments[place].path("snapshot")) or b"")
        except CorruptSnapshotError:
            continue
    return 0, Producers()

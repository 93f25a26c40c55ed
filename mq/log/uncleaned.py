"""What of a compacted log is not cleaned yet, and when and in what pieces it will be.

A log has a clean part, up to the *cleaner checkpoint*, and a dirty one behind it. Only whole sealed
segments are cleaned, and only below the last stable offset, since open transactions may yet abort.
``min.compaction.lag.ms`` protects young records besides. A log is cleaned when its dirty share is
large enough (``min.cleanable.dirty.ratio``) or its oldest dirty record is overdue
(``max.compaction.lag.ms``).

All bounds are Kafka's (LogCleanerManager there). Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import NamedTuple

from mq.log.config import LONG_MAX, LogConfig
from mq.log.index import RELATIVE_OFFSET_MAX

__all__ = ["Sealed", "Sizes", "Uncleaned", "assess", "group"]


class Sealed(NamedTuple):
    """What there is to know of a segment; times in ms, asked for only when they decide."""

    base_offset: int
    size: int
    first_ms: Callable[[], int]
    latest_ms: Callable[[], int]


class Uncleaned(NamedTuple):
    """What could be cleaned now.

    Attributes:
        segments: how many, from the first on, are part of it, clean ones included.
        start: the dirty part begins here.
        end: and ends here, where a segment begins.
        ratio: its share in the bytes up to ``end``.
        is_overdue: a record in it has waited for as long as it may.
    """

    segments: int
    start: int
    end: int
    ratio: float
    is_overdue: bool

    def is_due(self, config: LogConfig) -> bool:
        """Whether it is to be cleaned."""
        return self.start < self.end and (
            self.is_overdue or self.ratio > config.min_cleanable_dirty_ratio
        )


def assess(
    segments: Sequence[Sealed],
    config: LogConfig,
    *,
    checkpoint: int,
    log_start_offset: int,
    log_end_offset: int,
    settled: int,
    now_ms: int,
) -> Uncleaned:
    """Look at a log.

    Args:
        segments: all of it, the active one last.
        checkpoint: the clean part ends here; what is outside of the log counts as nothing clean.
        settled: nothing below this offset will change any more.
        now_ms: the time.
    """
    start = checkpoint if log_start_offset <= checkpoint <= log_end_offset else log_start_offset
    count = clean_bytes = dirty_bytes = 0
    is_overdue = False
    for segment, following in pairwise(segments):
        end = following.base_offset
        is_dirty = end > start
        if end > settled or (is_dirty and _is_young(segment, config, now_ms)):
            break
        count += 1
        if is_dirty:
            dirty_bytes += segment.size
            is_overdue = is_overdue or _is_overdue(segment, config, now_ms)
        else:
            clean_bytes += segment.size
    end = segments[count].base_offset
    ratio = dirty_bytes / max(1, clean_bytes + dirty_bytes)
    return Uncleaned(count, start, end, ratio, is_overdue)


def _is_young(segment: Sealed, config: LogConfig, now_ms: int) -> bool:
    lag = config.min_compaction_lag_ms
    return lag > 0 and segment.latest_ms() > now_ms - lag


def _is_overdue(segment: Sealed, config: LogConfig, now_ms: int) -> bool:
    lag = config.max_compaction_lag_ms
    return lag < LONG_MAX and segment.size > 0 and 0 < segment.first_ms() < now_ms - lag


class Sizes(NamedTuple):
    """A sealed segment: where it begins, and the bytes of its log and of its larger index."""

    base_offset: int
    log_bytes: int
    index_bytes: int


def group(
    segments: Sequence[Sizes], end: int, *, segment_bytes: int, index_bytes: int
) -> list[list[Sizes]]:
    """Which neighbours become one segment: never more than one segment may hold.

    Args:
        end: the offset at which the last one ends.
    """
    ends = [*(segment.base_offset for segment in segments[1:]), end]
    groups: list[list[Sizes]] = []
    log = index = 0
    for segment, segment_end in zip(segments, ends, strict=True):
        log, index = log + segment.log_bytes, index + segment.index_bytes
        if (
            not groups
            or log > segment_bytes
            or index > index_bytes
            or segment_end - 1 - groups[-1][0].base_offset > RELATIVE_OFFSET_MAX
        ):
            groups.append([])
            log, index = segment.log_bytes, segment.index_bytes
        groups[-1].append(segment)
    return groups

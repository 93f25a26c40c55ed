"""Which segments have had their time (``retention.ms``, ``retention.bytes``, DeleteRecords).

Segments go from the oldest on, whole, and only below the high watermark. Pure: this module counts,
the partition deletes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from mq.log.config import LogConfig

__all__ = ["Extent", "count_expired"]


class Extent(NamedTuple):
    """What retention wants to know of a segment.

    ``latest_ms`` gives its highest timestamp; it is asked only if that decides, for it may have to
    be looked up on the disk.
    """

    end_offset: int
    size: int
    latest_ms: Callable[[], int]


def count_expired(
    segments: Sequence[Extent],
    config: LogConfig,
    *,
    log_start_offset: int,
    high_watermark: int,
    now_ms: int,
) -> int:
    """How many of the oldest segments may go. The active one, the last, may be among them."""
    size = sum(segment.size for segment in segments)
    count = 0
    for segment in segments:
        is_empty_end = count == len(segments) - 1 and not segment.size
        if segment.end_offset > high_watermark or is_empty_end:
            break
        if segment.end_offset > log_start_offset and not (
            config.delete
            and (
                0 <= config.retention_bytes <= size - segment.size
                or 0 <= config.retention_ms < now_ms - segment.latest_ms()
            )
        ):
            break
        size -= segment.size
        count += 1
    return count

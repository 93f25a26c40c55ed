"""Which segments go."""

from __future__ import annotations

from mq.log.config import LogConfig
from mq.log.retention import Extent, count_expired


def extent(end_offset: int, size: int, latest_ms: int) -> Extent:
    return Extent(end_offset, size, lambda: latest_ms)


SEGMENTS = [extent(10, 100, 1_000), extent(20, 100, 2_000), extent(30, 100, 3_000)]


def count(
    config: LogConfig,
    *,
    segments: list[Extent] = SEGMENTS,
    log_start_offset: int = 0,
    high_watermark: int = 30,
    now_ms: int = 3_000,
) -> int:
    return count_expired(
        segments,
        config,
        log_start_offset=log_start_offset,
        high_watermark=high_watermark,
        now_ms=now_ms,
    )


def test_age_is_that_of_the_latest_record() -> None:
    assert count(LogConfig(retention_ms=1_000)) == 1
    assert count(LogConfig(retention_ms=999)) == 2
    assert count(LogConfig(retention_ms=2_000)) == 0
    assert count(LogConfig(retention_ms=-1), now_ms=10**15) == 0
    assert count(LogConfig(retention_ms=0), now_ms=10**15) == 3


def test_a_young_segment_protects_older_ones_behind_it() -> None:
    segments = [extent(10, 100, 9_000), extent(20, 100, 1_000)]
    assert count(LogConfig(retention_ms=1_000), segments=segments, now_ms=9_500) == 0


def test_the_size_is_kept_at_or_above_the_limit() -> None:
    assert count(LogConfig(retention_bytes=200, retention_ms=-1)) == 1
    assert count(LogConfig(retention_bytes=201, retention_ms=-1)) == 0
    assert count(LogConfig(retention_bytes=0, retention_ms=-1)) == 3


def test_nothing_at_or_above_the_high_watermark_goes() -> None:
    everything = LogConfig(retention_bytes=0)
    assert count(everything, high_watermark=19) == 1
    assert count(everything, high_watermark=20) == 2


def test_an_empty_active_segment_stays() -> None:
    segments = [SEGMENTS[0], extent(10, 0, -1)]
    assert count(LogConfig(retention_bytes=0), segments=segments) == 1


def test_segments_below_the_log_start_go_whatever_the_policy() -> None:
    kept = LogConfig(cleanup_policy=("compact",), retention_ms=0, retention_bytes=0)
    assert count(kept) == 0
    assert count(kept, log_start_offset=19) == 1
    assert count(kept, log_start_offset=20) == 2


def test_times_that_decide_nothing_are_not_looked_up() -> None:
    def unknown() -> int:
        raise AssertionError("nobody should ask")

    segments = [extent(10, 100, 9_000), *(Extent(end, 100, unknown) for end in (20, 30))]
    assert count(LogConfig(retention_ms=1_000), segments=segments, now_ms=9_500) == 0
    unasked = [Extent(end, 100, unknown) for end in (10, 20, 30)]
    assert count(LogConfig(retention_ms=-1, retention_bytes=200), segments=unasked) == 1
    assert count(LogConfig(cleanup_policy=("compact",)), segments=unasked) == 0

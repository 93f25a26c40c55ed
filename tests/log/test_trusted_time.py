"""When the clock is believed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mq.log.trusted_time import GRACE_MS, TOLERANCE_MS, TrustedTime

NOW = 1_700_000_000_000
YEAR = 365 * 24 * 60 * 60 * 1000
CHECK = 300_000


def test_a_clock_that_does_not_jump_is_believed() -> None:
    time = TrustedTime(NOW, 5)
    for passed in range(0, 10 * CHECK, CHECK):
        assert time.read(NOW + passed, 5 + passed) == NOW + passed
        assert time.ahead_ms == 0


def test_a_jump_ahead_is_not_followed_for_a_day() -> None:
    time = TrustedTime(NOW, 0)
    for passed in range(CHECK, GRACE_MS, CHECK):
        told = time.read(NOW + YEAR + passed, passed)
        assert NOW + passed <= told <= NOW + passed + passed // 50
        assert time.ahead_ms > YEAR - GRACE_MS
    assert time.read(NOW + YEAR + GRACE_MS + CHECK, GRACE_MS + CHECK) == (
        NOW + YEAR + GRACE_MS + CHECK
    )
    assert time.ahead_ms == 0


def test_a_jump_ahead_that_is_taken_back_leaves_no_trace() -> None:
    time = TrustedTime(NOW, 0)
    time.read(NOW + YEAR, 1000)
    assert time.read(NOW + 2000, 2000) == NOW + 2000
    assert time.ahead_ms == 0


@pytest.mark.parametrize("back", [TOLERANCE_MS // 2, YEAR])
def test_a_jump_back_is_followed_at_once(back: int) -> None:
    time = TrustedTime(NOW, 0)
    assert time.read(NOW + 1000 - back, 1000) == NOW + 1000 - back


def test_a_jump_back_and_forth_is_believed_at_once_when_it_is_over() -> None:
    time = TrustedTime(NOW, 0)
    assert time.read(NOW - YEAR, 1000) == NOW - YEAR
    assert time.ahead_ms < -YEAR + 2 * TOLERANCE_MS
    assert time.read(NOW + 2000, 2000) == NOW + 2000


def test_a_clock_that_was_set_back_for_a_day_may_not_jump_ahead_again() -> None:
    time = TrustedTime(NOW, 0)
    for passed in range(CHECK, GRACE_MS + 2 * CHECK + 1, CHECK):
        time.read(NOW - YEAR + passed, passed)
    assert time.ahead_ms == 0
    assert time.read(NOW + passed, passed + 1) < NOW - YEAR + passed + TOLERANCE_MS


def test_a_clock_that_runs_too_fast_is_never_believed() -> None:
    time = TrustedTime(NOW, 0)
    for passed in range(CHECK, 3 * GRACE_MS, CHECK):
        told = time.read(NOW + 10 * passed, passed)
    assert told - NOW < 1.02 * passed + TOLERANCE_MS


def test_a_slow_drift_is_followed_however_often_the_clock_is_read() -> None:
    time = TrustedTime(NOW, 0)
    for steady in range(0, 15_000_000, 50):  # four hours, in which it drifts by more than a minute
        told = time.read(wall := NOW + steady + steady // 200, steady)
    assert told == wall
    assert time.ahead_ms == 0


@given(
    st.lists(
        st.tuples(
            st.integers(0, GRACE_MS // 20),
            st.one_of(st.just(0), st.integers(-2 * YEAR, 2 * YEAR), st.integers(-5000, 5000)),
        ),
        max_size=10,
    )
)
def test_within_a_day_the_time_never_runs_ahead(steps: list[tuple[int, int]]) -> None:
    """Whatever jumps there are: neither ahead of the wall clock, nor much of the passing time."""
    time = TrustedTime(NOW, 0)
    steady, wall = 0, NOW
    for passed, jump in steps:
        steady += passed
        wall += passed + jump
        told = time.read(wall, steady)
        assert told <= wall
        assert told <= NOW + steady + steady // 50 + TOLERANCE_MS

"""Retry: tenacity's objects, asked once per record and failure."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import Any

import pytest
import tenacity
import tenacity.asyncio
from hypothesis import given
from hypothesis import strategies as st

from mq.app.codecs import InvalidPayloadError, UndecodableError
from mq.app.retry import (
    DEFAULT_TIERS,
    Again,
    Dead,
    Failure,
    GiveUp,
    RetryIn,
    RetryPolicy,
    Tier,
    decide,
    parse_tiers,
    retry_topic,
    tier_for,
    tier_of_topic,
)
from mq.errors import ConfigurationError


def failure(
    error: BaseException | None = None, attempt: int = 1, first: int = 0, now: int = 0
) -> Failure:
    return Failure(error or ValueError("no"), attempt, first, now)


def test_short_waits_stay_in_place_and_longer_ones_do_not() -> None:
    short = decide(RetryPolicy(wait=tenacity.wait_fixed(1)), failure())
    long = decide(RetryPolicy(wait=tenacity.wait_fixed(1.01)), failure())
    assert short == Again(1.0, in_place=True)
    assert long == Again(1.01, in_place=False)


def test_in_place_is_the_policys_own_bound() -> None:
    policy = RetryPolicy(wait=tenacity.wait_fixed(5), in_place=10)
    assert decide(policy, failure()) == Again(5.0, in_place=True)


def test_no_policy_means_no_second_attempt() -> None:
    assert isinstance(decide(None, failure()), GiveUp)


@given(st.integers(1, 20), st.integers(1, 20))
def test_stop_after_attempt_counts_the_first_attempt(attempt: int, limit: int) -> None:
    policy = RetryPolicy(wait=tenacity.wait_none(), stop=tenacity.stop_after_attempt(limit))
    assert isinstance(decide(policy, failure(attempt=attempt)), GiveUp) == (attempt >= limit)


@given(st.integers(0, 10**13), st.integers(0, 10_000_000))
def test_delays_count_from_the_first_failure(first: int, passed: int) -> None:
    policy = RetryPolicy(wait=tenacity.wait_none(), stop=tenacity.stop_after_delay(600))
    decided = decide(policy, failure(attempt=3, first=first, now=first + passed))
    if abs(passed - 600_000) > 1:  # seconds as floats are not exact to the millisecond
        assert isinstance(decided, GiveUp) == (passed > 600_000)


def test_stop_before_delay_sees_the_wait_that_was_chosen() -> None:
    policy = RetryPolicy(wait=tenacity.wait_fixed(30), stop=tenacity.stop_before_delay(60))
    assert decide(policy, failure(now=29_000)) == Again(30.0, in_place=False)
    assert isinstance(decide(policy, failure(now=31_000)), GiveUp)


@pytest.mark.parametrize(
    ("wait", "attempts", "expected"),
    [
        (tenacity.wait_none(), [1, 2], [0, 0]),
        (tenacity.wait_fixed(timedelta(minutes=2)), [1, 9], [120, 120]),
        (tenacity.wait_incrementing(start=1, increment=2), [1, 2, 3], [1, 3, 5]),
        (tenacity.wait_exponential(multiplier=1, max=10), [1, 2, 3, 9], [1, 2, 4, 10]),
        (
            tenacity.wait_chain(tenacity.wait_fixed(1), tenacity.wait_fixed(7)),
            [1, 2, 3],
            [1, 7, 7],
        ),
        (tenacity.wait_fixed(3) + tenacity.wait_fixed(4), [1], [7]),
        (tenacity.wait_exception(lambda error: len(str(error))), [1], [2]),
    ],
)
def test_waits_are_tenacitys_own(wait: Any, attempts: list[int], expected: list[float]) -> None:
    policy = RetryPolicy(wait=wait, stop=tenacity.stop_never)
    decided = [decide(policy, failure(attempt=attempt)) for attempt in attempts]
    assert [again.delay_s for again in decided if isinstance(again, Again)] == expected


@given(st.integers(1, 30))
def test_random_waits_stay_within_their_bounds(attempt: int) -> None:
    waits = (
        tenacity.wait_random(2, 4),
        tenacity.wait_random_exponential(multiplier=1, max=4, min=2),
        tenacity.wait_exponential_jitter(multiplier=2, max=4, jitter=1),
    )
    for wait in waits:
        decided = decide(RetryPolicy(wait=wait, stop=tenacity.stop_never), failure(attempt=attempt))
        assert isinstance(decided, Again)
        assert 2 <= decided.delay_s <= 4


class BaseError(Exception):
    pass


class DerivedError(BaseError):
    pass


def caused(cause: BaseException) -> Exception:
    error = RuntimeError("outer")
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("retry", "error", "again"),
    [
        (tenacity.retry_if_exception_type(BaseError), DerivedError(), True),
        (tenacity.retry_if_exception_type(BaseError), ValueError(), False),
        (tenacity.retry_if_not_exception_type(BaseError), DerivedError(), False),
        (tenacity.retry_unless_exception_type(BaseError), ValueError(), True),
        (tenacity.retry_if_exception_cause_type(BaseError), caused(DerivedError()), True),
        (tenacity.retry_if_exception_cause_type(BaseError), caused(ValueError()), False),
        (tenacity.retry_if_exception_message(match="db .*"), ValueError("db down"), True),
        (tenacity.retry_if_not_exception_message(message="no"), ValueError("no"), False),
        (tenacity.retry_if_exception(lambda e: e.args == (1,)), ValueError(1), True),
        (tenacity.retry_always, ValueError(), True),
        (tenacity.retry_never, ValueError(), False),
        (tenacity.retry_never, tenacity.TryAgain(), True),
        (tenacity.retry_never, RetryIn(3), True),
        (
            tenacity.retry_if_exception_type(BaseError) & tenacity.retry_if_exception_message("x"),
            DerivedError("x"),
            True,
        ),
        (
            tenacity.retry_if_exception_type(BaseError) | tenacity.retry_if_exception_message("x"),
            ValueError("x"),
            True,
        ),
    ],
)
def test_predicates_are_tenacitys_own(retry: Any, error: Exception, again: bool) -> None:
    policy = RetryPolicy(retry=retry, wait=tenacity.wait_none())
    assert isinstance(decide(policy, failure(error)), Again) == again


async def _asynchronous(_: object) -> bool:
    return True


@pytest.mark.parametrize(
    "options",
    [
        {"retry": tenacity.asyncio.retry_if_exception(_asynchronous)},
        {"retry": tenacity.retry_if_exception(_asynchronous)},
        {"retry": _asynchronous},
        {"retry": tenacity.retry_if_result(bool)},
        {"retry": tenacity.retry_if_not_result(bool)},
        {"retry": tenacity.retry_always | tenacity.retry_if_result(bool)},
        {"stop": tenacity.stop_when_event_set(threading.Event())},
        {"stop": tenacity.stop_never | tenacity.stop_when_event_set(threading.Event())},
        {"stop": _asynchronous},
        {"wait": 5},
        {"wait": tenacity.wait_fixed(1) + _asynchronous},
        {"in_place": -1},
        {"in_place": float("nan")},
    ],
)
def test_objects_that_cannot_work_on_records_are_refused_with_a_reason(options: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"RetryPolicy\(.+"):
        RetryPolicy(**options)


@pytest.mark.parametrize(
    "error", [Dead("gone"), UndecodableError("not JSON"), InvalidPayloadError("not an order")]
)
def test_what_another_attempt_cannot_help_dies_at_once(error: Exception) -> None:
    policy = RetryPolicy(retry=tenacity.retry_always, stop=tenacity.stop_never)
    assert isinstance(decide(policy, failure(error)), GiveUp)


def test_retry_in_replaces_the_wait_but_not_the_stop() -> None:
    policy = RetryPolicy(wait=tenacity.wait_fixed(1), stop=tenacity.stop_after_attempt(3))
    assert decide(policy, failure(RetryIn(timedelta(minutes=1)), attempt=2)) == Again(60.0, False)
    assert isinstance(decide(policy, failure(RetryIn(60), attempt=3)), GiveUp)


@pytest.mark.parametrize("wait", [lambda _: 1 / 0, lambda _: float("inf"), lambda _: "soon"])
def test_a_policy_that_fails_gives_the_record_up_instead_of_losing_it(wait: Any) -> None:
    decided = decide(RetryPolicy(wait=wait), failure())
    assert isinstance(decided, GiveUp)
    assert "the retry policy itself failed" in decided.reason


def test_a_negative_wait_means_now() -> None:
    assert decide(RetryPolicy(wait=lambda _: -3), failure()) == Again(0.0, in_place=True)


def test_the_default_policy_makes_eight_attempts_in_about_two_hours() -> None:
    waits = []
    attempt = 1
    while isinstance(again := decide(RetryPolicy(), failure(attempt=attempt)), Again):
        waits.append(again.delay_s)
        attempt += 1
    assert attempt == 8
    assert 3600 < sum(waits) < 3 * 3600


@pytest.mark.parametrize(
    ("name", "seconds"), [("500ms", 0.5), ("10s", 10), ("1m", 60), ("2h", 7200), ("1d", 86400)]
)
def test_tiers_are_written_as_people_write_delays(name: str, seconds: float) -> None:
    assert Tier.parse(name) == Tier(seconds, name)


@pytest.mark.parametrize("names", [["10"], ["1w"], ["0s"], ["-1s"], ["1.5h"], [], ["60s", "1m"]])
def test_other_tiers_are_refused(names: list[str]) -> None:
    with pytest.raises(ConfigurationError):
        parse_tiers(names)


@given(st.floats(0, 10**6))
def test_the_shortest_tier_that_covers_the_delay_is_chosen(delay: float) -> None:
    tiers = parse_tiers(DEFAULT_TIERS)
    chosen = tier_for(tiers, delay)
    if chosen != tiers[-1]:
        assert chosen.seconds >= delay
    assert all(tier.seconds < delay for tier in tiers if tier < chosen)


topics = st.text("abz019._-", min_size=1, max_size=12)
groups = st.text("abz019_-", min_size=1, max_size=8)


@given(groups, topics, st.sampled_from(parse_tiers(DEFAULT_TIERS)), groups, topics)
def test_the_name_of_a_retry_topic_means_one_group_topic_and_tier(
    group: str, topic: str, tier: Tier, other_group: str, other_topic: str
) -> None:
    name = retry_topic(group, topic, tier)
    assert tier_of_topic(name, group, topic) == tier
    if (other_group, other_topic) != (group, topic):
        assert tier_of_topic(name, other_group, other_topic) is None

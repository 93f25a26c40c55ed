"""A failure, and what comes of it: again in place, again later, or dead.

What to do is said by tenacity's own ``wait``, ``stop`` and ``retry`` objects. tenacity applies them
to one call that sleeps in between; here they are asked once per record and failure, possibly hours
and processes apart, through a call state made up for the occasion. It holds what the record's
headers remember: the number of the attempt, the error, when the first attempt failed and when this
one did. Objects that look at anything else (results, events, coroutines) cannot work like this and
are refused when the policy is made.

Delays longer than ``in_place`` lead through topics, one per tier of delay. The due time travels in
the record; a tier only bounds how long a record may lie in its topic: one whose due time is beyond
that hops again.

Nothing here reads a clock: the time is part of the failure.
"""

from __future__ import annotations

import inspect
import itertools
import math
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final, NoReturn

import tenacity

from mq.app.codecs import PayloadError
from mq.errors import ConfigurationError

__all__ = [
    "DEFAULT_TIERS",
    "Again",
    "Dead",
    "Drop",
    "Failure",
    "GiveUp",
    "RetryIn",
    "RetryPolicy",
    "Tier",
    "Verdict",
    "decide",
    "parse_tiers",
    "retry_topic",
    "tier_for",
    "tier_of_topic",
]

_DELAY_S_MAX: Final = 10 * 365 * 86_400.0
"""A longer wait is an arithmetic accident of the policy."""


class Verdict(Exception):
    """A handler's own word on its record; raise one of the subclasses."""


class Dead(Verdict):
    """The record goes to the dead letters now: ``raise Dead("no such customer")``."""

    __module__ = "mq"


class Drop(Verdict):
    """The record counts as done; only a log line tells of it: ``raise Drop("a test order")``."""

    __module__ = "mq"


class RetryIn(Verdict):
    """Try again after this delay, in seconds, instead of the policy's: ``raise RetryIn(30)``.

    The attempt counts, and the policy's ``stop`` is still asked.
    """

    __module__ = "mq"

    def __init__(self, delay: float | timedelta, reason: str = "") -> None:
        self.seconds = delay.total_seconds() if isinstance(delay, timedelta) else float(delay)
        super().__init__(reason or f"to be tried again in {self.seconds:g} s")


@dataclass(frozen=True, slots=True, order=True)
class Tier:
    """A delay that has a topic of its own. ``name`` is its spelling in the topic's name."""

    seconds: float
    name: str

    @classmethod
    def parse(cls, name: str) -> Tier:
        """The tier written as ``500ms``, ``10s``, ``1m``, ``2h`` or ``1d``.

        Raises:
            ConfigurationError: it is written otherwise.
        """
        match = _TIER.fullmatch(name)
        if match is None or int(match[1]) == 0:
            raise ConfigurationError(f"a retry tier is written like 10s, 1m or 2h, not {name!r}")
        return cls(int(match[1]) * _UNIT_S[match[2]], name)


_TIER: Final = re.compile(r"(\d{1,9})(ms|s|m|h|d)")
_UNIT_S: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}

DEFAULT_TIERS: Final = ("10s", "1m", "10m", "1h")


def parse_tiers(names: Iterable[str]) -> tuple[Tier, ...]:
    """The tiers of these names, shortest first.

    Raises:
        ConfigurationError: a name is no tier, there are none, or two are equally long.
    """
    tiers = sorted(Tier.parse(name) for name in names)
    if not tiers:
        raise ConfigurationError("at least one retry tier is needed")
    for shorter, longer in itertools.pairwise(tiers):
        if shorter.seconds == longer.seconds:
            raise ConfigurationError(f"the retry tiers {shorter.name} and {longer.name} are one")
    return tuple(tiers)


def tier_for(tiers: Sequence[Tier], delay_s: float) -> Tier:
    """The shortest of the (ordered) tiers that covers the delay, else the longest."""
    return next((tier for tier in tiers if tier.seconds >= delay_s), tiers[-1])


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """When a failed record is tried again, in the words of tenacity.

    ``wait``: how long until the next attempt; ``stop``: when to give up; ``retry``: which errors
    are worth another attempt. ``stop_after_delay`` and its like count from the first failure.
    ``in_place``: delays up to so many seconds are spent with the lane closed, so order holds;
    longer ones send the record through a retry topic and let others pass.
    ``tiers``: the delays that have a retry topic of their own, written like ``10s`` or ``1h``. A
    record waits in the shortest one that covers its delay, exactly as long as the policy says.

    The default makes eight attempts in about two hours, the first two retries within a second.

    Raises:
        ConfigurationError: an object that cannot work on records; the text says why.
    """

    wait: Callable[[tenacity.RetryCallState], float] = field(
        default_factory=lambda: tenacity.wait_exponential_jitter(
            multiplier=0.1, exp_base=6, max=3600, jitter=0.1
        )
    )
    stop: Callable[[tenacity.RetryCallState], bool] = field(
        default_factory=lambda: tenacity.stop_after_attempt(8)
    )
    retry: Callable[[tenacity.RetryCallState], bool] = field(
        default_factory=lambda: tenacity.retry_if_exception_type(Exception)
    )
    in_place: float = 1.0
    tiers: Sequence[str] = DEFAULT_TIERS

    def __post_init__(self) -> None:
        for name in ("wait", "stop", "retry"):
            for part in _nested(getattr(self, name)):
                reason = _refusal(part)
                if reason:
                    raise ConfigurationError(f"RetryPolicy({name}={_shown(part)}): {reason}")
        if not self.in_place >= 0:
            raise ConfigurationError(f"RetryPolicy(in_place={self.in_place}): at least 0 seconds")
        parse_tiers(self.tiers)


def _nested(part: object) -> Iterable[object]:
    """An object of tenacity and all those it is composed of."""
    yield part
    for attribute in ("retries", "stops", "wait_funcs", "strategies"):
        for inner in getattr(part, attribute, ()):
            yield from _nested(inner)
    if hasattr(part, "predicate"):
        yield part.predicate


def _refusal(part: object) -> str | None:
    """Why an object cannot work on records; None if it can."""
    if not callable(part):
        return "tenacity's objects or functions of a RetryCallState are needed"
    if inspect.iscoroutinefunction(part) or inspect.iscoroutinefunction(type(part).__call__):
        return "it is asynchronous; its answer, a coroutine, would count as yes every time"
    if isinstance(part, tenacity.retry_if_result | tenacity.retry_if_not_result):
        return "it looks at results, but a handler that returned is done; raise an error instead"
    if isinstance(part, tenacity.stop_when_event_set):
        return "an event of this process does not reach a record that waits in a topic"
    return None


def _shown(part: object) -> str:
    return getattr(part, "__qualname__", None) or type(part).__qualname__


@dataclass(frozen=True, slots=True)
class Failure:
    """One failed attempt. ``attempt`` counts from 1; times are milliseconds since the epoch."""

    error: BaseException
    attempt: int
    first_failed_at_ms: int
    failed_at_ms: int


@dataclass(frozen=True, slots=True)
class Again:
    """Try again after ``delay_s``; in place if it is short, through a tier otherwise."""

    delay_s: float
    in_place: bool


@dataclass(frozen=True, slots=True)
class GiveUp:
    """To the dead letters, because of ``reason``."""

    reason: str


def decide(policy: RetryPolicy | None, failure: Failure) -> Again | GiveUp:
    """What comes of a failure. No policy means no second attempt."""
    error = failure.error
    if isinstance(error, Dead):
        return GiveUp("the handler said so")
    if isinstance(error, PayloadError):
        return GiveUp("another attempt would read the same bytes")
    if policy is None:
        policy = _ONE_ATTEMPT
    try:
        return _ask(policy, failure)
    except Exception as fault:  # a broken policy must not lose the record
        return GiveUp(f"the retry policy itself failed: {type(fault).__name__}: {fault}")


def _ask(policy: RetryPolicy, failure: Failure) -> Again | GiveUp:
    """Ask in tenacity's order: retry, wait, stop; stop may look at the wait."""
    error = failure.error
    state = _call_state(failure)
    explicit = isinstance(error, RetryIn | tenacity.TryAgain)
    if not explicit and not policy.retry(state):
        return GiveUp("the policy does not retry this error")
    wait_s = error.seconds if isinstance(error, RetryIn) else float(policy.wait(state))
    if not math.isfinite(wait_s):
        raise ValueError(f"a wait of {wait_s} seconds")
    wait_s = min(max(wait_s, 0.0), _DELAY_S_MAX)
    state.upcoming_sleep = wait_s
    if policy.stop(state):
        return GiveUp(f"given up after attempt {failure.attempt}")
    return Again(wait_s, in_place=wait_s <= policy.in_place)


def _call_state(failure: Failure) -> tenacity.RetryCallState:
    """The state that tenacity's objects would see after this attempt of a call."""
    state = tenacity.RetryCallState(_RETRYING, fn=None, args=(), kwargs={})
    state.attempt_number = failure.attempt
    state.start_time = failure.first_failed_at_ms / 1000
    state.outcome = _Outcome(failure.attempt, failure.error)  # type: ignore[assignment]
    state.outcome_timestamp = failure.failed_at_ms / 1000
    return state


class _Outcome:
    """A failure as tenacity's objects see it: its ``Future``, without the locks that cost most."""

    __slots__ = ("_error", "attempt_number")

    failed = True

    def __init__(self, attempt: int, error: BaseException) -> None:
        self.attempt_number = attempt
        self._error = error

    def exception(self) -> BaseException:
        return self._error

    def result(self) -> NoReturn:
        raise self._error


_RETRYING: Final = tenacity.Retrying()
_ONE_ATTEMPT: Final = RetryPolicy(stop=tenacity.stop_after_attempt(1))


def retry_topic(group: str, topic: str, tier: Tier) -> str:
    """The topic in which records of ``topic`` that failed in ``group`` wait."""
    return f"retry.{group}.{topic}.{tier.name}"


def tier_of_topic(name: str, group: str, topic: str) -> Tier | None:
    """The tier that a topic of this name serves for ``group`` and ``topic``, if it does at all."""
    prefix = f"retry.{group}.{topic}."
    if not name.startswith(prefix):
        return None
    try:
        return Tier.parse(name.removeprefix(prefix))
    except ConfigurationError:
        return None  # another topic whose name begins alike

"""Timers that are put off all the time."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from mq.coordinators.timers import Timers


def test_the_earliest_timer_comes_first() -> None:
    timers = Timers[str]()
    timers.schedule("late", 30)
    timers.schedule("early", 10)
    assert timers.deadline() == 10
    assert [timers.pop(30), timers.pop(30), timers.pop(30)] == ["early", "late", None]
    assert timers.deadline() is None


def test_a_timer_that_is_put_off_is_due_at_its_new_time_only() -> None:
    timers = Timers[str]()
    timers.schedule("session", 10)
    timers.schedule("session", 20)
    assert timers.deadline() == 20
    assert timers.pop(19) is None
    assert timers.pop(20) == "session"


def test_a_timer_that_is_brought_forward_is_due_at_its_new_time_only() -> None:
    timers = Timers[str]()
    timers.schedule("session", 20)
    timers.schedule("session", 10)
    assert timers.pop(10) == "session"
    assert timers.pop(20) is None
    assert len(timers) == 0


def test_a_cancelled_timer_is_never_due() -> None:
    timers = Timers[str]()
    timers.schedule("session", 10)
    timers.cancel("session")
    timers.cancel("unknown")
    assert timers.deadline() is None
    timers.schedule("session", 10)
    assert "session" in timers
    assert [timers.pop(10), timers.pop(10)] == ["session", None]


def test_cancelled_timers_do_not_pile_up() -> None:
    timers = Timers[str]()
    timers.schedule("session", 5)
    for due_ms in range(100_000, 110_000):
        timers.schedule("join", due_ms)
        timers.cancel("join")
    assert len(timers._heap) < 100
    assert timers.pop(5) == "session"


OPERATIONS = st.one_of(
    st.tuples(st.just("schedule"), st.integers(0, 5), st.integers(0, 100)),
    st.tuples(st.just("cancel"), st.integers(0, 5), st.just(0)),
    st.tuples(st.just("pop"), st.just(0), st.integers(0, 100)),
)


@given(st.lists(OPERATIONS, max_size=200))
def test_timers_do_what_a_plain_dictionary_of_due_times_would(operations: list[Any]) -> None:
    timers, model = Timers[int](), dict[int, int]()
    for operation, key, time_ms in operations:
        if operation == "schedule":
            timers.schedule(key, time_ms)
            model[key] = time_ms
        elif operation == "cancel":
            timers.cancel(key)
            model.pop(key, None)
        else:
            popped = timers.pop(time_ms)
            earliest = min(model.values(), default=time_ms + 1)
            assert (popped is not None) == (earliest <= time_ms)
            assert popped is None or model.pop(popped) == earliest
        assert timers.deadline() == min(model.values(), default=None)
        assert len(timers) == len(model)

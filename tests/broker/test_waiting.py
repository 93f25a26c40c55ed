"""Who waits for a sync or for records, and when they are woken."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mq.broker.waiting import FetchWaiters, SyncWaiters
from mq.errors import ErrorCode


class Clock:
    """Timers that fire when told."""

    def __init__(self):
        self.timers = []

    def call_later(self, seconds, callback):
        timer = Timer(seconds, callback)
        self.timers.append(timer)
        return timer

    def advance(self, seconds):
        for timer in [t for t in self.timers if t.seconds <= seconds and not t.cancelled]:
            timer.cancelled = True
            timer.callback()


class Timer:
    def __init__(self, seconds, callback):
        self.seconds = seconds
        self.callback = callback
        self.cancelled = False

    def cancel(self):
        self.cancelled = True


class Poll:
    """A fetch that wants ``wanted`` partitions to move before it is answered."""

    def __init__(self, wanted=1):
        self.wanted = wanted
        self.asked = []
        self.answers = 0

    def enough(self, partition):
        self.asked.append(partition)
        return len(self.asked) >= self.wanted

    def answer(self):
        self.answers += 1


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def waiters(clock):
    return FetchWaiters(clock.call_later)


def test_a_fetch_is_answered_when_one_of_its_partitions_moves(waiters, clock):
    poll = Poll()
    waiters.park(poll, ["a", "b"], 1.0)
    waiters.advanced("c")
    assert poll.answers == 0
    waiters.advanced("b")
    assert poll.answers == 1
    assert len(waiters) == 0
    assert all(timer.cancelled for timer in clock.timers)


def test_a_fetch_that_wants_more_stays_parked(waiters):
    poll = Poll(wanted=2)
    waiters.park(poll, ["a"], 1.0)
    waiters.advanced("a")
    assert poll.answers == 0
    waiters.advanced("a")
    assert poll.answers == 1


def test_a_fetch_is_answered_when_its_time_is_over(waiters, clock):
    poll = Poll()
    waiters.park(poll, ["a"], 0.5)
    clock.advance(0.4)
    assert poll.answers == 0
    clock.advance(0.5)
    assert poll.answers == 1
    waiters.advanced("a")
    assert poll.answers == 1


def test_only_the_waiters_of_a_partition_are_asked(waiters):
    polls = [Poll() for _ in range(100)]
    for number, poll in enumerate(polls):
        waiters.park(poll, [number], 1.0)
    waiters.advanced(7)
    assert [number for number, poll in enumerate(polls) if poll.asked] == [7]


def test_a_thousand_consumers_of_a_partition_cost_one_wake_up_each(waiters, clock):
    polls = [Poll() for _ in range(1000)]
    for poll in polls:
        waiters.park(poll, ["a", "b"], 1.0)
    waiters.advanced("a")
    assert all(poll.asked == ["a"] for poll in polls)
    assert all(poll.answers == 1 for poll in polls)
    assert all(timer.cancelled for timer in clock.timers)
    waiters.advanced("b")
    assert all(poll.asked == ["a"] for poll in polls)


def test_whoever_left_is_not_answered(waiters, clock):
    poll = Poll()
    waiters.park(poll, ["a", "a"], 0.5)
    waiters.forget(poll)
    waiters.forget(poll)
    waiters.advanced("a")
    clock.advance(1.0)
    assert poll.answers == 0


def test_a_deleted_partition_answers_all_who_wait_for_it(waiters):
    polls = [Poll(wanted=10), Poll(wanted=10)]
    for poll in polls:
        waiters.park(poll, ["a", "b"], 1.0)
    waiters.gone("a")
    assert [poll.answers for poll in polls] == [1, 1]


def test_at_the_end_everybody_is_answered(waiters):
    polls = [Poll(), Poll()]
    for poll in polls:
        waiters.park(poll, ["a"], 1.0)
    waiters.release_all()
    assert [poll.answers for poll in polls] == [1, 1]


@given(st.lists(st.one_of(st.just("wait"), st.just("append"), st.just("sync"))))
def test_a_reply_is_sent_exactly_when_its_offset_is_synced(steps):
    waiters, end, synced = SyncWaiters(), 0, 0
    told: list[int] = []
    expected: list[int] = []
    for step in steps:
        if step == "append":
            end += 1
        elif step == "sync":
            synced = end
            waiters.synced("p", synced)
        elif end > synced:  # who asks for what is there already is not kept waiting
            waiters.add("p", end, lambda code, end=end: told.append(end))
            expected.append(end)
        assert told == [offset for offset in expected if offset <= synced]
    waiters.synced("p", end)
    assert told == expected
    assert len(waiters) == 0


def test_those_who_wait_in_vain_can_be_told():
    waiters = SyncWaiters()
    told = []
    waiters.add("p", 1, told.append)
    waiters.add("q", 1, told.append)
    for then in waiters.take_all():
        then(ErrorCode.KAFKA_STORAGE_ERROR)
    assert told == [ErrorCode.KAFKA_STORAGE_ERROR] * 2
    waiters.synced("p", 1)
    assert len(told) == 2

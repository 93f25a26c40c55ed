"""Lanes: who may run, in which order, and when fetching stops."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from mq.app.lanes import Intake, Lanes, LaneTable, Throttle
from mq.errors import ConfigurationError


@dataclass(frozen=True)
class Item:
    number: int
    lane: str | None
    partition: int


class LanesAgainstModel(RuleBasedStateMachine):
    """Random entries, ends, rests and purges; the model knows who was started in which order."""

    def __init__(self) -> None:
        super().__init__()
        self.table: LaneTable[Item] = LaneTable(concurrency=3)
        self.counter = 0
        self.inside: set[Item] = set()
        self.running: list[Item] = []
        self.resting: list[Item] = []
        self.started: dict[str, list[int]] = defaultdict(list)
        self.retries: set[Item] = set()

    @rule(lane=st.sampled_from(["a", "b", "c", None]), partition=st.integers(0, 2))
    def enter(self, lane: str | None, partition: int) -> None:
        self.counter += 1
        item = Item(self.counter, lane, partition)
        self.inside.add(item)
        self.table.enter(item, lane)

    @rule(lane=st.sampled_from(["a", "b", None]))
    def enter_first(self, lane: str | None) -> None:
        self.counter += 1
        item = Item(self.counter, lane, 0)
        self.inside.add(item)
        self.retries.add(item)
        self.table.enter_first(item, lane)

    @precondition(lambda self: self.table.takeable)
    @rule()
    def take(self) -> None:
        item = self.table.take()
        assert item in self.inside
        assert item not in self.running
        if item in self.resting:
            self.resting.remove(item)
        elif item.lane is not None and item not in self.retries:
            order = self.started[item.lane]
            assert not order or order[-1] < item.number, "first attempts start in order"
            order.append(item.number)
        if item.lane is not None:
            held = [other for other in [*self.running, *self.resting] if other.lane == item.lane]
            assert not held, "one record of a lane at a time"
        self.running.append(item)

    @precondition(lambda self: self.running)
    @rule(data=st.data())
    def end(self, data: st.DataObject) -> None:
        item = data.draw(st.sampled_from(self.running))
        self.running.remove(item)
        self.inside.remove(item)
        self.table.leave(item.lane)

    @precondition(lambda self: self.running)
    @rule(data=st.data())
    def rest(self, data: st.DataObject) -> None:
        item = data.draw(st.sampled_from(self.running))
        self.running.remove(item)
        self.resting.append(item)
        self.table.rest()

    @precondition(lambda self: self.resting)
    @rule(data=st.data(), back=st.booleans())
    def wake(self, data: st.DataObject, back: bool) -> None:
        item = data.draw(st.sampled_from(self.resting))
        self.resting.remove(item)
        if back:
            self.retries.add(item)
            self.table.again(item)
        else:
            self.inside.remove(item)
            self.table.open(item.lane)

    @rule(partition=st.integers(0, 2))
    def purge(self, partition: int) -> None:
        purged = self.table.purge(lambda item: item.partition == partition, lambda item: item.lane)
        assert len(purged) == len(set(purged))
        held = {*self.running, *self.resting}
        expected = {i for i in self.inside - held if i.partition == partition}
        assert set(purged) == expected
        self.inside -= expected

    @invariant()
    def bounded(self) -> None:
        assert self.table.running == len(self.running) <= 3

    @invariant()
    def nobody_is_lost(self) -> None:
        waiting = len(self.inside) - len(self.running) - len(self.resting)
        assert len(self.table) == waiting

    def teardown(self) -> None:
        """Whatever happened, everything that is inside comes to run."""
        for item in self.resting:
            self.inside.discard(item)
            self.table.open(item.lane)
        self.resting.clear()
        while self.inside:
            if self.table.takeable:
                self.take()
            else:
                assert self.running, "something waits, nothing runs, nothing may be taken"
                item = self.running.pop()
                self.inside.remove(item)
                self.table.leave(item.lane)


TestLanesAgainstModel = LanesAgainstModel.TestCase


def test_a_retry_that_is_due_goes_before_those_that_wait() -> None:
    table: LaneTable[str] = LaneTable(1)
    table.enter("first", "k")
    table.enter("second", "k")
    table.enter_first("due", "k")
    order = []
    while table.takeable:
        order.append(table.take())
        table.leave("k")
    assert order == ["first", "due", "second"]


def test_items_without_a_lane_never_wait_for_each_other() -> None:
    table: LaneTable[int] = LaneTable(10)
    for number in range(10):
        table.enter(number, None)
    assert [table.take() for _ in range(10)] == list(range(10))


@pytest.mark.parametrize(
    "options", [{"order": "random"}, {"concurrency": 0}, {"timeout": 0}, {"timeout": -1.0}]
)
def test_impossible_lanes_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(ConfigurationError):
        Lanes(**options)  # type: ignore[arg-type]


def filled(records: int, records_max: int = 100) -> Intake:
    intake = Intake(records_max, 1_000_000)
    intake.fetched(records, records)
    return intake


def drained(intake: Intake, records: int) -> None:
    for _ in range(records):
        intake.finished(1)


def test_a_full_intake_delays_fetching_then_pauses_and_resumes_at_half() -> None:
    intake = filled(100)
    throttle = Throttle([intake], patience_s=1.0)
    assert not throttle.may_fetch(10.0)
    assert not throttle.may_fetch(10.9)
    assert throttle.paused == frozenset()
    assert throttle.may_fetch(11.0), "polling goes on, with the partitions paused"
    assert throttle.paused == {intake}
    drained(intake, 49)
    assert throttle.may_fetch(12.0)
    assert throttle.paused == {intake}, "not yet half"
    drained(intake, 1)
    assert throttle.may_fetch(13.0)
    assert throttle.paused == frozenset()


def test_an_intake_with_room_again_within_the_patience_pauses_nothing() -> None:
    intake = filled(100)
    throttle = Throttle([intake], patience_s=1.0)
    assert not throttle.may_fetch(10.0)
    drained(intake, 1)
    assert throttle.may_fetch(10.5)
    assert throttle.paused == frozenset()
    intake.fetched(1, 1)
    assert not throttle.may_fetch(11.2), "the patience counts from the last time it was full"


def test_a_full_intake_never_starves_another() -> None:
    full, free = filled(100), filled(1)
    throttle = Throttle([full, free], patience_s=1.0)
    assert throttle.may_fetch(10.0)
    assert throttle.paused == {full}


def test_bytes_fill_an_intake_as_records_do() -> None:
    intake = Intake(100, 1_000)
    intake.fetched(1, 1_000)
    assert intake.full
    intake.finished(1_000)
    assert intake.half_empty


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(-60, 60), st.floats(0, 0.5)), max_size=60))
def test_polling_is_never_put_off_for_longer_than_the_patience(
    steps: list[tuple[int, int, float]],
) -> None:
    intakes = [Intake(100, 10_000) for _ in range(3)]
    throttle = Throttle(intakes, patience_s=1.0)
    now, put_off_since = 0.0, None
    for which, change, passed in steps:
        intake = intakes[which]
        if change > 0:
            intake.fetched(change, change)
        else:
            drained(intake, min(-change, intake.records))
        now += passed
        if throttle.may_fetch(now):
            put_off_since = None
            for paused in throttle.paused:
                assert not paused.half_empty
        else:
            put_off_since = now if put_off_since is None else put_off_since
            assert now - put_off_since < 1.0

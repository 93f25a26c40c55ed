"""The supervisor's decisions, without a single process."""

from __future__ import annotations

import signal

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from mq.worker.lifecycle import (
    HEALTHY_S,
    PAUSE_MAX_S,
    PAUSE_MIN_S,
    STARTS_MAX,
    Drain,
    Effect,
    End,
    Exited,
    GiveUp,
    Hopeless,
    Kill,
    Leave,
    Lifecycle,
    Pause,
    Serving,
    Signalled,
    Spawn,
)

DRAIN_S = 25.0


def started(processes: int = 2) -> Lifecycle:
    machine = Lifecycle(processes, DRAIN_S)
    assert machine.tick(0.0) == [Spawn(number) for number in range(processes)]
    return machine


def serving(processes: int = 2) -> Lifecycle:
    machine = started(processes)
    for number in range(processes):
        assert machine.receive(Serving(number), 0.0) == []
    return machine


def test_a_killed_child_leaves_its_groups_at_once_and_is_spawned_again_after_a_pause() -> None:
    machine = serving()
    assert machine.receive(Exited(1, -signal.SIGKILL), 5.0) == [Leave(1), Pause(1, -9, PAUSE_MIN_S)]
    assert machine.deadline() == 5.0 + PAUSE_MIN_S
    assert machine.tick(5.0) == []
    assert machine.tick(5.0 + PAUSE_MIN_S) == [Spawn(1)]
    assert machine.deadline() is None


def test_pauses_double_up_to_a_bound_and_start_over_after_healthy_service() -> None:
    machine = serving(1)
    now, pauses = 0.0, []
    for _ in range(12):
        effects = machine.receive(Exited(0, 1), now)
        assert isinstance(effects[-1], Pause)
        pauses.append(effects[-1].pause_s)
        now += pauses[-1]
        assert machine.tick(now) == [Spawn(0)]
    assert pauses == [min(PAUSE_MIN_S * 2**n, PAUSE_MAX_S) for n in range(12)]
    machine.receive(Serving(0), now)
    assert machine.receive(Exited(0, 1), now + HEALTHY_S)[-1] == Pause(0, 1, PAUSE_MIN_S)


@pytest.mark.parametrize("code", [2, 3, 4])
def test_a_child_that_cannot_work_ends_the_worker_with_its_own_exit_code(code: int) -> None:
    machine = started()
    assert machine.receive(Exited(0, code), 1.0) == [Leave(0), GiveUp(0, code), Drain(1)]
    assert machine.receive(Exited(1, 0), 2.0) == [End(code)]


def test_an_unreachable_broker_is_waited_for_once_a_child_has_served() -> None:
    machine = serving()
    assert machine.receive(Exited(0, 3), 1.0)[-1] == Pause(0, 3, PAUSE_MIN_S)


def test_a_worker_whose_children_never_serve_gives_up() -> None:
    machine = started(1)
    now = 0.0
    for _ in range(STARTS_MAX - 1):
        pause = machine.receive(Exited(0, 1), now)[-1]
        assert isinstance(pause, Pause)
        now += pause.pause_s
        machine.tick(now)
    assert machine.receive(Exited(0, 1), now) == [Leave(0), GiveUp(0, 1), End(1)]


def test_a_signal_drains_and_the_worker_ends_with_zero_after_the_last_child() -> None:
    machine = serving()
    assert machine.receive(Signalled(signal.SIGTERM), 1.0) == [Drain(0), Drain(1)]
    assert machine.receive(Exited(0, 0), 2.0) == []
    assert machine.receive(Exited(1, -signal.SIGTERM), 3.0) == [Leave(1), End(0)]


def test_a_second_signal_kills_and_its_number_is_the_exit_code() -> None:
    machine = serving()
    machine.receive(Signalled(signal.SIGINT), 1.0)
    assert machine.receive(Signalled(signal.SIGINT), 2.0) == [Kill(0), Kill(1)]
    assert machine.receive(Exited(0, -9), 2.0) == [Leave(0)]
    assert machine.receive(Exited(1, -9), 2.0) == [Leave(1), End(130)]


def test_children_that_do_not_drain_in_time_are_killed() -> None:
    machine = serving(1)
    machine.receive(Signalled(signal.SIGTERM), 1.0)
    assert machine.deadline() == 1.0 + DRAIN_S
    assert machine.tick(1.0 + DRAIN_S) == [Kill(0)]
    assert machine.deadline() is None
    assert machine.receive(Exited(0, -9), 27.0) == [Leave(0), End(1)]


def test_a_child_waiting_for_its_restart_does_not_delay_the_end() -> None:
    machine = serving(1)
    machine.receive(Exited(0, 1), 1.0)
    assert machine.receive(Signalled(signal.SIGTERM), 1.0) == [End(0)]


def test_a_crash_while_draining_is_a_failure_of_the_worker() -> None:
    machine = serving(1)
    machine.receive(Signalled(signal.SIGTERM), 1.0)
    assert machine.receive(Exited(0, 1), 2.0) == [Leave(0), End(1)]


def test_a_worker_whose_children_all_end_by_themselves_ends_well() -> None:
    machine = serving()
    assert machine.receive(Exited(0, 0), 1.0) == []
    assert machine.receive(Exited(1, 0), 1.0) == [End(0)]


class AnyHistory(RuleBasedStateMachine):
    """Whatever happens in whatever order: one process per child, and a signal always leads out."""

    @initialize(processes=st.integers(1, 4))
    def start(self, processes: int) -> None:
        self.machine = Lifecycle(processes, DRAIN_S)
        self.now = 0.0
        self.alive: set[int] = set()
        self.signals = 0
        self.stopping = False
        self.code: int | None = None
        self.perform(self.machine.tick(0.0))

    def perform(self, effects: list[Effect]) -> None:
        for effect in effects:
            assert self.code is None, "nothing is asked for after the end"
            match effect:
                case Spawn(number):
                    assert number not in self.alive, "one process per child"
                    assert not self.stopping, "a worker that stops starts nothing"
                    self.alive.add(number)
                case Drain(number):
                    assert number in self.alive
                    self.stopping = True
                case Kill(number):
                    assert number in self.alive
                    assert self.machine.draining, "nobody is killed who was not asked first"
                case Pause(_, _, pause_s):
                    assert PAUSE_MIN_S <= pause_s <= PAUSE_MAX_S
                case End(code):
                    assert not self.alive, "no process outlives its worker"
                    self.code = code
                case Leave(number):
                    assert number not in self.alive
                case GiveUp(_, code):
                    assert code != 0

    @precondition(lambda self: self.alive)
    @rule(data=st.data(), code=st.sampled_from([0, 1, 2, 3, 4, 143, -9, -15]))
    def a_child_exits(self, data: st.DataObject, code: int) -> None:
        number = data.draw(st.sampled_from(sorted(self.alive)))
        self.alive.remove(number)
        effects = self.machine.receive(Exited(number, code), self.now)
        assert effects.count(Leave(number)) == (code != 0), "a death is announced exactly once"
        self.perform(effects)

    @precondition(lambda self: self.alive)
    @rule(data=st.data())
    def a_child_serves(self, data: st.DataObject) -> None:
        number = data.draw(st.sampled_from(sorted(self.alive)))
        self.perform(self.machine.receive(Serving(number), self.now))

    @precondition(lambda self: self.code is None)
    @rule()
    def a_signal_comes(self) -> None:
        self.signals += 1
        effects = self.machine.receive(Signalled(signal.SIGTERM), self.now)
        if self.signals == 2:
            assert {Kill(number) for number in self.alive} <= set(effects)
        self.perform(effects)

    @precondition(lambda self: self.code is None)
    @rule()
    def nothing_can_work(self) -> None:
        self.perform(self.machine.receive(Hopeless(2), self.now))

    @rule(passed_s=st.floats(0, 100))
    def time_passes(self, passed_s: float) -> None:
        self.now += passed_s
        self.perform(self.machine.tick(self.now))

    @invariant()
    def it_ends_or_lives_or_waits(self) -> None:
        assert self.code is not None or self.alive or self.machine.deadline() is not None

    def teardown(self) -> None:
        """Two signals lead out of any state as soon as the processes are gone."""
        while self.code is None and self.signals < 2:
            self.a_signal_comes()
        for number in sorted(self.alive):
            self.alive.remove(number)
            self.perform(self.machine.receive(Exited(number, -9), self.now))
        assert self.code is not None


TestAnyHistory = AnyHistory.TestCase

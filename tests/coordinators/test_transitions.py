"""The states of a classic group: every transition that happens is in the table, and all happen."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from mq.coordinators.classic_group import TRANSITIONS, ClassicGroup, State
from mq.coordinators.effects import Now, Step
from mq.coordinators.group_config import GroupConfig
from mq.coordinators.timer_key import TimerKey
from mq.coordinators.timers import Timers

Owner = Any


def one_member_leaves(owner: Owner) -> None:
    owner.leave((owner.stable()[0], None))


def a_join(owner: Owner) -> None:
    owner.join(version=3)


def a_join_completes(owner: Owner) -> None:
    owner.joined()


def the_leader_syncs(owner: Owner) -> None:
    owner.stable()


def the_only_joiner_leaves(owner: Owner) -> None:
    owner.join(version=3)
    owner.leave((owner.describe().members[0].member_id, None))
    owner.advance(0)


def a_member_leaves_before_the_sync(owner: Owner) -> None:
    owner.leave((owner.joined(2)[1], None))


def a_member_leaves_a_stable_group(owner: Owner) -> None:
    owner.leave((owner.stable(2)[1], None))


def the_group_is_deleted(owner: Owner) -> None:
    owner.fresh_id()
    owner.now = Now(10**9, 10**9)
    owner.advance(0)


WAYS: list[tuple[State, State, Callable[[Owner], None]]] = [
    (State.EMPTY, State.PREPARING_REBALANCE, a_join),
    (State.EMPTY, State.DEAD, the_group_is_deleted),
    (State.PREPARING_REBALANCE, State.COMPLETING_REBALANCE, a_join_completes),
    (State.PREPARING_REBALANCE, State.EMPTY, the_only_joiner_leaves),
    (State.COMPLETING_REBALANCE, State.STABLE, the_leader_syncs),
    (State.COMPLETING_REBALANCE, State.PREPARING_REBALANCE, a_member_leaves_before_the_sync),
    (State.STABLE, State.PREPARING_REBALANCE, a_member_leaves_a_stable_group),
]


@pytest.mark.parametrize(("_before", "after", "how"), WAYS)
def test_a_group_can_go_every_way_of_the_table(
    owner: Owner, _before: State, after: State, how: Callable[[Owner], None]
) -> None:
    how(owner)
    assert owner.state() == after.value


def test_the_ways_are_all_of_the_table() -> None:
    table = {(before, after) for before, states in TRANSITIONS.items() for after in states}
    assert table == {(before, after) for before, after, _ in WAYS}


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (before, after)
        for before in State
        for after in State
        if after not in TRANSITIONS[before] and before is not State.DEAD
    ],
)
def test_a_group_goes_no_other_way(before: State, after: State) -> None:
    group = ClassicGroup("g", GroupConfig(), Timers[TimerKey](), 0)
    group.state = before
    with pytest.raises(AssertionError):
        group._move_to(after, Step(Now(0, 0)))

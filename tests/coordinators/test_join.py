"""JoinGroup: who may join, as whom, and what joining begins."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from mq.coordinators.effects import RequestContext
from mq.coordinators.group_config import GroupConfig
from mq.errors import ErrorCode
from mq.wire.messages.join_group import JoinGroupRequest
from mq.wire.messages.list_groups import ListGroupsRequest

Owner = Any
NewOwner = Callable[..., Owner]


def test_an_empty_group_id_is_refused_with_invalid_group_id(owner: Owner) -> None:
    answer = owner.answers[owner.join("someone", group_id="")]
    assert (answer.error_code, answer.member_id) == (ErrorCode.INVALID_GROUP_ID, "someone")


@pytest.mark.parametrize("session_ms", [5_999, 1_800_001])
def test_a_session_timeout_out_of_bounds_is_refused(owner: Owner, session_ms: int) -> None:
    answer = owner.answers[owner.join(session_ms=session_ms)]
    assert answer.error_code == ErrorCode.INVALID_SESSION_TIMEOUT


@pytest.mark.parametrize("session_ms", [6_000, 1_800_000])
def test_the_bounds_of_the_session_timeout_are_allowed(owner: Owner, session_ms: int) -> None:
    assert owner.fresh_id(session_ms=session_ms)


def test_a_member_of_an_unknown_group_is_an_unknown_member(owner: Owner) -> None:
    answer = owner.answers[owner.join("someone")]
    assert (answer.error_code, answer.member_id) == (ErrorCode.UNKNOWN_MEMBER_ID, "someone")
    assert not owner.log


def test_an_unknown_member_of_a_known_group_is_refused(owner: Owner) -> None:
    owner.stable()
    answer = owner.answers[owner.join("someone")]
    assert (answer.error_code, answer.member_id) == (ErrorCode.UNKNOWN_MEMBER_ID, "someone")


def test_a_newcomer_is_given_an_id_and_must_come_back_with_it(owner: Owner) -> None:
    answer = owner.answers[owner.join(client_id="billing")]
    assert answer.error_code == ErrorCode.MEMBER_ID_REQUIRED
    assert answer.member_id.startswith("billing-")
    token = owner.join(answer.member_id)
    owner.advance(0)
    joined = owner.answers[token]
    assert (joined.error_code, joined.member_id) == (0, answer.member_id)
    assert (joined.generation_id, joined.leader) == (1, answer.member_id)


@pytest.mark.parametrize("letter", ["c", "\U0001f600"])
def test_a_member_id_can_be_stored_however_long_the_name_of_its_client(
    owner: Owner, letter: str
) -> None:
    name = letter * (32_767 // len(letter.encode()))
    for group_id, how in [
        ("g", {"client_id": name}),
        ("s", {"client_id": name, "instance_id": name, "version": 9}),
    ]:
        token = owner.join(group_id=group_id, **how)
        member = owner.answers[token].member_id if group_id == "g" else None
        if member is not None:
            token = owner.join(member, group_id=group_id, **how)
        owner.advance(0)
        member = owner.answers[token].member_id
        assert member.startswith(letter * 255 + "-")
        assert len(member) == 255 + 1 + 36
        instance = how.get("instance_id")
        owner.sync(member, 1, {member: b""}, group_id=group_id, instance_id=instance)
        assert owner.state(group_id) == owner.restarted().state(group_id) == "Stable"


def test_a_group_that_cannot_be_written_does_not_exist(owner: Owner) -> None:
    name = "g" * 32_768
    request = JoinGroupRequest(name, 10_000, protocol_type="consumer")
    context = RequestContext("client", "/127.0.0.1", 9)
    with pytest.raises(ValueError, match="cannot be written"):
        owner.coordinator.handle(request, context, 0, owner.now)
    assert owner.ask(ListGroupsRequest(), 5).groups == []


def test_before_v4_a_newcomer_joins_at_once(owner: Owner) -> None:
    token = owner.join(version=3, client_id="billing")
    owner.advance(0)
    assert owner.answers[token].error_code == 0
    assert owner.answers[token].member_id.startswith("billing-")


def test_v0_has_the_session_timeout_for_rebalances_too(owner: Owner) -> None:
    owner.join(version=0, session_ms=7_000, rebalance_ms=-1)
    owner.advance(0)
    assert owner.state() == "CompletingRebalance"
    owner.advance(6_999)
    assert owner.state() == "CompletingRebalance"
    owner.advance(1)
    assert owner.state() == "Empty"


def test_a_new_group_is_recorded_as_empty_before_anyone_hears_of_it(owner: Owner) -> None:
    owner.fresh_id()
    assert [len(effects.append) for effects in owner.performed] == [1]
    assert owner.restarted().state() == "Empty"


@pytest.mark.parametrize("how", [{"protocols": ()}, {"protocol_type": ""}])
def test_nobody_joins_an_empty_group_without_a_protocol(owner: Owner, how: Any) -> None:
    answer = owner.answers[owner.join(**how)]
    assert answer.error_code == ErrorCode.INCONSISTENT_GROUP_PROTOCOL
    assert answer.member_id == ""


@pytest.mark.parametrize(
    "how", [{"protocols": [("sticky", b"")]}, {"protocol_type": "connect"}, {"protocols": ()}]
)
def test_who_disagrees_on_the_protocol_with_the_members_is_refused(owner: Owner, how: Any) -> None:
    owner.stable()
    answer = owner.answers[owner.join(**how)]
    assert answer.error_code == ErrorCode.INCONSISTENT_GROUP_PROTOCOL


@pytest.mark.parametrize(("version", "protocol"), [(6, ""), (7, None)])
def test_a_refusal_has_no_protocol_or_before_v7_an_empty_one(
    owner: Owner, version: int, protocol: str | None
) -> None:
    assert owner.answers[owner.join("x", version=version)].protocol_name == protocol


def test_only_the_leader_is_shown_the_members(owner: Owner) -> None:
    first, second = owner.fresh_id(), owner.fresh_id()
    tokens = [
        owner.join(first, protocols=[("range", b"from first")]),
        owner.join(second, protocols=[("range", b"from second")]),
    ]
    owner.advance(0)
    leading, following = (owner.answers[token] for token in tokens)
    assert leading.leader == following.leader == first
    assert [(m.member_id, m.metadata) for m in leading.members] == [
        (first, b"from first"),
        (second, b"from second"),
    ]
    assert following.members == []
    assert leading.protocol_type == following.protocol_type == "consumer"


def test_the_protocol_that_all_know_and_most_prefer_is_chosen(owner: Owner) -> None:
    wishes = [
        ("only mine", "range", "sticky"),
        ("sticky", "range"),
        ("sticky", "range"),
    ]
    ids = [owner.fresh_id() for _ in wishes]
    tokens = [
        owner.join(member_id, protocols=[(name, name.encode()) for name in names])
        for member_id, names in zip(ids, wishes, strict=True)
    ]
    owner.advance(0)
    assert {owner.answers[token].protocol_name for token in tokens} == {"sticky"}
    assert {m.metadata for m in owner.answers[tokens[0]].members} == {b"sticky"}


def test_of_equally_popular_protocols_the_eldest_member_decides(owner: Owner) -> None:
    ids = [owner.fresh_id(), owner.fresh_id()]
    owner.join(ids[0], protocols=[("range", b""), ("sticky", b"")])
    token = owner.join(ids[1], protocols=[("sticky", b""), ("range", b"")])
    owner.advance(0)
    assert owner.answers[token].protocol_name == "range"


def test_a_newcomer_to_a_stable_group_has_everyone_join_again(owner: Owner) -> None:
    (leader,) = owner.stable()
    newcomer = owner.fresh_id()
    assert owner.state() == "Stable"  # an id alone disturbs nobody
    waiting = owner.join(newcomer)
    assert owner.state() == "PreparingRebalance"
    assert waiting not in owner.answers
    rejoined = owner.join(leader)
    assert owner.answers[rejoined].generation_id == owner.answers[waiting].generation_id == 2


def test_a_member_that_does_not_rejoin_in_time_is_left_behind(owner: Owner) -> None:
    (leader,) = owner.stable(rebalance_ms=8_000)
    waiting = owner.join(owner.fresh_id(), rebalance_ms=8_000)
    owner.advance(7_999)
    assert waiting not in owner.answers
    owner.advance(1)
    answer = owner.answers[waiting]
    assert answer.leader == answer.member_id != leader
    assert owner.beat(leader, 2) == ErrorCode.UNKNOWN_MEMBER_ID


def test_a_follower_that_joins_again_unchanged_disturbs_nobody(owner: Owner) -> None:
    _, follower = owner.stable(2)
    answer = owner.answers[owner.join(follower)]
    assert (answer.error_code, answer.generation_id, answer.members) == (0, 1, [])
    assert owner.state() == "Stable"


def test_a_follower_with_a_new_subscription_begins_a_rebalance(owner: Owner) -> None:
    _, follower = owner.stable(2)
    owner.join(follower, protocols=[("range", b"more topics")])
    assert owner.state() == "PreparingRebalance"


def test_a_leader_that_joins_again_begins_a_rebalance(owner: Owner) -> None:
    leader, _ = owner.stable(2)
    owner.join(leader)
    assert owner.state() == "PreparingRebalance"


@pytest.mark.parametrize("place", [0, 1])
def test_who_asks_again_before_the_sync_is_told_the_same_again(owner: Owner, place: int) -> None:
    ids = owner.joined(2)
    answer = owner.answers[owner.join(ids[place])]
    assert (answer.generation_id, answer.leader) == (1, ids[0])
    assert len(answer.members) == (2 if place == 0 else 0)
    assert owner.state() == "CompletingRebalance"


def test_a_new_subscription_before_the_sync_begins_another_rebalance(owner: Owner) -> None:
    leader, follower = owner.joined(2)
    waiting = owner.sync(leader, 1)
    waiting = owner.sync(follower, 1)
    owner.join(follower, protocols=[("range", b"more topics")])
    assert owner.answers[waiting].error_code == 0  # the leader's empty assignment was stored
    assert owner.state() == "PreparingRebalance"


def test_those_who_wait_for_the_leader_join_again_if_another_rebalance_begins(
    owner: Owner,
) -> None:
    _, follower, other = owner.joined(3)
    waiting = owner.sync(follower, 1)
    owner.join(other, protocols=[("range", b"more topics")])
    assert owner.answers[waiting].error_code == ErrorCode.REBALANCE_IN_PROGRESS


def test_a_join_sent_twice_answers_the_lost_one_too(owner: Owner) -> None:
    (leader,) = owner.stable()
    newcomer = owner.fresh_id()
    lost = owner.join(newcomer)
    again = owner.join(newcomer)
    assert owner.answers[lost].error_code == ErrorCode.REBALANCE_IN_PROGRESS
    owner.join(leader)
    assert owner.answers[again].error_code == 0


def test_a_pending_id_with_an_instance_id_mixes_up_two_lives(owner: Owner) -> None:
    answer = owner.answers[owner.join(owner.fresh_id(), instance_id="one")]
    assert answer.error_code == ErrorCode.UNKNOWN_SERVER_ERROR


def test_a_full_group_lets_nobody_else_in(new_owner: NewOwner) -> None:
    owner = new_owner(GroupConfig(max_size=2))
    ids = owner.stable(2)
    answer = owner.answers[owner.join()]
    assert (answer.error_code, answer.member_id) == (ErrorCode.GROUP_MAX_SIZE_REACHED, "")
    assert owner.answers[owner.join(ids[1])].error_code == 0


def test_while_a_rebalance_is_prepared_the_first_to_join_stay(new_owner: NewOwner) -> None:
    owner = new_owner(GroupConfig(max_size=2))
    ids = [owner.fresh_id() for _ in range(3)]
    first, second = owner.join(ids[0]), owner.join(ids[1])
    late = owner.answers[owner.join(ids[2])]
    assert late.error_code == ErrorCode.GROUP_MAX_SIZE_REACHED
    again = owner.join(ids[1])  # who has joined already may ask once more
    owner.advance(0)
    assert owner.answers[second].error_code == ErrorCode.REBALANCE_IN_PROGRESS
    assert owner.answers[first].error_code == owner.answers[again].error_code == 0


def test_a_group_that_is_too_large_after_a_restart_shrinks(new_owner: NewOwner) -> None:
    before = new_owner()
    ids = before.stable(3, rebalance_ms=5_000)
    owner = before.restarted(GroupConfig(max_size=2))
    assert owner.state() == "PreparingRebalance"
    tokens = [owner.join(member_id, rebalance_ms=5_000) for member_id in ids]
    errors = [owner.answers[token].error_code for token in tokens]
    assert errors == [0, 0, ErrorCode.GROUP_MAX_SIZE_REACHED]


def test_the_first_rebalance_may_wait_for_stragglers(new_owner: NewOwner) -> None:
    owner = new_owner(GroupConfig(initial_rebalance_delay_ms=3_000))
    ids = [owner.fresh_id() for _ in range(3)]
    tokens = [owner.join(ids[0])]
    owner.advance(2_000)
    tokens.append(owner.join(ids[1]))
    owner.advance(3_999)
    assert not set(tokens) & owner.answers.keys()
    owner.advance(1)
    assert {owner.answers[token].generation_id for token in tokens} == {1}


def test_stragglers_hold_the_first_rebalance_open_no_longer_than_its_timeout(
    new_owner: NewOwner,
) -> None:
    owner = new_owner(GroupConfig(initial_rebalance_delay_ms=3_000))
    first = owner.join(owner.fresh_id(rebalance_ms=7_000), rebalance_ms=7_000)
    for _ in range(5):
        owner.advance(1_399)
        owner.join(owner.fresh_id(), rebalance_ms=7_000)
        assert first not in owner.answers
    owner.advance(5)
    assert owner.answers[first].error_code == 0


def test_nobody_waits_for_stragglers_but_in_the_first_rebalance(new_owner: NewOwner) -> None:
    owner = new_owner(GroupConfig(initial_rebalance_delay_ms=3_000))
    token = owner.join(member := owner.fresh_id())
    owner.advance(3_000)
    owner.sync(member, owner.answers[token].generation_id)
    again = owner.join(member)
    assert owner.answers[again].generation_id == 2


def test_a_newcomer_whose_client_is_gone_is_given_up_after_five_minutes(owner: Owner) -> None:
    (leader,) = owner.stable(rebalance_ms=3_600_000)
    gone = owner.join(version=3, session_ms=10_000)
    for _ in range(60):
        owner.advance(5_000)
        owner.beat(leader, 1)
    assert owner.answers[gone].error_code == ErrorCode.UNKNOWN_MEMBER_ID
    assert len(owner.describe().members) == 1


def test_a_group_that_cannot_be_recorded_does_not_come_into_being(owner: Owner) -> None:
    owner.disk_full = True
    answer = owner.answers[owner.join()]
    assert (answer.error_code, answer.member_id) == (ErrorCode.NOT_COORDINATOR, "")
    assert owner.state() == "Dead"


def test_a_join_that_waits_is_refused_if_its_group_cannot_be_recorded(owner: Owner) -> None:
    owner.disk_full = True
    token = owner.join(version=3)
    assert owner.answers[token].error_code == ErrorCode.NOT_COORDINATOR
    owner.disk_full = False
    owner.advance(3_600_000)
    assert owner.stable()

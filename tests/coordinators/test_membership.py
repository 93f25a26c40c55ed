"""SyncGroup, Heartbeat and LeaveGroup: what members may ask for, and the passing of time."""

from __future__ import annotations

from typing import Any

import pytest

from mq.errors import ErrorCode
from mq.wire.messages.heartbeat import HeartbeatRequest
from mq.wire.messages.leave_group import LeaveGroupRequest, MemberIdentity
from mq.wire.messages.sync_group import SyncGroupRequest

Owner = Any


def sync_error(owner: Owner, *args: Any, **how: Any) -> int:
    return int(owner.answers[owner.sync(*args, **how)].error_code)


def test_the_followers_wait_for_the_leader_and_are_told_what_it_decided(owner: Owner) -> None:
    leader, follower = owner.joined(2)
    waiting = owner.sync(follower, 1)
    assert waiting not in owner.answers
    leading = owner.sync(leader, 1, {leader: b"a", follower: b"b"})
    assert owner.answers[leading].assignment == b"a"
    assert owner.answers[waiting].assignment == b"b"
    assert owner.answers[waiting].protocol_name == "range"
    assert owner.state() == "Stable"


def test_an_assignment_is_stored_before_anyone_is_told(owner: Owner) -> None:
    leader, follower = owner.joined(2)
    waiting = owner.sync(follower, 1)
    leading = owner.sync(leader, 1, {leader: b"a", follower: b"b"})
    (effects,) = [each for each in owner.performed if len(each.replies) == 2 and each.append]
    assert {reply.token for reply in effects.replies} == {waiting, leading}
    assert {reply.token for reply in effects.otherwise} == {waiting, leading}


def test_a_member_that_the_leader_forgot_gets_an_empty_assignment(owner: Owner) -> None:
    leader, follower = owner.joined(2)
    owner.sync(leader, 1, {leader: b"a"})
    assert owner.answers[owner.sync(follower, 1)].assignment == b""


def test_an_assignment_that_cannot_be_stored_has_everyone_join_again(owner: Owner) -> None:
    leader, follower = owner.joined(2)
    waiting = owner.sync(follower, 1)
    owner.disk_full = True
    leading = owner.sync(leader, 1, {leader: b"a", follower: b"b"})
    for token in (waiting, leading):
        assert owner.answers[token].error_code == ErrorCode.NOT_COORDINATOR
        assert owner.answers[token].assignment == b""
    assert owner.beat(follower, 1) == ErrorCode.REBALANCE_IN_PROGRESS


def test_in_a_stable_group_everyone_may_ask_for_its_assignment_again(owner: Owner) -> None:
    ids = owner.stable(2)
    for member_id in ids:
        answer = owner.answers[owner.sync(member_id, 1)]
        assert answer.assignment == member_id.encode()


def test_a_sync_of_an_empty_group_id_is_refused_with_invalid_group_id(owner: Owner) -> None:
    assert sync_error(owner, "x", 1, group_id="") == ErrorCode.INVALID_GROUP_ID


def test_a_sync_of_an_unknown_group_is_one_of_an_unknown_member(owner: Owner) -> None:
    assert sync_error(owner, "x", 1) == ErrorCode.UNKNOWN_MEMBER_ID


def test_a_sync_of_an_unknown_member_is_refused(owner: Owner) -> None:
    owner.stable()
    assert sync_error(owner, "x", 1) == ErrorCode.UNKNOWN_MEMBER_ID


def test_a_sync_of_another_generation_is_refused(owner: Owner) -> None:
    (member,) = owner.stable()
    assert sync_error(owner, member, 2) == ErrorCode.ILLEGAL_GENERATION


@pytest.mark.parametrize("how", [{"protocol": "sticky"}, {"protocol_type": "connect"}])
def test_a_sync_that_names_another_protocol_is_refused(owner: Owner, how: Any) -> None:
    (member,) = owner.joined()
    assert sync_error(owner, member, 1, **how) == ErrorCode.INCONSISTENT_GROUP_PROTOCOL


@pytest.mark.parametrize("how", [{"protocol": None}, {"protocol_type": None}])
def test_since_v5_a_sync_must_name_its_protocol(owner: Owner, how: Any) -> None:
    (member,) = owner.joined()
    assert sync_error(owner, member, 1, **how) == ErrorCode.INCONSISTENT_GROUP_PROTOCOL
    nothing = {"protocol": None, "protocol_type": None}
    assert sync_error(owner, member, 1, version=4, **nothing) == ErrorCode.NONE


def test_a_sync_while_members_join_is_told_to_join(owner: Owner) -> None:
    leader, follower = owner.stable(2)
    owner.join(leader)
    assert sync_error(owner, follower, 1) == ErrorCode.REBALANCE_IN_PROGRESS


def test_a_sync_sent_twice_answers_the_lost_one_too(owner: Owner) -> None:
    leader, follower = owner.joined(2)
    lost, again = owner.sync(follower, 1), owner.sync(follower, 1)
    assert owner.answers[lost].error_code == ErrorCode.REBALANCE_IN_PROGRESS
    owner.sync(leader, 1, {follower: b"b"})
    assert owner.answers[again].assignment == b"b"


def test_members_that_never_sync_are_removed(owner: Owner) -> None:
    leader, slow = owner.joined(2, rebalance_ms=8_000, session_ms=30_000)
    owner.sync(leader, 1, {})
    owner.advance(7_999)
    assert owner.beat(slow, 1) == owner.beat(leader, 1) == ErrorCode.NONE
    owner.advance(1)
    assert owner.beat(slow, 1) == ErrorCode.UNKNOWN_MEMBER_ID
    assert owner.beat(leader, 1) == ErrorCode.REBALANCE_IN_PROGRESS


def test_if_the_leader_never_syncs_the_others_join_again(owner: Owner) -> None:
    leader, follower = owner.joined(2, rebalance_ms=12_000, session_ms=30_000)
    waiting = owner.sync(follower, 1)
    owner.advance(12_000)
    assert owner.answers[waiting].error_code == ErrorCode.REBALANCE_IN_PROGRESS
    assert owner.beat(leader, 1) == ErrorCode.UNKNOWN_MEMBER_ID


def test_whoever_waits_need_not_send_heartbeats(owner: Owner) -> None:
    (leader,) = owner.stable(rebalance_ms=60_000, session_ms=30_000)
    patient, other = owner.fresh_id(), owner.fresh_id()
    first = owner.join(patient, session_ms=6_000)
    owner.join(other, session_ms=30_000)
    owner.join(leader, session_ms=30_000)
    assert owner.answers[first].error_code == 0
    waiting = owner.sync(patient, 2)
    owner.advance(20_000)  # its session is over, but it cannot know before the leader comes
    owner.sync(leader, 2, {patient: b"p"})
    assert owner.answers[waiting].assignment == b"p"
    owner.advance(5_999)
    assert len(owner.describe().members) == 3
    owner.advance(1)
    assert len(owner.describe().members) == 2


def test_whoever_waited_in_vain_has_a_session_again(owner: Owner) -> None:
    leader, patient, other = owner.joined(3, rebalance_ms=60_000, session_ms=30_000)
    owner.join(patient, session_ms=6_000, protocols=[("range", b"new")])
    for member_id in (leader, other):
        owner.join(member_id, session_ms=30_000)
    waiting = owner.sync(patient, 2)
    owner.advance(20_000)
    owner.join(other, session_ms=30_000, protocols=[("range", b"new")])
    assert owner.answers[waiting].error_code == ErrorCode.REBALANCE_IN_PROGRESS
    owner.advance(5_999)
    assert len(owner.describe().members) == 3
    owner.advance(1)
    assert len(owner.describe().members) == 2


def test_a_rebalance_that_breaks_off_takes_back_what_was_assigned(owner: Owner) -> None:
    leader, follower = owner.stable(2)
    for member_id in (leader, follower):
        owner.join(member_id)
    assert owner.describe().members[1].member_assignment == follower.encode()
    owner.join(leader, protocols=[("range", b"new")])
    assert owner.state() == "PreparingRebalance"
    assert owner.describe().members[1].member_assignment == b""


def test_a_heartbeat_with_an_empty_group_id_is_refused(owner: Owner) -> None:
    assert owner.beat("x", 1, group_id="") == ErrorCode.INVALID_GROUP_ID


def test_a_heartbeat_of_an_unknown_group_or_member_is_refused(owner: Owner) -> None:
    assert owner.beat("x", 1) == ErrorCode.UNKNOWN_MEMBER_ID
    owner.stable()
    assert owner.beat("x", 1) == ErrorCode.UNKNOWN_MEMBER_ID


def test_a_heartbeat_of_another_generation_is_refused(owner: Owner) -> None:
    (member,) = owner.stable()
    assert owner.beat(member, 7) == ErrorCode.ILLEGAL_GENERATION


def test_a_heartbeat_learns_of_a_rebalance(owner: Owner) -> None:
    leader, follower = owner.stable(2)
    owner.join(leader)
    assert owner.beat(follower, 1) == ErrorCode.REBALANCE_IN_PROGRESS


def test_heartbeats_keep_a_member_and_their_absence_ends_it(owner: Owner) -> None:
    (member,) = owner.stable(session_ms=10_000)
    for _ in range(5):
        owner.advance(9_999)
        assert owner.beat(member, 1) == ErrorCode.NONE
    owner.advance(10_000)
    assert owner.state() == "Empty"
    assert owner.beat(member, 1) == ErrorCode.UNKNOWN_MEMBER_ID


def test_a_silent_member_is_removed_and_the_others_join_again(owner: Owner) -> None:
    leader, silent = owner.stable(2, session_ms=10_000)
    owner.advance(6_000)
    owner.beat(leader, 1)
    owner.advance(4_000)
    assert owner.beat(leader, 1) == ErrorCode.REBALANCE_IN_PROGRESS
    token = owner.join(leader)
    assert owner.answers[token].generation_id == 2
    assert [member.member_id for member in owner.answers[token].members] == [leader]
    assert owner.beat(silent, 2) == ErrorCode.UNKNOWN_MEMBER_ID


def test_a_pending_id_that_never_joins_holds_a_rebalance_up_for_its_session(owner: Owner) -> None:
    (leader,) = owner.stable(rebalance_ms=60_000)
    owner.fresh_id(session_ms=8_000)
    token = owner.join(leader, rebalance_ms=60_000)
    owner.advance(7_999)
    assert token not in owner.answers
    owner.advance(1)
    assert owner.answers[token].generation_id == 2


def test_a_pending_id_that_never_joins_disturbs_no_stable_group(owner: Owner) -> None:
    (member,) = owner.stable()
    owner.fresh_id(session_ms=6_000)
    owner.advance(6_000)
    assert owner.beat(member, 1) == ErrorCode.NONE


def test_members_leave_and_the_others_join_again(owner: Owner) -> None:
    leader, follower, other = owner.stable(3)
    assert owner.leave((follower, None), ("nobody", None)) == [0, ErrorCode.UNKNOWN_MEMBER_ID]
    assert owner.beat(follower, 1) == ErrorCode.UNKNOWN_MEMBER_ID
    assert owner.beat(leader, 1) == owner.beat(other, 1) == ErrorCode.REBALANCE_IN_PROGRESS


def test_a_group_is_empty_and_remembered_so_when_the_last_member_has_left(owner: Owner) -> None:
    (member,) = owner.stable()
    assert owner.leave((member, None)) == [0]
    assert owner.state() == owner.restarted().state() == "Empty"


def test_a_leave_that_cannot_be_stored_is_told_so(owner: Owner) -> None:
    (member,) = owner.stable()
    owner.disk_full = True
    answer = owner.ask(LeaveGroupRequest("g", members=[MemberIdentity(member)]), 5)
    assert answer.error_code == ErrorCode.NOT_COORDINATOR
    assert owner.state() == "Empty"


def test_who_leaves_while_it_waits_is_answered_before(owner: Owner) -> None:
    leader, follower, other = owner.joined(3)
    syncing = owner.sync(follower, 1)
    assert owner.leave((follower, None)) == [0]
    assert owner.answers[syncing].error_code == ErrorCode.UNKNOWN_MEMBER_ID
    joining = owner.join(other)
    assert owner.leave((other, None)) == [0]
    assert owner.answers[joining].error_code == ErrorCode.UNKNOWN_MEMBER_ID
    assert owner.answers[owner.join(leader)].generation_id == 2


def test_the_last_missing_member_that_leaves_ends_the_wait(owner: Owner) -> None:
    leader, follower = owner.stable(2)
    token = owner.join(leader)
    owner.leave((follower, None))
    assert owner.answers[token].generation_id == 2


def test_a_pending_id_may_leave(owner: Owner) -> None:
    pending = owner.fresh_id()
    assert owner.leave((pending, None)) == [0]
    assert owner.state() == "Empty"
    assert owner.answers[owner.join(pending)].error_code == ErrorCode.UNKNOWN_MEMBER_ID


def test_leaving_without_any_id_is_refused(owner: Owner) -> None:
    owner.stable()
    assert owner.leave(("", None)) == [ErrorCode.UNKNOWN_MEMBER_ID]


def test_a_leave_of_an_unknown_group_answers_each_member(owner: Owner) -> None:
    unknown = ErrorCode.UNKNOWN_MEMBER_ID
    assert owner.leave(("one", None), ("", "two")) == [unknown, unknown]


def test_a_leave_with_an_empty_group_id_is_refused(owner: Owner) -> None:
    answer = owner.ask(LeaveGroupRequest("", members=[MemberIdentity("x")]), 5)
    assert (answer.error_code, answer.members) == (ErrorCode.INVALID_GROUP_ID, [])


def test_up_to_v2_one_member_leaves_and_the_answer_is_its_own(owner: Owner) -> None:
    (member,) = owner.stable()
    gone = owner.ask(LeaveGroupRequest("g", member_id="nobody"), 2)
    assert gone.error_code == ErrorCode.UNKNOWN_MEMBER_ID
    assert owner.ask(LeaveGroupRequest("g", member_id=member), 1).error_code == 0
    assert owner.state() == "Empty"


def test_the_members_stay_away_while_the_join_phase_has_nobody(owner: Owner) -> None:
    """A first rebalance whose only member leaves ends in an empty group of the next generation."""
    joining = owner.join(version=3)
    member = owner.describe().members[0].member_id
    assert owner.leave((member, None)) == [0]
    assert owner.answers[joining].error_code == ErrorCode.UNKNOWN_MEMBER_ID
    owner.advance(1)
    assert owner.state() == "Empty"


@pytest.mark.parametrize(
    ("request_", "version"),
    [(SyncGroupRequest("g", 1, "x"), 0), (HeartbeatRequest("g", 1, "x"), 0)],
)
def test_the_oldest_versions_are_answered_too(owner: Owner, request_: Any, version: int) -> None:
    assert owner.ask(request_, version).error_code == ErrorCode.UNKNOWN_MEMBER_ID


def test_nonsense_timeouts_end_in_an_empty_group(owner: Owner) -> None:
    """Nobody checks rebalance timeouts, so a negative one must not have anyone wait, or spin."""
    token = owner.join(version=3, rebalance_ms=-5)
    owner.advance(0)
    assert owner.answers[token].error_code == 0
    owner.advance(1)
    assert owner.state() == "Empty"

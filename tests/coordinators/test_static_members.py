"""Static members (KIP-345): an instance id outlives the member ids of its process's lives."""

from __future__ import annotations

from typing import Any

from mq.errors import ErrorCode

Owner = Any


def static_group(owner: Owner, *instances: str, **how: Any) -> list[str]:
    """A stable group of static members; the first one leads."""
    tokens = [owner.join(instance_id=instance, **how) for instance in instances]
    owner.advance(0)
    ids = [owner.answers[token].member_id for token in tokens]
    for member_id in reversed(ids):
        owner.sync(member_id, 1, {each: each.encode() for each in ids})
    assert owner.state() == "Stable"
    return ids


def test_a_static_member_joins_at_once_under_its_instance_id(owner: Owner) -> None:
    (member,) = static_group(owner, "one")
    assert member.startswith("one-")
    (described,) = owner.describe().members
    assert (described.member_id, described.group_instance_id) == (member, "one")


def test_a_restarted_static_member_takes_its_place_without_a_rebalance(owner: Owner) -> None:
    leader, former = static_group(owner, "one", "two")
    answer = owner.answers[owner.join(instance_id="two")]
    assert (answer.error_code, answer.generation_id) == (0, 1)
    assert answer.member_id != former
    assert (answer.leader, answer.members, answer.skip_assignment) == (leader, [], False)
    assert owner.state() == "Stable"
    assigned = owner.answers[owner.sync(answer.member_id, 1, instance_id="two")]
    assert assigned.assignment == former.encode()


def test_a_takeover_is_shown_under_the_client_that_joined_first(owner: Owner) -> None:
    """As by Kafka: only the member id changes, until the next rebalance of that member."""
    static_group(owner, "one", client_id="first")
    owner.join(instance_id="one", client_id="second")
    assert owner.describe().members[0].client_id == "first"


def test_the_former_self_of_a_static_member_is_fenced(owner: Owner) -> None:
    _, former = static_group(owner, "one", "two")
    owner.join(instance_id="two")
    fenced = ErrorCode.FENCED_INSTANCE_ID
    assert owner.beat(former, 1, instance_id="two") == fenced
    assert owner.beat(former, 1) == ErrorCode.UNKNOWN_MEMBER_ID
    assert owner.leave((former, "two")) == [fenced]
    assert owner.answers[owner.join(former, instance_id="two")].error_code == fenced
    assert owner.answers[owner.sync(former, 1, instance_id="two")].error_code == fenced
    assert owner.commit(5, member_id=former, generation=1, instance_id="two") == fenced


def test_nothing_happens_when_the_session_of_a_former_self_would_have_ended(owner: Owner) -> None:
    leader, _ = static_group(owner, "one", "two", session_ms=10_000)
    owner.advance(6_000)
    successor = owner.answers[owner.join(instance_id="two", session_ms=10_000)].member_id
    owner.beat(leader, 1)
    owner.advance(6_000)
    assert owner.beat(leader, 1) == owner.beat(successor, 1) == ErrorCode.NONE
    owner.advance(9_999)
    assert owner.state() == "Stable"


def test_an_unknown_instance_id_is_an_unknown_member(owner: Owner) -> None:
    (member,) = static_group(owner, "one")
    assert owner.beat(member, 1, instance_id="two") == ErrorCode.UNKNOWN_MEMBER_ID


def test_since_v9_a_restarted_leader_is_told_not_to_assign(owner: Owner) -> None:
    static_group(owner, "one", "two")
    answer = owner.answers[owner.join(instance_id="one", version=9)]
    assert answer.leader == answer.member_id
    assert answer.skip_assignment
    assert {member.group_instance_id for member in answer.members} == {"one", "two"}


def test_before_v9_a_restarted_leader_takes_itself_for_a_follower(owner: Owner) -> None:
    former, _ = static_group(owner, "one", "two")
    answer = owner.answers[owner.join(instance_id="one", version=8)]
    assert answer.leader == former != answer.member_id
    assert answer.members == []
    owner.join(answer.member_id, instance_id="one")
    assert owner.state() == "PreparingRebalance"  # for it does lead


def test_the_new_id_of_a_static_member_survives_a_crash(owner: Owner) -> None:
    static_group(owner, "one", "two")
    successor = owner.answers[owner.join(instance_id="two")].member_id
    after = owner.restarted()
    assert after.beat(successor, 1, instance_id="two") == ErrorCode.NONE


def test_a_takeover_that_cannot_be_stored_leaves_the_former_self_in_place(owner: Owner) -> None:
    _, former = static_group(owner, "one", "two")
    owner.disk_full = True
    answer = owner.answers[owner.join(instance_id="two")]
    assert (answer.error_code, answer.member_id) == (ErrorCode.NOT_COORDINATOR, "")
    assert owner.beat(former, 1, instance_id="two") == ErrorCode.NONE
    owner.advance(9_999)
    assert owner.beat(former, 1, instance_id="two") == ErrorCode.NONE
    owner.advance(9_999)
    assert former in {member.member_id for member in owner.describe().members}


def test_a_takeover_that_changes_the_protocol_begins_a_rebalance(owner: Owner) -> None:
    both = [("range", b""), ("sticky", b"")]
    leader, former = static_group(owner, "one", "two", protocols=both)
    token = owner.join(instance_id="two", protocols=[("sticky", b"")])
    assert owner.state() == "PreparingRebalance"
    owner.join(leader, instance_id="one", protocols=both)
    assert owner.answers[token].protocol_name == "sticky"
    assert former not in {member.member_id for member in owner.describe().members}


def test_a_takeover_before_the_sync_begins_a_rebalance(owner: Owner) -> None:
    tokens = [owner.join(instance_id="one"), owner.join(instance_id="two")]
    owner.advance(0)
    former = owner.answers[tokens[1]].member_id
    waiting = owner.sync(former, 1, instance_id="two")
    owner.join(instance_id="two")
    assert owner.answers[waiting].error_code == ErrorCode.FENCED_INSTANCE_ID
    assert owner.state() == "PreparingRebalance"


def test_a_takeover_while_members_join_answers_the_former_self(owner: Owner) -> None:
    leader, _ = static_group(owner, "one", "two")
    owner.join(leader, instance_id="one")
    former = owner.join(instance_id="two")  # ends the wait: both have joined
    assert owner.answers[former].generation_id == 2
    owner.join(leader, instance_id="one", protocols=[("range", b"again")])
    lost = owner.join(owner.answers[former].member_id, instance_id="two", version=6)
    assert owner.answers[lost].generation_id == 3


def test_a_lost_join_of_a_former_self_is_fenced(owner: Owner) -> None:
    leader, former = static_group(owner, "one", "two")
    lost = owner.join(leader, instance_id="one", version=6)
    again = owner.join(instance_id="one")
    answer = owner.answers[lost]
    assert answer.error_code == ErrorCode.FENCED_INSTANCE_ID
    assert (answer.member_id, answer.protocol_name) == (leader, "")
    assert owner.leave((former, "two")) == [0]
    assert owner.answers[again].generation_id == 2


def test_static_members_keep_their_place_over_a_rebalance_they_miss(owner: Owner) -> None:
    how = {"rebalance_ms": 6_000, "session_ms": 30_000}
    leader, away = static_group(owner, "one", "two", **how)
    token = owner.join(leader, instance_id="one", **how)
    owner.advance(6_000)
    members = {member.member_id for member in owner.answers[token].members}
    assert members == {leader, away}


def test_without_anyone_joining_the_rebalance_waits_for_sessions_to_end(owner: Owner) -> None:
    how = {"rebalance_ms": 6_000, "session_ms": 30_000}
    static_group(owner, "one", "two", **how)
    dynamic = owner.fresh_id(session_ms=10_000)
    waiting = owner.join(dynamic, **how)
    owner.leave((dynamic, None))
    assert owner.answers[waiting].error_code == ErrorCode.UNKNOWN_MEMBER_ID
    owner.advance(29_000)
    assert owner.state() == "PreparingRebalance"
    owner.advance(2_000)
    assert owner.state() == "Empty"


def test_a_leader_that_misses_the_rebalance_is_replaced_by_one_who_joined(owner: Owner) -> None:
    how = {"rebalance_ms": 6_000, "session_ms": 30_000}
    former_leader, follower = static_group(owner, "one", "two", **how)
    token = owner.join(follower, instance_id="two", protocols=[("range", b"new")], **how)
    owner.advance(6_000)
    answer = owner.answers[token]
    assert answer.leader == follower != former_leader
    assert len(answer.members) == 2


def test_an_administrator_removes_a_member_by_its_instance_id(owner: Owner) -> None:
    _, _ = static_group(owner, "one", "two")
    assert owner.leave(("", "two"), ("", "three")) == [0, ErrorCode.UNKNOWN_MEMBER_ID]
    assert owner.state() == "PreparingRebalance"
    assert len(owner.describe().members) == 1


def test_who_takes_over_before_asking_for_its_share_must_still_ask(owner: Owner) -> None:
    how = {"rebalance_ms": 6_000, "session_ms": 30_000}
    tokens = [owner.join(instance_id=each, **how) for each in ("one", "two")]
    owner.advance(0)
    leader = owner.answers[tokens[0]].member_id
    owner.sync(leader, 1, {})
    successor = owner.answers[owner.join(instance_id="two", **how)].member_id
    owner.sync(successor, 1, instance_id="two")
    owner.advance(6_000)
    assert owner.state() == "Stable"


def test_a_static_member_that_stays_away_for_its_session_is_removed(owner: Owner) -> None:
    leader, _ = static_group(owner, "one", "two", session_ms=30_000)
    owner.advance(20_000)
    owner.beat(leader, 1)
    owner.advance(10_000)
    assert len(owner.describe().members) == 1

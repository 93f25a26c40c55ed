"""DescribeGroups, ListGroups, DeleteGroups, and the expiry of what nobody needs any more."""

from __future__ import annotations

from typing import Any

import pytest

from mq.coordinators import group_expiry
from mq.errors import ErrorCode
from mq.wire.messages.delete_groups import DeleteGroupsRequest
from mq.wire.messages.describe_groups import DescribeGroupsRequest
from mq.wire.messages.list_groups import ListGroupsRequest

Owner = Any
WEEK_MS = 7 * 24 * 60 * 60 * 1_000
CHECK_MS = 600_000
TO_NOTHING = b"\x00\x00" + b"\x00\x00\x00\x00" + b"\xff\xff\xff\xff"
TO_ORDERS = b"\x00\x00" + b"\x00\x00\x00\x01" + b"\x00\x06orders" + b"\xff\xff\xff\xff"


def listed(owner: Owner, states: Any = (), kinds: Any = ()) -> list[str]:
    answer = owner.ask(ListGroupsRequest(list(states), list(kinds)), 5)
    return sorted(group.group_id for group in answer.groups)


def delete(owner: Owner, *group_ids: str) -> dict[str, int]:
    results = owner.ask(DeleteGroupsRequest(list(group_ids)), 2).results
    return {result.group_id: result.error_code for result in results}


def keep_alive(owner: Owner, member_id: str, milliseconds: int) -> None:
    for _ in range(milliseconds // 1_000_000):
        owner.advance(1_000_000)
        assert owner.beat(member_id, 1) == ErrorCode.NONE


def test_a_stable_group_is_described_with_all_it_knows(owner: Owner) -> None:
    leader, follower = owner.stable(2, client_id="billing")
    described = owner.describe()
    assert (described.group_state, described.protocol_type) == ("Stable", "consumer")
    assert described.protocol_data == "range"
    assert [member.member_id for member in described.members] == [leader, follower]
    member = described.members[0]
    assert (member.client_id, member.client_host) == ("billing", "/127.0.0.1")
    assert (member.member_metadata, member.member_assignment) == (b"subscription", leader.encode())
    assert described.authorized_operations == -(2**31)


def test_a_group_between_two_states_is_described_without_metadata(owner: Owner) -> None:
    owner.joined()
    described = owner.describe()
    assert (described.group_state, described.protocol_data) == ("CompletingRebalance", "")
    assert described.members[0].member_metadata == b""


@pytest.mark.parametrize(("version", "error"), [(5, 0), (6, ErrorCode.GROUP_ID_NOT_FOUND)])
def test_an_unknown_group_is_dead_and_since_v6_not_found(
    owner: Owner, version: int, error: int
) -> None:
    described = owner.ask(DescribeGroupsRequest(["nobody"]), version).groups[0]
    assert (described.group_state, described.error_code) == ("Dead", error)
    assert described.error_message == ("Group nobody not found." if error else None)


def test_all_operations_are_authorized_as_long_as_nothing_restricts_access(owner: Owner) -> None:
    owner.stable()
    request = DescribeGroupsRequest(["g", "nobody"], include_authorized_operations=True)
    known, unknown = owner.ask(request, 6).groups
    assert (known.authorized_operations, unknown.authorized_operations) == (3_400, -(2**31))


def test_groups_are_listed_by_state_and_kind_whatever_the_case(owner: Owner) -> None:
    owner.stable(group_id="stable")
    owner.commit(1, group_id="simple")
    assert listed(owner) == ["simple", "stable"]
    assert listed(owner, states=["STABLE "]) == ["stable"]
    assert listed(owner, states=["empty", "Dead"]) == ["simple"]
    assert listed(owner, kinds=["Classic"]) == ["simple", "stable"]
    assert listed(owner, kinds=["share"]) == listed(owner, states=["nonsense"]) == []
    (group,) = [
        group for group in owner.ask(ListGroupsRequest(), 5).groups if group.group_id == "stable"
    ]
    assert (group.protocol_type, group.group_state, group.group_type) == (
        "consumer",
        "Stable",
        "classic",
    )
    assert owner.ask(ListGroupsRequest(), 0).groups


def test_a_broker_without_groups_lists_none(owner: Owner) -> None:
    assert listed(owner) == []


def test_an_empty_group_is_deleted_with_its_offsets(owner: Owner) -> None:
    (member,) = owner.stable()
    owner.commit(5, member_id=member, generation=1)
    assert delete(owner, "g") == {"g": ErrorCode.NON_EMPTY_GROUP}
    owner.leave((member, None))
    assert delete(owner, "g", "nobody", "g") == {"g": 0, "nobody": ErrorCode.GROUP_ID_NOT_FOUND}
    for each in (owner, owner.restarted()):
        assert (each.state(), each.committed()) == ("Dead", -1)


def test_deleting_a_group_forgets_the_ids_it_handed_out(owner: Owner) -> None:
    pending = owner.fresh_id()
    assert delete(owner, "g") == {"g": 0}
    owner.advance(60_000)
    assert owner.answers[owner.join(pending)].error_code == ErrorCode.UNKNOWN_MEMBER_ID


def test_of_several_deletions_only_those_fail_that_could_not_be_stored(owner: Owner) -> None:
    for group_id in ("a", "b"):
        owner.commit(1, group_id=group_id)
    perform = owner.perform

    def perform_with_one_bad_disk(steps: Any) -> None:
        for step in steps:
            owner.disk_full = step.partition == owner.coordinator.partition_for("a")
            perform([step])
        owner.disk_full = False

    owner.perform = perform_with_one_bad_disk
    assert delete(owner, "a", "b") == {"a": ErrorCode.NOT_COORDINATOR, "b": 0}
    assert (owner.state("a"), owner.committed("a")) == ("Empty", 1)
    assert owner.state("b") == "Dead"


def test_the_offsets_of_an_empty_group_expire_a_week_after_its_last_member_left(
    owner: Owner,
) -> None:
    (member,) = owner.stable(session_ms=1_800_000)
    owner.commit(5, member_id=member, generation=1)
    keep_alive(owner, member, WEEK_MS)
    owner.leave((member, None))
    owner.advance(WEEK_MS - CHECK_MS)
    assert owner.committed() == 5
    owner.advance(2 * CHECK_MS)
    assert (owner.committed(), owner.state()) == (-1, "Dead")
    assert owner.restarted().state() == "Dead"


def test_an_offset_committed_to_an_empty_group_counts_from_its_commit(owner: Owner) -> None:
    (member,) = owner.stable()
    owner.leave((member, None))
    owner.commit(1, partition=1)
    owner.advance(WEEK_MS - 1)
    owner.commit(5)
    owner.advance(WEEK_MS - CHECK_MS)
    assert (owner.committed(), owner.committed(partition=1)) == (5, -1)
    owner.advance(2 * CHECK_MS)
    assert owner.committed() == -1


def test_offsets_of_a_group_that_never_had_members_count_from_their_commits(owner: Owner) -> None:
    owner.commit(5)
    owner.advance(WEEK_MS // 2)
    owner.commit(6, partition=1)
    owner.advance(WEEK_MS // 2 + CHECK_MS)
    assert (owner.committed(), owner.committed(partition=1)) == (-1, 6)


@pytest.mark.parametrize(
    ("subscription", "left"), [(TO_NOTHING, -1), (TO_ORDERS, 5), (b"unreadable", 5)]
)
def test_of_a_living_group_only_offsets_expire_that_nobody_is_subscribed_to(
    owner: Owner, subscription: bytes, left: int
) -> None:
    (member,) = owner.stable(protocols=[("range", subscription)], session_ms=1_800_000)
    owner.commit(5, member_id=member, generation=1)
    keep_alive(owner, member, WEEK_MS + 2_000_000)
    assert (owner.committed(), owner.state()) == (left, "Stable")


def test_offsets_of_a_living_group_that_does_not_consume_never_expire(owner: Owner) -> None:
    (member,) = owner.joined(protocol_type="connect", session_ms=1_800_000)
    owner.sync(member, 1, {}, protocol_type="connect")
    owner.commit(5, member_id=member, generation=1)
    keep_alive(owner, member, WEEK_MS + 2_000_000)
    assert owner.committed() == 5


def test_a_group_that_has_nothing_left_goes_at_the_next_check(owner: Owner) -> None:
    (member,) = owner.stable()
    owner.leave((member, None))
    owner.advance(CHECK_MS)
    assert owner.state() == "Dead"


def test_a_group_that_expects_a_member_is_not_taken_away_from_it(owner: Owner) -> None:
    owner.advance(CHECK_MS - 1)
    pending = owner.fresh_id()
    owner.advance(1)
    token = owner.join(pending)
    owner.advance(0)
    assert owner.answers[token].error_code == 0


def test_an_expiry_that_cannot_be_stored_is_tried_again(owner: Owner) -> None:
    owner.commit(5)
    owner.disk_full = True
    owner.advance(WEEK_MS + CHECK_MS)
    assert owner.committed() == 5
    owner.disk_full = False
    owner.advance(CHECK_MS)
    assert owner.committed() == -1


def test_many_offsets_are_looked_through_in_short_steps(
    owner: Owner, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(10):
        owner.commit(1, group_id=f"g{number}")
    owner.advance(WEEK_MS - 1)
    monkeypatch.setattr(group_expiry, "_OFFSETS_PER_SWEEP", 4)
    owner.advance(1)
    left = listed(owner)
    assert len(left) == 8  # two groups of one offset each
    assert delete(owner, left[0]) == {left[0]: 0}  # a group may go while it waits for its turn
    owner.advance(10)
    assert listed(owner) == []


def test_an_error_in_one_group_takes_nothing_away_from_the_others(owner: Owner) -> None:
    """There is none that a client could cause; so one group is given a type that is too long."""
    for group_id in ("a", "b", "c"):
        owner.stable(group_id=group_id)
    owner.coordinator._groups["b"].protocol_type = "x" * 40_000
    with pytest.raises(ValueError, match="cannot be written"):
        owner.advance(10_000)
    owner.advance(0)
    assert [owner.state(group_id) for group_id in ("a", "c")] == ["Empty", "Empty"]


def test_an_error_in_one_group_does_not_end_the_expiry_of_the_others(
    owner: Owner, monkeypatch: pytest.MonkeyPatch
) -> None:
    for group_id in ("a", "b", "c"):
        owner.commit(5, group_id=group_id)
    owner.advance(WEEK_MS - 1)
    monkeypatch.setattr(owner.coordinator._groups["b"], "subscribes", None)
    with pytest.raises(TypeError):
        owner.advance(2)
    assert [owner.committed(group_id) for group_id in ("a", "b", "c")] == [5, 5, -1]
    owner.advance(CHECK_MS)
    assert [owner.committed(group_id) for group_id in ("a", "b", "c")] == [-1, 5, -1]

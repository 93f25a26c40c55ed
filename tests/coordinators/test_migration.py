"""A service goes over to the consumer protocol and back while it works (KIP-848)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from mq.coordinators.group_config import GroupConfig
from mq.errors import ErrorCode
from mq.wire import schema
from mq.wire.messages.consumer_protocol import (
    ConsumerProtocolAssignment,
    ConsumerProtocolSubscription,
    TopicPartition,
)
from mq.wire.messages.sync_group import SyncGroupRequest

Owner = Any
NewOwner = Callable[..., Owner]


def wish(owned: tuple[int, ...] = (), topics: tuple[str, ...] = ("orders",)) -> Any:
    """The protocols of a classic consumer that owns these partitions of ``orders``."""
    listed = [TopicPartition("orders", list(owned))] if owned else []
    subscription = ConsumerProtocolSubscription(list(topics), None, listed)
    metadata = b"\x00\x01" + schema.encode(subscription, 1)
    return [("cooperative-sticky", metadata), ("range", metadata)]


def share(*partitions: int) -> bytes:
    """An assignment as a leader writes it."""
    listed = [TopicPartition("orders", list(partitions))] if partitions else []
    return b"\x00\x01" + schema.encode(ConsumerProtocolAssignment(listed), 1)


def read(assignment: bytes) -> list[int]:
    """The partitions of ``orders`` in an assignment."""
    decoded, _ = schema.decode(ConsumerProtocolAssignment, assignment, 1, 2)
    return [p for each in decoded.assigned_partitions for p in each.partitions]


def classic_pair(owner: Owner) -> list[str]:
    """Two stable members of a classic group, the leader first, with four partitions each."""
    ids: list[str] = owner.joined(2, protocols=wish(), rebalance_ms=30_000)
    shares = {ids[0]: share(0, 1, 2, 3), ids[1]: share(4, 5, 6, 7)}
    owner.sync(ids[0], 1, shares, protocol="cooperative-sticky")
    owner.sync(ids[1], 1, protocol="cooperative-sticky")
    assert owner.state() == "Stable"
    return ids


def partitions(answer: Any) -> list[int]:
    return [p for each in answer.assignment.topic_partitions for p in each.partitions]


def rejoin(owner: Owner, member_id: str, owned: tuple[int, ...]) -> tuple[int, list[int]]:
    """A classic member goes through Join and Sync; its generation and assignment."""
    token = owner.join(member_id, protocols=wish(owned), rebalance_ms=30_000)
    answer = owner.answers[token]
    assert (answer.error_code, answer.leader, answer.members) == (0, "", [])
    assert answer.protocol_name == "cooperative-sticky"
    token = owner.sync(member_id, answer.generation_id, protocol="cooperative-sticky")
    assert owner.answers[token].error_code == 0
    return answer.generation_id, read(owner.answers[token].assignment)


def test_the_first_heartbeat_makes_a_classic_group_a_consumer_group(owner: Owner) -> None:
    first, second = classic_pair(owner)
    owner.commit(7, member_id=first, generation=1)
    joined = owner.heartbeat("new", 0)
    assert (joined.error_code, joined.member_epoch, partitions(joined)) == (0, 2, [])
    group = owner.consumer_group()
    assert (group.group_state, group.group_epoch) == ("Reconciling", 2)
    types = {member.member_id: member.member_type for member in group.members}
    assert types == {first: 0, second: 0, "new": 1}
    assert owner.owned() == {first: [0, 1, 2, 3], second: [4, 5, 6, 7], "new": []}
    assert owner.committed() == 7


def test_classic_members_hand_over_what_is_not_theirs_any_more(owner: Owner) -> None:
    first, second = classic_pair(owner)
    owner.heartbeat("new", 0)
    for member_id in (first, second):
        owned = tuple(owner.owned()[member_id])
        assert owner.beat(member_id, 1) == ErrorCode.REBALANCE_IN_PROGRESS
        generation, keep = rejoin(owner, member_id, owned)
        assert generation == 1  # it has something to give up first
        assert set(keep) < set(owned)
        assert owner.beat(member_id, 1) == ErrorCode.REBALANCE_IN_PROGRESS
        assert rejoin(owner, member_id, tuple(keep)) == (2, keep)
        assert owner.beat(member_id, 2) == ErrorCode.NONE
    got = partitions(owner.heartbeat("new", 2))
    assert sorted(p for each in owner.owned().values() for p in each) == list(range(8))
    assert len(got) == 2
    assert owner.consumer_group().group_state == "Stable"
    assert owner.commit(1, member_id=first, generation=2, version=8) == 0
    assert owner.commit(1, member_id=first, generation=3) == ErrorCode.ILLEGAL_GENERATION


def test_a_classic_member_is_sent_for_more_once_it_is_free(owner: Owner) -> None:
    owner.heartbeat("new", 0)
    member_id = owner.fresh_id(protocols=wish())
    generation, got = rejoin(owner, member_id, ())
    assert got == []
    assert owner.beat(member_id, generation) == ErrorCode.NONE
    kept = partitions(owner.heartbeat("new", 2))
    orders = owner.topics.ids["orders"]
    owner.heartbeat("new", 2, owned=[(orders, p) for p in kept])
    assert owner.beat(member_id, generation) == ErrorCode.REBALANCE_IN_PROGRESS
    assert sorted([*rejoin(owner, member_id, ())[1], *kept]) == list(range(8))


def test_when_the_last_of_the_consumer_protocol_leaves_the_group_is_classic_again(
    owner: Owner,
) -> None:
    first, second = classic_pair(owner)
    owner.heartbeat("new", 0)
    owner.commit(7, member_id=first, generation=1)
    assert owner.heartbeat("new", -1).error_code == 0
    described = owner.describe()
    assert (described.error_code, described.group_state) == (0, "PreparingRebalance")
    assert owner.consumer_group().error_code == ErrorCode.GROUP_ID_NOT_FOUND
    assert owner.beat(first, 2) == ErrorCode.REBALANCE_IN_PROGRESS
    tokens = [owner.join(each, protocols=wish()) for each in (first, second)]
    answers = [owner.answers[token] for token in tokens]
    assert [answer.generation_id for answer in answers] == [3, 3]
    assert len(answers[0].members) + len(answers[1].members) == 2
    assert owner.committed() == 7


def test_the_death_of_the_last_one_has_the_same_effect(owner: Owner) -> None:
    first, second = classic_pair(owner)
    owner.heartbeat("new", 0)
    for _ in range(9):
        owner.advance(5_000)
        owner.beat(first, 1)
        owner.beat(second, 1)
        if owner.describe().error_code:
            rejoin(owner, first, tuple(owner.owned()[first]))
            rejoin(owner, second, tuple(owner.owned()[second]))
    assert owner.describe().group_state == "PreparingRebalance"


def test_after_a_crash_a_group_on_its_way_down_goes_on(owner: Owner) -> None:
    """Were it at rest then, nobody would assign what the one who left had."""
    first, second = classic_pair(owner)
    owner.heartbeat("new", 0)
    owner.heartbeat("new", -1)
    after = owner.restarted()
    assert after.state() == "PreparingRebalance"
    assert after.beat(first, 2) == ErrorCode.REBALANCE_IN_PROGRESS
    tokens = [after.join(each, protocols=wish()) for each in (first, second)]
    assert [after.answers[token].generation_id for token in tokens] == [3, 3]


def test_who_turns_round_on_the_way_down_gets_nothing_that_another_still_has(
    owner: Owner,
) -> None:
    first, second = classic_pair(owner)
    owner.heartbeat("new", 0)
    owner.heartbeat("new", -1)
    again = owner.heartbeat("newer", 0)
    assert (again.error_code, partitions(again)) == (0, [])
    assert owner.owned() == {first: [0, 1, 2, 3], second: [4, 5, 6, 7], "newer": []}


def test_what_members_say_they_own_counts_while_there_is_no_assignment(owner: Owner) -> None:
    first, second = classic_pair(owner)
    for member_id, owned in ((first, (0, 1, 2)), (second, (4, 5))):
        owner.join(member_id, protocols=wish(owned))
    third = owner.fresh_id(protocols=wish())
    owner.join(third, protocols=wish())  # a second rebalance before the first has ended
    got = partitions(owner.heartbeat("new", 0))
    assert set(got) <= {3, 6, 7}
    assert {p for each in (first, second) for p in owner.owned()[each]} == {0, 1, 2, 4, 5}


def test_a_crash_in_the_middle_of_the_way_up_changes_nothing(owner: Owner) -> None:
    first, _ = classic_pair(owner)
    owner.heartbeat("new", 0)
    before = owner.consumer_group()
    after = owner.restarted()
    assert after.consumer_group() == before
    assert after.beat(first, 1) == ErrorCode.REBALANCE_IN_PROGRESS
    assert rejoin(after, first, (0, 1, 2, 3))[0] == 1


@pytest.mark.parametrize("down", [False, True])
def test_a_conversion_that_cannot_be_stored_did_not_happen(owner: Owner, down: bool) -> None:
    first, second = classic_pair(owner)
    if down:
        owner.heartbeat("new", 0)
    before = owner.consumer_group() if down else owner.describe()
    owner.disk_full = True
    refused = owner.heartbeat("new", -1 if down else 0)
    assert refused.error_code == ErrorCode.NOT_COORDINATOR
    owner.disk_full = False
    assert (owner.consumer_group() if down else owner.describe()) == before
    assert owner.beat(first, 1) == owner.beat(second, 1)
    owner.advance(44_999)
    assert owner.heartbeat("new", -1 if down else 0).error_code == 0


def test_the_epoch_goes_on_from_the_generation_whoever_is_left(owner: Owner) -> None:
    first, second = classic_pair(owner)
    third = owner.fresh_id(protocols=wish())
    owner.join(third, protocols=wish())  # it is never told a generation
    owner.leave((first, None), (second, None))
    generation = owner.coordinator._groups["g"].generation
    answer = owner.heartbeat("new", 0)
    assert answer.member_epoch > generation >= 1


def test_those_who_wait_in_the_middle_of_a_classic_rebalance_are_told_to_join_again(
    owner: Owner,
) -> None:
    first, second = classic_pair(owner)
    token = owner.join(first, protocols=wish((0,)))
    assert token in owner.open
    third = owner.fresh_id(protocols=wish())
    waiting = owner.join(third, protocols=wish())
    owner.heartbeat("new", 0)
    for each in (token, waiting):
        assert owner.answers[each].error_code == ErrorCode.REBALANCE_IN_PROGRESS
    assert set(owner.owned()) == {first, second, "new"}
    generation, _ = rejoin(owner, third, ())
    assert generation == 3


def test_a_static_classic_member_is_succeeded_by_one_of_the_consumer_protocol(
    owner: Owner,
) -> None:
    token = owner.join(instance_id="one", protocols=wish())
    owner.advance(0)
    former = owner.answers[token].member_id
    owner.sync(former, 1, {former: share(*range(8))}, protocol="cooperative-sticky")
    answer = owner.heartbeat("new", 0, instance_id="one")
    assert (answer.error_code, partitions(answer)) == (0, list(range(8)))
    assert owner.beat(former, 1, instance_id="one") == ErrorCode.FENCED_INSTANCE_ID
    assert list(owner.owned()) == ["new"]


def test_a_static_member_that_goes_back_takes_the_group_with_it(owner: Owner) -> None:
    first, _ = classic_pair(owner)
    owner.heartbeat("new", 0, instance_id="one")
    token = owner.join(instance_id="one", protocols=wish())
    assert owner.describe().group_state == "PreparingRebalance"
    owner.join(first, protocols=wish())
    owner.advance(30_000)
    assert owner.answers[token].error_code == 0
    assert owner.answers[token].generation_id == 3


def test_a_static_member_that_goes_back_among_others_takes_its_place(owner: Owner) -> None:
    owner.heartbeat("stays", 0)
    owner.heartbeat("goes", 0, instance_id="one")
    token = owner.join(instance_id="one", protocols=wish())
    answer = owner.answers[token]
    assert answer.error_code == 0
    members = {m.instance_id: m for m in owner.consumer_group().members}
    assert (members["one"].member_id, members["one"].member_type) == (answer.member_id, 0)
    again = owner.join("other", instance_id="one", protocols=wish())
    assert owner.answers[again].error_code == ErrorCode.FENCED_INSTANCE_ID
    unknown = owner.join("other", instance_id="two", protocols=wish())
    assert owner.answers[unknown].error_code == ErrorCode.UNKNOWN_MEMBER_ID


@pytest.mark.parametrize("consumer_first", [True, False])
def test_an_empty_group_becomes_what_its_next_member_speaks(
    owner: Owner, consumer_first: bool
) -> None:
    if consumer_first:
        owner.heartbeat("a", 0)
        owner.heartbeat("a", -1)
        owner.commit(7)
        owner.disk_full = True
        refused = owner.join(version=3, protocols=wish())
        owner.disk_full = False
        assert owner.answers[refused].error_code == ErrorCode.NOT_COORDINATOR
        assert owner.consumer_group().group_state == "Empty"
        owner.stable()
        assert owner.restarted().state() == "Stable"
    else:
        (member,) = owner.stable()
        owner.leave((member, None))
        owner.commit(7)
        assert owner.heartbeat("a", 0).error_code == 0
        assert owner.restarted().consumer_group().group_state == "Stable"
    assert owner.committed() == 7


def test_a_simple_group_becomes_a_consumer_group(owner: Owner) -> None:
    owner.commit(7)
    assert owner.heartbeat("a", 0).error_code == 0
    assert owner.restarted().committed() == 7


def test_classic_requests_to_a_consumer_group_are_checked(owner: Owner) -> None:
    owner.heartbeat("new", 0)
    other = owner.join(protocols=[("range", b"?")], protocol_type="connect", version=3)
    assert owner.answers[other].error_code == ErrorCode.INCONSISTENT_GROUP_PROTOCOL
    malformed = owner.join(protocols=[("range", b"?")], version=3)
    assert owner.answers[malformed].error_code == ErrorCode.UNKNOWN_SERVER_ERROR
    old = owner.answers[owner.join(protocols=wish(), version=3)]
    assert (old.error_code, old.generation_id) == (0, 3)
    sticky = owner.join(protocols=[("sticky", wish()[0][1])], version=3)
    assert owner.answers[sticky].error_code == ErrorCode.INCONSISTENT_GROUP_PROTOCOL
    assert owner.beat("new", 3) == ErrorCode.UNKNOWN_MEMBER_ID
    assert owner.beat("nobody", 3) == ErrorCode.UNKNOWN_MEMBER_ID
    assert owner.beat(old.member_id, 9) == ErrorCode.ILLEGAL_GENERATION
    request = SyncGroupRequest("g", 3, old.member_id, protocol_type="consumer", protocol_name="x")
    assert owner.ask(request, 5).error_code == ErrorCode.INCONSISTENT_GROUP_PROTOCOL
    owner.heartbeat("newer", 0)
    late = owner.sync(old.member_id, 3, protocol="cooperative-sticky")
    assert owner.answers[late].error_code == ErrorCode.REBALANCE_IN_PROGRESS


def test_a_classic_member_that_is_told_to_join_and_does_not_is_put_out(owner: Owner) -> None:
    first, second = classic_pair(owner)
    owner.heartbeat("new", 0)
    assert owner.beat(first, 1) == ErrorCode.REBALANCE_IN_PROGRESS
    for _ in range(3):
        owner.advance(9_000)
        owner.beat(first, 1)
        owner.beat(second, 1)
        owner.heartbeat("new", 2)
    owner.advance(3_000)
    assert first not in owner.owned()


def test_a_classic_member_that_joins_and_never_asks_for_its_share_is_put_out(owner: Owner) -> None:
    owner.heartbeat("new", 0)
    member_id = owner.fresh_id(protocols=wish())
    owner.join(member_id, protocols=wish(), rebalance_ms=5_000)
    owner.advance(5_000)
    assert list(owner.owned()) == ["new"]


def test_a_group_that_would_be_too_large_stays_as_it_is(new_owner: NewOwner) -> None:
    owner = new_owner(GroupConfig(consumer_max_size=2))
    classic_pair(owner)
    refused = owner.heartbeat("new", 0)
    assert refused.error_code == ErrorCode.GROUP_MAX_SIZE_REACHED
    assert owner.state() == "Stable"
    owner = new_owner(GroupConfig(consumer_max_size=1))
    owner.heartbeat("new", 0)
    full = owner.join(protocols=wish())
    assert owner.answers[full].error_code == ErrorCode.GROUP_MAX_SIZE_REACHED


def test_a_leader_that_assigns_twice_is_put_right(owner: Owner) -> None:
    first, second = owner.joined(2, protocols=wish())
    shares = {first: share(0, 1), second: share(1, 2)}
    owner.sync(first, 1, shares, protocol="cooperative-sticky")
    owner.sync(second, 1, protocol="cooperative-sticky")
    owner.heartbeat("new", 0)
    given = [p for each in owner.owned().values() for p in each]
    assert len(given) == len(set(given))
    assert {0, 1, 2} <= set(given)


def test_members_that_cannot_be_understood_keep_their_group(owner: Owner) -> None:
    owner.stable(protocols=[("range", b"?")])
    refused = owner.heartbeat("new", 0)
    assert refused.error_code == ErrorCode.GROUP_ID_NOT_FOUND
    assert owner.state() == "Stable"

"""Groups of the consumer protocol: what one member asks, and what it is told (KIP-848)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from mq.coordinators.group_config import GroupConfig
from mq.errors import ErrorCode
from mq.wire.messages.leave_group import LeaveGroupRequest, MemberIdentity

Owner = Any
NewOwner = Callable[..., Owner]

ALL = list(range(8))
WEEK_MS = 7 * 24 * 60 * 60 * 1_000


def partitions(answer: Any) -> list[int] | None:
    """The partitions that an answer gives, None if it speaks of none."""
    if answer.assignment is None:
        return None
    return [p for each in answer.assignment.topic_partitions for p in each.partitions]


def places(owner: Owner, *numbers: int) -> list[tuple[Any, int]]:
    return [(owner.topics.ids["orders"], number) for number in numbers]


# Joining.


def test_the_first_member_gets_everything_at_once(owner: Owner) -> None:
    answer = owner.heartbeat("a", 0)
    assert (answer.error_code, answer.member_id, answer.member_epoch) == (0, "a", 2)
    assert answer.heartbeat_interval_ms == GroupConfig().consumer_heartbeat_interval_ms
    assert partitions(answer) == ALL
    group = owner.consumer_group()
    assert (group.group_state, group.group_epoch, group.assignment_epoch) == ("Stable", 2, 2)
    assert group.assignor_name == "uniform"


def test_a_client_that_does_not_make_its_own_id_is_given_one(owner: Owner) -> None:
    answer = owner.heartbeat("", 0, version=0)
    assert answer.error_code == 0
    assert answer.member_id in owner.owned()


def test_a_second_member_gets_what_the_first_has_given_up_and_nothing_before(owner: Owner) -> None:
    owner.heartbeat("a", 0)
    joined = owner.heartbeat("b", 0)
    assert (joined.member_epoch, partitions(joined)) == (3, [])
    asked = owner.heartbeat("a", 2)
    assert asked.member_epoch == 2  # until it has given up what it must
    assert len(partitions(asked) or ()) == 4
    assert partitions(owner.heartbeat("b", 3)) is None
    assert partitions(owner.heartbeat("a", 2, owned=places(owner, *ALL))) is None
    told = owner.heartbeat("a", 2, owned=places(owner, *partitions(asked)))
    assert (told.member_epoch, partitions(told)) == (3, None)
    got = owner.heartbeat("b", 3)
    assert sorted([*(partitions(asked) or ()), *(partitions(got) or ())]) == ALL
    assert owner.consumer_group().group_state == "Stable"


def test_a_member_is_told_what_it_may_consume_only_if_that_is_news(owner: Owner) -> None:
    owner.heartbeat("a", 0)
    owned = places(owner, *ALL)
    assert partitions(owner.heartbeat("a", 2, owned=owned)) is None
    full = {"rebalance_timeout_ms": 60_000, "subscribed_topic_names": ["orders"]}
    assert partitions(owner.heartbeat("a", 2, owned=owned, **full)) == ALL


def test_states_are_seen_as_the_group_goes_through_them(owner: Owner) -> None:
    owner.heartbeat("a", 0)
    owner.heartbeat("b", 0)
    assert owner.consumer_group().group_state == "Reconciling"
    owner.heartbeat("b", -1)
    assert owner.consumer_group().group_state == "Assigning"
    owner.heartbeat("a", -1)
    group = owner.consumer_group()
    assert (group.group_state, group.members) == ("Empty", [])


def test_a_member_without_a_subscription_is_a_member(owner: Owner) -> None:
    answer = owner.heartbeat("a", 0, subscribed_topic_names=[])
    assert (answer.error_code, answer.member_epoch, partitions(answer)) == (0, 1, [])


def test_a_full_group_lets_nobody_in(new_owner: NewOwner) -> None:
    owner = new_owner(GroupConfig(consumer_max_size=1))
    owner.heartbeat("a", 0)
    refused = owner.heartbeat("b", 0)
    assert refused.error_code == ErrorCode.GROUP_MAX_SIZE_REACHED
    assert owner.heartbeat("a", 2).error_code == 0


@pytest.mark.parametrize(
    ("epoch", "fields", "version"),
    [
        (0, {"rebalance_timeout_ms": -1}, 1),
        (0, {"owned": [(None, 0)]}, 1),
        (0, {"subscribed_topic_names": None}, 1),
        (0, {"instance_id": " "}, 1),
        (0, {"rack_id": ""}, 1),
        (0, {"group_id": ""}, 1),
        (0, {"member_id": ""}, 1),
        (1, {"member_id": ""}, 0),
        (-1, {"member_id": " "}, 0),
        (-2, {}, 1),
        (-3, {}, 1),
    ],
)
def test_nonsense_is_refused(
    owner: Owner, epoch: int, fields: dict[str, Any], version: int
) -> None:
    if "owned" in fields:
        fields = {"owned": places(owner, 0)}
    fields = {"member_id": "a", **fields}
    answer = owner.heartbeat(epoch=epoch, version=version, **fields)
    assert answer.error_code == ErrorCode.INVALID_REQUEST
    assert answer.error_message


def test_an_unknown_assignor_is_refused(owner: Owner) -> None:
    answer = owner.heartbeat("a", 0, server_assignor="sticky")
    assert answer.error_code == ErrorCode.UNSUPPORTED_ASSIGNOR


def test_most_members_choose_the_assignor(owner: Owner) -> None:
    owner.heartbeat("a", 0, server_assignor="range")
    owner.heartbeat("b", 0)
    assert owner.consumer_group().assignor_name == "range"


def test_who_joins_no_group_or_is_unknown_in_it_is_told_so(owner: Owner) -> None:
    assert owner.heartbeat("a", 1).error_code == ErrorCode.GROUP_ID_NOT_FOUND
    assert owner.heartbeat("a", -1).error_code == ErrorCode.GROUP_ID_NOT_FOUND
    owner.heartbeat("a", 0)
    assert owner.heartbeat("b", 2).error_code == ErrorCode.UNKNOWN_MEMBER_ID
    assert owner.heartbeat("b", -1).error_code == ErrorCode.UNKNOWN_MEMBER_ID


def test_a_join_that_cannot_be_stored_did_not_happen(owner: Owner) -> None:
    owner.disk_full = True
    assert owner.heartbeat("a", 0).error_code == ErrorCode.NOT_COORDINATOR
    owner.disk_full = False
    assert owner.consumer_group().error_code == ErrorCode.GROUP_ID_NOT_FOUND
    assert owner.heartbeat("a", 0).error_code == 0
    owner.disk_full = True
    owner.topics.put("orders", 9)
    assert owner.heartbeat("a", 2).error_code == ErrorCode.NOT_COORDINATOR
    owner.disk_full = False
    assert len(partitions(owner.heartbeat("a", 2)) or ()) == 9


def test_the_more_members_there_are_the_less_often_they_are_to_be_heard_of(
    new_owner: NewOwner,
) -> None:
    owner = new_owner(GroupConfig(consumer_heartbeat_interval_ms=1_000))
    assert owner.heartbeat("a", 0).heartbeat_interval_ms == 1_000
    for number in range(300):
        owner.heartbeat("a", 0, group_id=f"g{number}")
    assert 1_500 < owner.heartbeat("a", 2).heartbeat_interval_ms < 1_600
    for number in range(300, 1_100):
        owner.heartbeat("a", 0, group_id=f"g{number}", subscribed_topic_names=[])
    assert owner.heartbeat("a", 2).heartbeat_interval_ms == 5_000


# Epochs.


def test_a_member_of_another_epoch_is_fenced(owner: Owner) -> None:
    epoch, _ = owner.pair()
    assert owner.heartbeat("a", epoch + 1).error_code == ErrorCode.FENCED_MEMBER_EPOCH
    assert owner.heartbeat("a", epoch - 2).error_code == ErrorCode.FENCED_MEMBER_EPOCH


def test_a_member_whose_answer_was_lost_may_come_with_its_last_epoch(owner: Owner) -> None:
    epoch, _ = owner.pair()
    kept = owner.owned()["a"]
    assert owner.heartbeat("a", epoch - 1).error_code == ErrorCode.FENCED_MEMBER_EPOCH
    late = owner.heartbeat("a", epoch - 1, owned=places(owner, *kept))
    assert (late.error_code, late.member_epoch) == (0, epoch)
    (other,) = set(ALL) - {*kept, *owner.owned()["b"][:3]}
    late = owner.heartbeat("a", epoch - 1, owned=places(owner, other))
    assert late.error_code == ErrorCode.FENCED_MEMBER_EPOCH


def test_a_member_that_begins_anew_gets_back_what_it_has(owner: Owner) -> None:
    epoch, _ = owner.pair()
    mine = owner.owned()["a"]
    again = owner.heartbeat("a", 0)
    assert (again.member_epoch, partitions(again)) == (epoch, mine)


# Leaving, and being put out.


def test_what_a_member_leaves_the_others_get(owner: Owner) -> None:
    _, epoch = owner.pair()
    left = owner.heartbeat("a", -1)
    assert (left.error_code, left.member_id, left.member_epoch) == (0, "a", -1)
    assert (left.heartbeat_interval_ms, left.assignment) == (0, None)
    assert partitions(owner.heartbeat("b", epoch)) == ALL


def test_who_is_silent_for_a_session_is_put_out(owner: Owner) -> None:
    _, epoch = owner.pair()
    owner.advance(44_999)
    assert owner.heartbeat("b", epoch).error_code == 0
    owner.advance(1)
    assert list(owner.owned()) == ["b"]
    assert owner.heartbeat("a", epoch).error_code == ErrorCode.UNKNOWN_MEMBER_ID
    assert partitions(owner.heartbeat("b", epoch)) == ALL


def test_who_does_not_give_up_in_time_is_put_out(owner: Owner) -> None:
    owner.heartbeat("a", 0, rebalance_timeout_ms=10_000)
    owner.heartbeat("b", 0)
    for _ in range(10):
        assert owner.heartbeat("a", 2, owned=places(owner, *ALL)).error_code == 0
        owner.advance(1_000)
    assert owner.heartbeat("a", 2).error_code == ErrorCode.UNKNOWN_MEMBER_ID
    assert partitions(owner.heartbeat("b", 3)) == ALL


def test_who_gave_up_in_time_stays(owner: Owner) -> None:
    owner.heartbeat("a", 0, rebalance_timeout_ms=10_000)
    owner.heartbeat("b", 0)
    asked = owner.heartbeat("a", 2)
    owner.advance(9_999)
    owner.heartbeat("a", 2, owned=places(owner, *partitions(asked)))
    owner.advance(30_000)
    assert owner.heartbeat("a", 3).error_code == 0


def test_an_administrator_removes_members_by_leave_group(owner: Owner) -> None:
    owner.heartbeat("a", 0, instance_id="one")
    owner.heartbeat("b", 0)
    assert owner.leave(("", "one"), ("b", None), ("c", None), ("", "two")) == [0, 0, 25, 25]
    assert owner.consumer_group().group_state == "Empty"
    old = owner.ask(LeaveGroupRequest("g", "c"), 2)
    assert old.error_code == ErrorCode.UNKNOWN_MEMBER_ID


# Static members.


def test_a_static_member_that_left_for_a_while_finds_everything_as_it_was(owner: Owner) -> None:
    owner.heartbeat("a", 0, instance_id="one")
    owner.heartbeat("b", 0)
    keep = partitions(owner.heartbeat("a", 2))
    owner.heartbeat("a", 2, owned=places(owner, *keep))
    left = owner.heartbeat("a", -2, instance_id="one")
    assert (left.error_code, left.member_epoch) == (0, -2)
    epoch = owner.consumer_group().group_epoch
    assert partitions(owner.heartbeat("b", 3)) is not None
    assert owner.heartbeat("b", 3).error_code == 0
    back = owner.heartbeat("c", 0, instance_id="one")
    assert (back.error_code, partitions(back)) == (0, keep)
    assert owner.consumer_group().group_epoch == epoch
    old = owner.heartbeat("a", 3, instance_id="one")
    assert old.error_code == ErrorCode.FENCED_INSTANCE_ID


def test_a_static_member_that_does_not_come_back_is_put_out(owner: Owner) -> None:
    owner.heartbeat("a", 0, instance_id="one")
    owner.heartbeat("a", -2, instance_id="one")
    owner.advance(45_000)
    assert owner.consumer_group().group_state == "Empty"


def test_nobody_takes_the_place_of_a_static_member_that_is_there(owner: Owner) -> None:
    owner.heartbeat("a", 0, instance_id="one")
    refused = owner.heartbeat("b", 0, instance_id="one")
    assert refused.error_code == ErrorCode.UNRELEASED_INSTANCE_ID
    assert list(owner.owned()) == ["a"]


def test_static_ids_that_do_not_fit_are_refused(owner: Owner) -> None:
    owner.heartbeat("a", 0, instance_id="one")
    assert owner.heartbeat("a", 2, instance_id="two").error_code == ErrorCode.UNKNOWN_MEMBER_ID
    assert owner.heartbeat("b", 2, instance_id="one").error_code == ErrorCode.FENCED_INSTANCE_ID
    assert owner.heartbeat("b", -2, instance_id="one").error_code == ErrorCode.FENCED_INSTANCE_ID
    assert owner.heartbeat("a", -1, instance_id="two").error_code == ErrorCode.UNKNOWN_MEMBER_ID
    assert owner.heartbeat("a", -1, instance_id="one").error_code == 0


# Subscriptions and topics.


def test_a_member_that_wishes_for_something_else_gives_up_the_rest_at_once(owner: Owner) -> None:
    owner.topics.put("bills", 2)
    owner.heartbeat("a", 0)
    full = {"rebalance_timeout_ms": 60_000, "subscribed_topic_names": ["bills"]}
    asked = owner.heartbeat("a", 2, owned=places(owner, *ALL), **full)
    assert (asked.member_epoch, partitions(asked)) == (2, [])
    got = owner.heartbeat("a", 2, owned=[])
    assert (got.member_epoch, partitions(got)) == (3, [0, 1])


def test_a_topic_that_is_created_grows_or_goes_changes_the_assignment(owner: Owner) -> None:
    names = {"subscribed_topic_names": ["orders", "bills"]}
    epoch = owner.heartbeat("a", 0, **names).member_epoch
    bills = owner.topics.put("bills", 1)
    answer = owner.heartbeat("a", epoch)
    assert len(partitions(answer) or ()) == 9
    owner.topics.put("bills", 2)
    answer = owner.heartbeat("a", answer.member_epoch)
    assert len(partitions(answer) or ()) == 10
    owner.topics.delete("bills")
    asked = owner.heartbeat("a", answer.member_epoch)
    assert partitions(asked) == ALL
    done = owner.heartbeat("a", asked.member_epoch, owned=places(owner, *ALL))
    assert done.member_epoch == asked.member_epoch + 1
    assert bills not in {each.topic_id for each in asked.assignment.topic_partitions}


def test_a_change_of_other_topics_changes_nothing(owner: Owner) -> None:
    owner.heartbeat("a", 0)
    written = len(owner.log)
    owner.topics.put("bills", 1)
    assert owner.heartbeat("a", 2).member_epoch == 2
    assert len(owner.log) == written


def test_topics_are_subscribed_to_by_patterns(owner: Owner) -> None:
    pattern = {"subscribed_topic_names": None, "subscribed_topic_regex": "o.*|bills"}
    epoch = owner.heartbeat("a", 0, **pattern).member_epoch
    assert owner.owned()["a"] == ALL
    owner.topics.put("bills", 1)
    owner.topics.put("invoices", 1)
    answer = owner.heartbeat("a", epoch)
    assert len(partitions(answer) or ()) == 9
    (member,) = owner.consumer_group().members
    assert member.subscribed_topic_regex == "o.*|bills"
    quiet = len(owner.log)
    owner.topics.put("receipts", 1)
    owner.heartbeat("a", answer.member_epoch)
    assert len(owner.log) == quiet


def test_a_pattern_and_names_may_be_given_together(owner: Owner) -> None:
    owner.topics.put("bills", 1)
    answer = owner.heartbeat("a", 0, subscribed_topic_regex="b.*")
    assert len(partitions(answer) or ()) == 9


def test_an_illegal_pattern_is_refused_and_nothing_has_happened(owner: Owner) -> None:
    refused = owner.heartbeat("a", 0, subscribed_topic_regex="(")
    assert refused.error_code == ErrorCode.INVALID_REGULAR_EXPRESSION
    assert owner.log == []
    owner.heartbeat("a", 0)
    refused = owner.heartbeat("a", 2, subscribed_topic_regex="(")
    assert refused.error_code == ErrorCode.INVALID_REGULAR_EXPRESSION
    assert owner.heartbeat("a", 2).error_code == 0


# Restarts.


def test_everything_but_the_clock_survives_a_restart(owner: Owner) -> None:
    epoch, _ = owner.pair()
    before = owner.consumer_group()
    owner.advance(44_000)
    after = owner.restarted()
    assert after.consumer_group() == before
    after.advance(44_999)
    assert after.heartbeat("a", epoch).error_code == 0
    after.advance(1)
    assert list(after.owned()) == ["a"]


def test_who_has_to_give_up_has_its_time_again_after_a_restart(owner: Owner) -> None:
    owner.heartbeat("a", 0, rebalance_timeout_ms=10_000)
    owner.heartbeat("b", 0)
    owner.heartbeat("a", 2)
    after = owner.restarted()
    after.advance(10_000)
    assert list(after.owned()) == ["b"]


def test_topics_that_changed_while_nobody_looked_are_noticed_after_a_restart(owner: Owner) -> None:
    owner.heartbeat("a", 0)
    owner.topics.put("orders", 9)
    assert len(partitions(owner.restarted().heartbeat("a", 2)) or ()) == 9


def test_members_in_a_group_that_is_not_of_theirs_are_left_alone(owner: Owner) -> None:
    owner.joined(protocol_type="connect")
    refused = owner.heartbeat("a", 0)
    assert refused.error_code == ErrorCode.GROUP_ID_NOT_FOUND
    leaving = owner.ask(LeaveGroupRequest("g", members=[MemberIdentity("x")]), 5)
    assert leaving.members[0].error_code == ErrorCode.UNKNOWN_MEMBER_ID
    assert owner.state() == "CompletingRebalance"

"""Groups of the consumer protocol: their offsets, and what administrators see of them."""

from __future__ import annotations

from typing import Any

import pytest

from mq.errors import ErrorCode
from mq.wire.messages.delete_groups import DeleteGroupsRequest
from mq.wire.messages.describe_groups import DescribeGroupsRequest
from mq.wire.messages.list_groups import ListGroupsRequest
from mq.wire.messages.offset_commit import (
    OffsetCommitRequest,
    OffsetCommitRequestPartition,
    OffsetCommitRequestTopic,
)
from mq.wire.messages.offset_delete import (
    OffsetDeleteRequest,
    OffsetDeleteRequestPartition,
    OffsetDeleteRequestTopic,
)
from mq.wire.messages.offset_fetch import (
    OffsetFetchRequest,
    OffsetFetchRequestGroup,
    OffsetFetchRequestTopics,
)
from mq.wire.messages.txn_offset_commit import (
    TxnOffsetCommitRequest,
    TxnOffsetCommitRequestPartition,
    TxnOffsetCommitRequestTopic,
)

Owner = Any

ALL = list(range(8))
WEEK_MS = 7 * 24 * 60 * 60 * 1_000


# Offsets.


def test_members_commit_in_their_own_epoch(owner: Owner) -> None:
    owner.pair()
    assert owner.commit(1, member_id="a", generation=3) == 0
    assert owner.commit(1, member_id="a", generation=4) == ErrorCode.STALE_MEMBER_EPOCH
    assert owner.commit(1, member_id="z", generation=3) == ErrorCode.UNKNOWN_MEMBER_ID
    assert owner.commit(1) == ErrorCode.UNKNOWN_MEMBER_ID
    old = owner.commit(1, member_id="a", generation=3, version=8)
    assert old == ErrorCode.UNSUPPORTED_VERSION


def test_a_late_commit_counts_for_what_its_member_owned_then_and_owns_still(owner: Owner) -> None:
    """KIP-1251: the epoch rose while the commit was under way."""
    owner.pair()
    mine, others = owner.owned()["a"][0], owner.owned()["b"][0]
    new = next(p for p in owner.owned()["b"] if p != others)
    assert owner.commit(1, member_id="a", generation=2, partition=mine) == 0
    assert owner.commit(1, member_id="a", generation=1, partition=mine) == 113
    assert owner.commit(1, member_id="a", generation=2, partition=others) == 113
    assert owner.commit(1, member_id="b", generation=2, partition=new) == 113
    each = [OffsetCommitRequestPartition(mine, 9), OffsetCommitRequestPartition(others, 9)]
    topics = [OffsetCommitRequestTopic(topic_id=owner.topics.ids["orders"], partitions=each)]
    request = OffsetCommitRequest("g", 2, "a", topics=topics)
    answer = owner.ask(request, 10).topics[0].partitions
    assert [partition.error_code for partition in answer] == [113, 113]
    assert owner.committed(partition=mine) == 1


def test_while_the_group_is_empty_tools_may_commit(owner: Owner) -> None:
    owner.heartbeat("a", 0)
    owner.heartbeat("a", -1)
    assert owner.commit(5) == 0
    assert owner.committed() == 5


@pytest.mark.parametrize(
    ("member_id", "epoch", "error"),
    [(None, -1, 0), ("a", 3, 0), ("a", 2, 113), ("z", 3, 25)],
)
def test_members_fetch_in_their_own_epoch(
    owner: Owner, member_id: str | None, epoch: int, error: int
) -> None:
    owner.pair()
    topics = [OffsetFetchRequestTopics(name="orders", partition_indexes=[0])]
    asked = OffsetFetchRequestGroup("g", member_id, epoch, topics=topics)
    (group,) = owner.ask(OffsetFetchRequest(groups=[asked]), 9).groups
    assert group.error_code == error
    assert len(group.topics) == (not error)


def test_offsets_of_topics_that_are_subscribed_to_cannot_be_deleted(owner: Owner) -> None:
    owner.topics.put("bills", 1)
    owner.commit(1)
    owner.commit(1, topic="bills")
    owner.heartbeat("a", 0)
    topics = [
        OffsetDeleteRequestTopic(name, [OffsetDeleteRequestPartition(0)])
        for name in ("orders", "bills")
    ]
    answer = owner.ask(OffsetDeleteRequest("g", topics), 0)
    codes = [topic.partitions[0].error_code for topic in answer.topics]
    assert codes == [ErrorCode.GROUP_SUBSCRIBED_TO_TOPIC, 0]


def test_offsets_expire_unless_they_are_subscribed_to_and_the_group_with_the_last(
    owner: Owner,
) -> None:
    owner.topics.put("bills", 1)
    owner.commit(1)
    owner.commit(1, topic="bills")
    owner.heartbeat("a", 0)
    for _ in range(WEEK_MS // 40_000 + 20):
        owner.advance(40_000)
        owner.heartbeat("a", 2)
    assert (owner.committed(), owner.committed(topic="bills")) == (1, -1)
    owner.heartbeat("a", -1)
    owner.advance(1_200_000)
    assert owner.committed() == -1
    assert owner.consumer_group().error_code == ErrorCode.GROUP_ID_NOT_FOUND


# Looking at groups.


def test_a_member_is_described_as_it_is(owner: Owner) -> None:
    owner.heartbeat("a", 0, instance_id="one", rack_id="r", client_id="me")
    owner.heartbeat("b", 0)
    owner.heartbeat("a", 2)
    members = {member.member_id: member for member in owner.consumer_group().members}
    a = members["a"]
    assert (a.instance_id, a.rack_id, a.client_id, a.client_host) == (
        "one",
        "r",
        "client",
        "/127.0.0.1",
    )
    assert (a.subscribed_topic_names, a.member_type, a.member_epoch) == (["orders"], 1, 2)
    assert owner.owned()["a"] == ALL  # with what it has not given up yet
    (target,) = a.target_assignment.topic_partitions
    assert (target.topic_name, len(target.partitions)) == ("orders", 4)


def test_each_kind_of_group_is_described_by_its_own_api(owner: Owner) -> None:
    owner.heartbeat("a", 0)
    owner.stable(group_id="classic")
    wrong = owner.describe()
    assert (wrong.error_code, wrong.group_state) == (ErrorCode.GROUP_ID_NOT_FOUND, "Dead")
    old = owner.ask(DescribeGroupsRequest(["g"]), 5).groups[0]
    assert (old.error_code, old.group_state) == (0, "Dead")
    assert owner.consumer_group("classic").error_code == ErrorCode.GROUP_ID_NOT_FOUND
    assert owner.consumer_group("nowhere").error_code == ErrorCode.GROUP_ID_NOT_FOUND


def test_groups_of_both_kinds_are_listed_by_kind_and_state(owner: Owner) -> None:
    owner.heartbeat("a", 0)
    owner.stable(group_id="classic")

    def listed(**filters: Any) -> dict[str, str]:
        groups = owner.ask(ListGroupsRequest(**filters), 5).groups
        assert all(each.protocol_type == "consumer" for each in groups)
        return {each.group_id: each.group_type for each in groups}

    assert listed() == {"g": "consumer", "classic": "classic"}
    assert listed(types_filter=["Consumer"]) == {"g": "consumer"}
    assert listed(types_filter=["classic"]) == {"classic": "classic"}
    assert listed(states_filter=["reconciling"]) == {}
    owner.heartbeat("b", 0)
    assert listed(states_filter=["Reconciling"]) == {"g": "consumer"}


def test_only_an_empty_group_is_deleted(owner: Owner) -> None:
    def delete() -> int:
        return int(owner.ask(DeleteGroupsRequest(["g"]), 2).results[0].error_code)

    owner.heartbeat("a", 0, subscribed_topic_regex="x.*")
    assert delete() == ErrorCode.NON_EMPTY_GROUP
    owner.heartbeat("a", -1)
    owner.commit(1)
    owner.disk_full = True
    assert delete() == ErrorCode.NOT_COORDINATOR
    owner.disk_full = False
    assert delete() == 0
    assert delete() == ErrorCode.GROUP_ID_NOT_FOUND
    after = owner.restarted()
    assert after.consumer_group().error_code == ErrorCode.GROUP_ID_NOT_FOUND
    assert after.committed() == -1


def test_members_commit_in_transactions_in_their_own_epoch(owner: Owner) -> None:
    owner.pair()
    mine, others = owner.owned()["a"][0], owner.owned()["b"][0]

    def commit(member_id: str, epoch: int, partition: int) -> int:
        each = TxnOffsetCommitRequestPartition(partition, 9)
        topics = [TxnOffsetCommitRequestTopic("orders", [each])]
        request = TxnOffsetCommitRequest("t", "g", 7, 0, epoch, member_id, topics=topics)
        return int(owner.ask(request, 3).topics[0].partitions[0].error_code)

    assert commit("a", 3, mine) == commit("a", 2, mine) == 0
    assert commit("", -1, mine) == 0  # from a producer that knows no group
    assert commit("a", 2, others) == commit("a", 4, mine) == ErrorCode.ILLEGAL_GENERATION
    assert commit("z", 3, mine) == ErrorCode.UNKNOWN_MEMBER_ID

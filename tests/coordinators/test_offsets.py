"""OffsetCommit, OffsetFetch and OffsetDelete: how far a group has come."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from mq.coordinators.group_config import GroupConfig
from mq.errors import ErrorCode
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
    OffsetFetchRequestTopic,
    OffsetFetchRequestTopics,
)

Owner = Any

ORDERS = uuid.UUID(int=77)
# A subscription of version 0 to the topic "orders", and one to nothing.
TO_ORDERS = b"\x00\x00" + b"\x00\x00\x00\x01" + b"\x00\x06orders" + b"\xff\xff\xff\xff"
TO_NOTHING = b"\x00\x00" + b"\x00\x00\x00\x00" + b"\xff\xff\xff\xff"


def delete(owner: Owner, topic: str = "orders", partition: int = 0, group_id: str = "g") -> Any:
    partitions = [OffsetDeleteRequestPartition(partition)]
    topics = [OffsetDeleteRequestTopic(topic, partitions)]
    answer = owner.ask(OffsetDeleteRequest(group_id, topics), 0)
    if answer.error_code:
        assert answer.topics == []
        return answer.error_code
    return answer.topics[0].partitions[0].error_code


def test_anyone_may_commit_for_a_group_that_does_not_exist(owner: Owner) -> None:
    assert owner.commit(42) == ErrorCode.NONE
    assert owner.committed() == 42
    described = owner.describe()
    assert (described.group_state, described.protocol_type) == ("Empty", "")


def test_what_was_never_committed_is_minus_one(owner: Owner) -> None:
    owner.commit(42)
    assert [owner.committed(partition=1), owner.committed(topic="other")] == [-1, -1]
    assert owner.committed("nobody") == -1


def test_a_commit_is_stored_before_it_is_acknowledged(owner: Owner) -> None:
    owner.commit(42)
    assert owner.restarted().committed() == 42
    owner.disk_full = True
    assert owner.commit(43) == ErrorCode.NOT_COORDINATOR
    assert owner.committed() == owner.restarted().committed() == 42


def test_a_member_commits_with_its_generation(owner: Owner) -> None:
    (member,) = owner.stable()
    assert owner.commit(7, member_id=member, generation=1) == ErrorCode.NONE
    assert owner.committed() == 7


def test_a_commit_of_another_generation_is_refused(owner: Owner) -> None:
    (member,) = owner.stable()
    assert owner.commit(7, member_id=member, generation=2) == ErrorCode.ILLEGAL_GENERATION
    assert owner.commit(7, member_id=member, generation=-1) == ErrorCode.ILLEGAL_GENERATION
    assert owner.committed() == -1


@pytest.mark.parametrize(("member_id", "generation"), [("nobody", 1), ("", -1), ("", 1)])
def test_a_commit_of_no_member_of_a_living_group_is_refused(
    owner: Owner, member_id: str, generation: int
) -> None:
    owner.stable()
    error = owner.commit(7, member_id=member_id, generation=generation)
    assert error == ErrorCode.UNKNOWN_MEMBER_ID


def test_a_commit_between_join_and_sync_is_refused(owner: Owner) -> None:
    (member,) = owner.joined()
    error = owner.commit(7, member_id=member, generation=1)
    assert error == ErrorCode.REBALANCE_IN_PROGRESS


def test_while_a_rebalance_is_prepared_members_may_commit_what_they_did(owner: Owner) -> None:
    leader, follower = owner.stable(2)
    owner.join(leader)
    assert owner.commit(7, member_id=follower, generation=1) == ErrorCode.NONE


def test_a_commit_keeps_the_session(owner: Owner) -> None:
    (member,) = owner.stable(session_ms=10_000)
    for _ in range(5):
        owner.advance(9_999)
        assert owner.commit(7, member_id=member, generation=1) == ErrorCode.NONE
    assert owner.state() == "Stable"


@pytest.mark.parametrize(
    ("version", "error"), [(8, ErrorCode.ILLEGAL_GENERATION), (9, ErrorCode.GROUP_ID_NOT_FOUND)]
)
def test_a_commit_with_a_generation_of_an_unknown_group_is_refused(
    owner: Owner, version: int, error: ErrorCode
) -> None:
    assert owner.commit(7, member_id="m", generation=1, version=version) == error


@pytest.mark.parametrize("metadata", ["x" * 4_097, "\U0001f600" * 2_049])
def test_metadata_that_is_too_large_is_refused(owner: Owner, metadata: str) -> None:
    assert owner.commit(7, metadata=metadata) == ErrorCode.OFFSET_METADATA_TOO_LARGE
    assert owner.commit(7, metadata=metadata[:-1]) == ErrorCode.NONE


def test_metadata_and_leader_epoch_come_back(owner: Owner) -> None:
    owner.commit(7, metadata="note")
    owner.commit(8, metadata=None, partition=1)
    groups = [OffsetFetchRequestGroup("g", topics=None)]
    (group,) = owner.ask(OffsetFetchRequest(groups=groups), 9).groups
    found = [
        (each.partition_index, each.committed_offset, each.metadata, each.committed_leader_epoch)
        for each in group.topics[0].partitions
    ]
    assert found == [(0, 7, "note", 3), (1, 8, "", 3)]


def test_a_commit_for_a_topic_or_partition_that_does_not_exist_is_refused(owner: Owner) -> None:
    assert owner.commit(7, topic="other") == ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
    assert owner.commit(7, partition=8) == ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
    assert not owner.log


def test_the_partitions_of_one_commit_are_judged_one_by_one(owner: Owner) -> None:
    partitions = [
        OffsetCommitRequestPartition(0, 5),
        OffsetCommitRequestPartition(9, 5),
        OffsetCommitRequestPartition(1, 5, committed_metadata="x" * 5_000),
    ]
    topics = [OffsetCommitRequestTopic(name="orders", partitions=partitions)]
    answer = owner.ask(OffsetCommitRequest("g", topics=topics), 9)
    errors = {each.partition_index: each.error_code for each in answer.topics[0].partitions}
    assert errors == {
        0: ErrorCode.NONE,
        9: ErrorCode.UNKNOWN_TOPIC_OR_PARTITION,
        1: ErrorCode.OFFSET_METADATA_TOO_LARGE,
    }
    assert len(owner.log) == 1


def commit_by_id(owner: Owner, topic_id: uuid.UUID, offset: int = 5) -> int:
    partitions = [OffsetCommitRequestPartition(0, offset)]
    topics = [OffsetCommitRequestTopic(topic_id=topic_id, partitions=partitions)]
    (topic,) = owner.ask(OffsetCommitRequest("g", topics=topics), 10).topics
    assert topic.topic_id == topic_id
    return int(topic.partitions[0].error_code)


def fetch_by_id(owner: Owner, topic_id: uuid.UUID) -> tuple[int, int]:
    topics = [OffsetFetchRequestTopics(topic_id=topic_id, partition_indexes=[0])]
    groups = [OffsetFetchRequestGroup("g", topics=topics)]
    (topic,) = owner.ask(OffsetFetchRequest(groups=groups), 10).groups[0].topics
    assert topic.topic_id == topic_id
    return topic.partitions[0].error_code, topic.partitions[0].committed_offset


def test_since_v10_topics_are_named_by_id(owner: Owner) -> None:
    assert commit_by_id(owner, ORDERS) == ErrorCode.NONE
    assert fetch_by_id(owner, ORDERS) == (ErrorCode.NONE, 5)
    assert owner.committed() == 5


def test_an_unknown_topic_id_is_refused(owner: Owner) -> None:
    unknown = uuid.UUID(int=5)
    assert commit_by_id(owner, unknown) == ErrorCode.UNKNOWN_TOPIC_ID
    assert fetch_by_id(owner, unknown) == (ErrorCode.UNKNOWN_TOPIC_ID, -1)


def test_the_offset_of_a_former_topic_of_that_name_is_not_taken_for_this_one(owner: Owner) -> None:
    owner.commit(42)
    owner.topics.ids["orders"] = again = uuid.UUID(int=78)
    assert fetch_by_id(owner, again) == (ErrorCode.NONE, -1)
    assert owner.committed() == -1
    topics = [OffsetFetchRequestTopic("orders", [0])]
    for version in range(1, 8):
        (topic,) = owner.ask(OffsetFetchRequest("g", topics=topics), version).topics
        assert topic.partitions[0].committed_offset == -1
    for version in (8, 9, 10):
        groups = [OffsetFetchRequestGroup("g", topics=None)]
        assert owner.ask(OffsetFetchRequest(groups=groups), version).groups[0].topics == []
    owner.commit(7)
    assert owner.committed() == 7


def test_the_offset_of_a_former_topic_goes_at_the_next_check(owner: Owner) -> None:
    owner.commit(42)
    owner.commit(43, partition=1)
    owner.topics.ids["orders"] = uuid.UUID(int=78)
    owner.commit(7)
    restarted = owner.restarted()
    restarted.topics.ids = owner.topics.ids
    restarted.advance(600_000)
    assert len(restarted.performed[-1].append) == 1
    assert restarted.committed() == 7
    restarted.topics.ids = {"orders": ORDERS}
    assert restarted.committed(partition=1) == -1


def test_all_topics_of_a_group_can_be_asked_for(owner: Owner) -> None:
    owner.topics.ids["bills"] = bills = uuid.UUID(int=99)
    owner.commit(1)
    owner.commit(2, topic="bills", partition=3)
    del owner.topics.ids["orders"]
    groups = [OffsetFetchRequestGroup("g", topics=None)]
    by_name = owner.ask(OffsetFetchRequest(groups=groups), 9).groups[0].topics
    assert [topic.name for topic in by_name] == ["orders", "bills"]
    by_id = owner.ask(OffsetFetchRequest(groups=groups), 10).groups[0].topics
    assert [topic.topic_id for topic in by_id] == [bills]  # a deleted topic has no id to show


def test_several_groups_are_answered_together_and_wait_for_all_their_partitions(
    owner: Owner,
) -> None:
    owner.commit(1, group_id="a")
    owner.commit(2, group_id="b")
    topics = [OffsetFetchRequestTopics(name="orders", partition_indexes=[0])]
    groups = [OffsetFetchRequestGroup(name, topics=topics) for name in ("a", "b", "c")]
    answer = owner.ask(OffsetFetchRequest(groups=groups), 8)
    offsets = [group.topics[0].partitions[0].committed_offset for group in answer.groups]
    assert offsets == [1, 2, -1]
    effects = owner.performed[-1]
    partitions = {owner.coordinator.partition_for(name) for name in ("a", "b", "c")}
    assert {effects.partition, *effects.reveals} == partitions


@pytest.mark.parametrize("version", [1, 2, 5, 7])
def test_up_to_v7_a_request_names_one_group(owner: Owner, version: int) -> None:
    owner.commit(42, metadata="note")
    topics = [OffsetFetchRequestTopic("orders", [0, 1])]
    answer = owner.ask(OffsetFetchRequest("g", topics=topics), version)
    first, second = answer.topics[0].partitions
    assert (first.committed_offset, first.metadata, second.committed_offset) == (42, "note", -1)
    if version >= 2:
        (topic,) = owner.ask(OffsetFetchRequest("g", topics=None), version).topics
        assert [each.committed_offset for each in topic.partitions] == [42]


def test_a_retention_named_by_the_commit_is_kept_with_it(owner: Owner) -> None:
    partitions = [OffsetCommitRequestPartition(0, 5)]
    topics = [OffsetCommitRequestTopic(name="orders", partitions=partitions)]
    owner.ask(OffsetCommitRequest("g", retention_time_ms=3_600_000, topics=topics), 4)
    owner.advance(3_600_000 - 1)
    assert owner.committed() == 5
    owner.advance(600_000)
    assert owner.committed() == -1


def test_offsets_are_deleted(owner: Owner) -> None:
    owner.commit(5)
    assert delete(owner) == ErrorCode.NONE
    assert owner.committed() == owner.restarted().committed() == -1
    assert delete(owner) == ErrorCode.NONE  # once more does no harm


def test_offsets_that_members_are_subscribed_to_are_not_deleted(owner: Owner) -> None:
    (member,) = owner.stable(protocols=[("range", TO_ORDERS)])
    owner.commit(5, member_id=member, generation=1)
    assert delete(owner) == ErrorCode.GROUP_SUBSCRIBED_TO_TOPIC
    owner.leave((member, None))
    assert delete(owner) == ErrorCode.NONE


def test_offsets_that_no_member_is_subscribed_to_are_deleted(owner: Owner) -> None:
    owner.commit(5)
    owner.stable(protocols=[("range", TO_NOTHING)])
    assert delete(owner) == ErrorCode.NONE


def test_unreadable_subscriptions_protect_all_offsets(owner: Owner) -> None:
    owner.commit(5)
    owner.stable(protocols=[("range", b"\x00\x00\x00\x00\x00\x09")])
    assert delete(owner) == ErrorCode.GROUP_SUBSCRIBED_TO_TOPIC


def test_a_living_group_of_something_else_than_consumers_keeps_its_offsets(owner: Owner) -> None:
    owner.commit(5)
    member = owner.fresh_id(protocol_type="connect")
    owner.join(member, protocol_type="connect")
    assert delete(owner) == ErrorCode.NON_EMPTY_GROUP


def test_offsets_of_an_unknown_group_or_topic_cannot_be_deleted(owner: Owner) -> None:
    assert delete(owner) == ErrorCode.GROUP_ID_NOT_FOUND
    assert delete(owner, group_id="") == ErrorCode.INVALID_GROUP_ID
    owner.commit(5)
    assert delete(owner, topic="other") == ErrorCode.UNKNOWN_TOPIC_OR_PARTITION


def test_a_deletion_of_offsets_that_cannot_be_stored_is_told_so(owner: Owner) -> None:
    owner.commit(5)
    owner.disk_full = True
    assert delete(owner) == ErrorCode.NOT_COORDINATOR
    assert owner.committed() == 5


def test_the_offsets_of_a_deleted_topic_go_with_it(owner: Owner) -> None:
    owner.topics.ids["bills"] = uuid.UUID(int=99)
    for group_id in ("a", "b"):
        owner.commit(1, group_id=group_id)
        owner.commit(2, group_id=group_id, topic="bills")
    owner.perform(owner.coordinator.forget_topic("orders", uuid.UUID(int=5)))
    assert owner.committed("a") == 1  # another topic of that name
    owner.perform(owner.coordinator.forget_topic("orders", ORDERS))
    assert [owner.committed(name) for name in ("a", "b")] == [-1, -1]
    assert [owner.committed(name, topic="bills") for name in ("a", "b")] == [2, 2]


def test_a_group_may_have_no_name_when_it_only_commits(owner: Owner) -> None:
    """Kafka allows the empty group id to commit and to fetch, for old clients."""
    assert owner.commit(5, group_id="") == ErrorCode.NONE
    assert owner.committed("") == 5


def test_limits_are_settings(new_owner: Any) -> None:
    owner = new_owner(GroupConfig(offset_metadata_max_bytes=3))
    assert owner.commit(5, metadata="four") == ErrorCode.OFFSET_METADATA_TOO_LARGE

"""The records of a consumer group (KIP-848), as Kafka 4.3 writes and reads them.

A group is several records: its epoch, each member's description, the target and what each member
has of it, and what patterns have been resolved to. One step changes a few of them, in one batch.

Two values have a meaning to their writer only. The hash of the topics' metadata tells whether they
have changed; Kafka uses XXH3 and we BLAKE2b, so a group that moves from one to the other has its
epoch raised once. The version of a resolved pattern is the catalog's.

Before 4.1 the metadata were a record of their own, ``ConsumerGroupPartitionMetadata``. It is read
over; :func:`group_tombstones` removes it with the group.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple, TypeAlias
from uuid import UUID

from mq.coordinators.classic_members import Protocol
from mq.coordinators.consumer_members import Classic, ConsumerMember, MemberState
from mq.coordinators.effects import StateRecord
from mq.coordinators.topic_id_partitions import TopicIdPartition, by_topic
from mq.wire.fields import Message
from mq.wire.messages.records import consumer_group_current_member_assignment as current
from mq.wire.messages.records import consumer_group_member_metadata as metadata
from mq.wire.messages.records import consumer_group_target_assignment_member as target_member
from mq.wire.messages.records.consumer_group_metadata import (
    ConsumerGroupMetadataKey,
    ConsumerGroupMetadataValue,
)
from mq.wire.messages.records.consumer_group_partition_metadata import (
    ConsumerGroupPartitionMetadataKey,
)
from mq.wire.messages.records.consumer_group_regular_expression import (
    ConsumerGroupRegularExpressionKey,
    ConsumerGroupRegularExpressionValue,
)
from mq.wire.messages.records.consumer_group_target_assignment_metadata import (
    ConsumerGroupTargetAssignmentMetadataKey,
    ConsumerGroupTargetAssignmentMetadataValue,
)
from mq.wire.state_record import GROUP

__all__ = [
    "KEYS",
    "Key",
    "ResolvedPattern",
    "current_assignment",
    "described",
    "group_epoch",
    "group_tombstones",
    "member_metadata",
    "member_tombstones",
    "metadata_hash",
    "resolved_pattern",
    "standing",
    "target_assignment",
    "target_epoch",
]

KEYS: Final = (
    ConsumerGroupMetadataKey,
    ConsumerGroupPartitionMetadataKey,
    metadata.ConsumerGroupMemberMetadataKey,
    ConsumerGroupTargetAssignmentMetadataKey,
    target_member.ConsumerGroupTargetAssignmentMemberKey,
    current.ConsumerGroupCurrentMemberAssignmentKey,
    ConsumerGroupRegularExpressionKey,
)
"""The keys of all records of a consumer group; each has a ``group_id``."""

Key: TypeAlias = (
    ConsumerGroupMetadataKey
    | ConsumerGroupPartitionMetadataKey
    | metadata.ConsumerGroupMemberMetadataKey
    | ConsumerGroupTargetAssignmentMetadataKey
    | target_member.ConsumerGroupTargetAssignmentMemberKey
    | current.ConsumerGroupCurrentMemberAssignmentKey
    | ConsumerGroupRegularExpressionKey
)


class ResolvedPattern(NamedTuple):
    """The topics that a pattern matched, in which version of the catalog, and when (wall clock)."""

    topics: frozenset[str]
    version: int
    timestamp_ms: int


def metadata_hash(topics: Iterable[tuple[str, UUID, int]]) -> int:
    """What changes if one of these topics (name, id, number of partitions) does; 0 for none."""
    digest = hashlib.blake2b(digest_size=8)
    some = False
    for name, topic_id, partitions in sorted(topics):
        some = True
        digest.update(topic_id.bytes + partitions.to_bytes(4, "big") + name.encode())
    return int.from_bytes(digest.digest(), "big", signed=True) if some else 0


# What is written.


def group_epoch(group_id: str, epoch: int, hash_of_metadata: int) -> StateRecord:
    """The epoch of the group, and of what metadata it is."""
    return _record(ConsumerGroupMetadataKey(group_id), _epoch_value(epoch, hash_of_metadata))


def _epoch_value(epoch: int, hash_of_metadata: int) -> ConsumerGroupMetadataValue:
    return ConsumerGroupMetadataValue(epoch=epoch, metadata_hash=hash_of_metadata)


def member_metadata(group_id: str, member: ConsumerMember) -> StateRecord:
    """What a member told about itself."""
    classic = member.classic
    value = metadata.ConsumerGroupMemberMetadataValue(
        instance_id=member.instance_id,
        rack_id=member.rack_id,
        client_id=member.client_id,
        client_host=member.client_host,
        subscribed_topic_names=sorted(member.topics),
        subscribed_topic_regex=member.regex,
        rebalance_timeout_ms=member.rebalance_timeout_ms,
        server_assignor=member.server_assignor,
        classic_member_metadata=classic
        and metadata.ClassicMemberMetadata(
            classic.session_timeout_ms,
            [metadata.ClassicProtocol(*each) for each in classic.protocols],
        ),
    )
    return _record(metadata.ConsumerGroupMemberMetadataKey(group_id, member.member_id), value)


def target_assignment(
    group_id: str, member_id: str, target: Iterable[TopicIdPartition]
) -> StateRecord:
    """What a member is to have."""
    value = target_member.ConsumerGroupTargetAssignmentMemberValue(
        [target_member.TopicPartition(*each) for each in by_topic(target).items()]
    )
    key = target_member.ConsumerGroupTargetAssignmentMemberKey(group_id, member_id)
    return _record(key, value)


def target_epoch(group_id: str, epoch: int, timestamp_ms: int) -> StateRecord:
    """Of which epoch all targets are, and when they were decided on."""
    value = ConsumerGroupTargetAssignmentMetadataValue(
        assignment_epoch=epoch, assignment_timestamp=timestamp_ms
    )
    return _record(ConsumerGroupTargetAssignmentMetadataKey(group_id), value)


def current_assignment(group_id: str, member: ConsumerMember) -> StateRecord:
    """How far a member has come."""
    value = current.ConsumerGroupCurrentMemberAssignmentValue(
        member_epoch=member.epoch,
        previous_member_epoch=member.previous_epoch,
        state=member.state,
        assigned_partitions=_with_epochs(member.assigned),
        partitions_pending_revocation=_with_epochs(member.revoking),
    )
    key = current.ConsumerGroupCurrentMemberAssignmentKey(group_id, member.member_id)
    return _record(key, value)


def _with_epochs(places: Mapping[TopicIdPartition, int]) -> list[current.TopicPartitions]:
    return [
        current.TopicPartitions(
            topic_id,
            partitions,
            [places[TopicIdPartition(topic_id, each)] for each in partitions],
        )
        for topic_id, partitions in by_topic(places).items()
    ]


def resolved_pattern(group_id: str, pattern: str, resolved: ResolvedPattern | None) -> StateRecord:
    """What a pattern matches, or that nobody subscribes by it any more."""
    key = ConsumerGroupRegularExpressionKey(group_id, pattern)
    if resolved is None:
        return _record(key, None)
    topics, version, timestamp_ms = resolved
    value = ConsumerGroupRegularExpressionValue(sorted(topics), version, timestamp_ms)
    return _record(key, value)


def member_tombstones(group_id: str, member_id: str) -> list[StateRecord]:
    """The records that remove a member; readers depend on this order."""
    return [
        _record(current.ConsumerGroupCurrentMemberAssignmentKey(group_id, member_id), None),
        _record(target_member.ConsumerGroupTargetAssignmentMemberKey(group_id, member_id), None),
        _record(metadata.ConsumerGroupMemberMetadataKey(group_id, member_id), None),
    ]


def group_tombstones(
    group_id: str, member_ids: Iterable[str], patterns: Iterable[str]
) -> list[StateRecord]:
    """The records that remove a group with its members; readers depend on this order."""
    members = [member_tombstones(group_id, member_id) for member_id in member_ids]
    return [
        *(each[0] for each in members),
        *(each[1] for each in members),
        _record(ConsumerGroupTargetAssignmentMetadataKey(group_id), None),
        *(each[2] for each in members),
        *(resolved_pattern(group_id, pattern, None) for pattern in patterns),
        _record(ConsumerGroupPartitionMetadataKey(group_id), None),
        _record(ConsumerGroupMetadataKey(group_id), None),
    ]


def _record(key: Message, value: Message | None) -> StateRecord:
    return StateRecord(*GROUP.encode(key, value))


# What is read.


def described(
    member: ConsumerMember, value: metadata.ConsumerGroupMemberMetadataValue
) -> ConsumerMember:
    """The member, telling of itself what the record says."""
    stored = value.classic_member_metadata
    classic = None
    if stored is not None:
        protocols = tuple(Protocol(each.name, each.metadata) for each in stored.supported_protocols)
        classic = Classic(stored.session_timeout_ms, protocols)
    return ConsumerMember(
        member.member_id,
        instance_id=value.instance_id,
        rack_id=value.rack_id,
        client_id=value.client_id,
        client_host=value.client_host,
        topics=frozenset(value.subscribed_topic_names),
        regex=value.subscribed_topic_regex or "",
        rebalance_timeout_ms=value.rebalance_timeout_ms,
        server_assignor=value.server_assignor,
        classic=classic,
    ).standing_as(member)


def standing(
    member: ConsumerMember, value: current.ConsumerGroupCurrentMemberAssignmentValue
) -> ConsumerMember:
    """The member, having come as far as the record says."""
    return ConsumerMember(
        member.member_id,
        epoch=value.member_epoch,
        previous_epoch=value.previous_member_epoch,
        state=MemberState(value.state),
        assigned=_places(value.assigned_partitions, value.member_epoch),
        revoking=_places(value.partitions_pending_revocation, value.member_epoch),
    )


def _places(
    listed: Iterable[current.TopicPartitions], member_epoch: int
) -> dict[TopicIdPartition, int]:
    """Before 4.3 the epochs of assignment were not written: then it is the member's."""
    places = {}
    for each in listed:
        epochs = each.assignment_epochs or [member_epoch] * len(each.partitions)
        for partition, epoch in zip(each.partitions, epochs, strict=True):
            places[TopicIdPartition(each.topic_id, partition)] = epoch
    return places

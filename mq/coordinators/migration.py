"""A group passes from one protocol to the other while it is in use (KIP-848).

*Up:* the first member that joins by ConsumerGroupHeartbeat makes a classic group of consumers a
consumer group. Its members live on in there, with the partitions that their leader gave them, as
members of the classic protocol (:mod:`~mq.coordinators.consumer_classic`). *Down:* when the last
member of the consumer protocol has gone, those that are left go on in a classic group, and begin
with a rebalance. Generations go on as epochs, and epochs as generations, so they never fall.

A group on its way down is stored as a stable one, as Kafka does, so that it is known after a crash
who owns what; but without a leader, by which it is known that it was not at rest. Without that,
nobody would notice that the partitions of the one who left have no owner.
"""

from __future__ import annotations

from collections.abc import Collection

from mq.coordinators import consumer_group_records as records
from mq.coordinators.classic_group import ClassicGroup, State
from mq.coordinators.classic_members import Member, select_protocol
from mq.coordinators.consumer_classic import (
    CONSUMER,
    assigned_places,
    read_subscription,
    with_ids,
    written_assignment,
)
from mq.coordinators.consumer_draft import AllTopics
from mq.coordinators.consumer_group import ConsumerGroup
from mq.coordinators.consumer_members import Classic, ConsumerMember
from mq.coordinators.effects import StateRecord, Step
from mq.coordinators.group_config import GroupConfig
from mq.coordinators.topic_id_partitions import TopicIdPartition
from mq.errors import ErrorCode, KafkaError, PeerError

__all__ = ["can_downgrade", "downgrade", "upgrade"]


def upgrade(group: ClassicGroup, topics: AllTopics, now_ms: int) -> list[StateRecord]:
    """The records that make a consumer group of a classic one; ``now_ms`` is on the wall clock.

    Members that have never been told a generation are left out: they come again as new ones.

    Raises:
        KafkaError: GROUP_ID_NOT_FOUND, if it is not a group of consumers that can be read.
    """
    if group.protocol_type != CONSUMER:
        raise KafkaError(
            ErrorCode.GROUP_ID_NOT_FOUND, f"Group {group.group_id} is not a consumer group."
        )
    owned: set[TopicIdPartition] = set()
    settled = [member for member in group.members if not member.new]
    if not settled and not group.generation:
        return []
    settled.sort(key=lambda member: not member.assignment)  # a leader's word counts most
    try:
        members = [_upgraded(member, group, topics, owned) for member in settled]
    except PeerError as error:
        raise KafkaError(
            ErrorCode.GROUP_ID_NOT_FOUND,
            f"The members of group {group.group_id} cannot be understood: {error}",
        ) from error
    group_id, generation = group.group_id, group.generation
    return [
        *(records.member_metadata(group_id, member) for member in members),
        records.group_epoch(group_id, generation, 0),
        *(records.target_assignment(group_id, each.member_id, each.assigned) for each in members),
        records.target_epoch(group_id, generation, now_ms),
        *(records.current_assignment(group_id, member) for member in members),
    ]


def _upgraded(
    member: Member, group: ClassicGroup, topics: AllTopics, owned: set[TopicIdPartition]
) -> ConsumerMember:
    """A classic member in a consumer group; ``owned`` is what those before it have."""
    chosen = group.protocol or ""
    protocol = chosen if member.knows(chosen) else member.protocols[0].name
    subscription = read_subscription(member.metadata(protocol))
    # In the middle of a rebalance there is no assignment, but members say what they still own.
    places = with_ids(subscription.owned_partitions, topics)
    if member.assignment:
        places = assigned_places(member.assignment, topics)
    # A leader may assign what it likes, also one partition twice.
    assigned = [place for place in dict.fromkeys(places) if place not in owned]
    owned.update(assigned)
    ordered = sorted(member.protocols, key=lambda known: known.name != protocol)
    return ConsumerMember(
        member.member_id,
        instance_id=member.instance_id,
        rack_id=subscription.rack_id,
        client_id=member.client_id,
        client_host=member.client_host,
        topics=frozenset(subscription.topics),
        rebalance_timeout_ms=member.rebalance_timeout_ms,
        classic=Classic(member.session_timeout_ms, tuple(ordered)),
        epoch=group.generation,
        previous_epoch=group.generation,
        assigned=dict.fromkeys(assigned, group.generation),
    )


def can_downgrade(
    group: ConsumerGroup, leaving: Collection[ConsumerMember], config: GroupConfig
) -> bool:
    """Whether ``leaving`` are the last ones of the consumer protocol."""
    going = {member.member_id for member in leaving}
    staying = [member for member in group.members.values() if member.member_id not in going]
    return (
        len(staying) <= config.max_size
        and all(member.classic is not None for member in staying)
        and any(member.classic is None for member in leaving)
    )


def downgrade(
    group: ConsumerGroup,
    leaving: Collection[ConsumerMember],
    heir: ClassicGroup,
    topics: AllTopics,
    step: Step,
) -> StateRecord:
    """Have ``heir``, a new classic group, take over all but ``leaving``, and begin a rebalance.

    Returns: the record that stores it; the tombstones of ``group`` come before that.
    """
    going = {member.member_id for member in leaving}
    members = [
        _downgraded(member, member.classic, topics)
        for member in group.members.values()
        if member.member_id not in going and member.classic is not None
    ]
    heir.generation = group.epoch
    heir.protocol_type = CONSUMER
    heir.protocol = select_protocol(members) if members else None
    stored = heir.record([(member, member.assignment) for member in members])
    for member in members:
        heir.members.add(member)
        heir.keep_session(member, step)
    if members:
        heir.state = State.STABLE
        heir.prepare_rebalance(step)
    return stored


def _downgraded(member: ConsumerMember, classic: Classic, topics: AllTopics) -> Member:
    return Member(
        member.member_id,
        member.instance_id,
        member.client_id,
        member.client_host,
        member.rebalance_timeout_ms,
        classic.session_timeout_ms,
        classic.protocols,
        # What it was asked to give up it has still.
        written_assignment(member.all_owned(), classic, topics),
    )

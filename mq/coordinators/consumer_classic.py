"""Members of the classic protocol inside a consumer group: JoinGroup, SyncGroup, Heartbeat.

While a service is upgraded, some of its processes speak the classic protocol still (KIP-848, online
migration). Here nobody of them leads and nobody waits for the others: the coordinator assigns. A
JoinGroup is a heartbeat that tells the member's epoch as its generation; a SyncGroup fetches the
assignment, in the format that leaders write; a Heartbeat sends a member that has to move on through
the two again.

The checks come in Kafka's order and raise :class:`~mq.errors.KafkaError`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from mq.coordinators.classic_admission import Join
from mq.coordinators.consumer_draft import AllTopics, Draft
from mq.coordinators.consumer_group import ConsumerGroup
from mq.coordinators.consumer_members import Classic, ConsumerMember, MemberState
from mq.coordinators.effects import Step
from mq.coordinators.topic_id_partitions import TopicIdPartition, by_topic
from mq.errors import ErrorCode, KafkaError, PeerError
from mq.wire import schema
from mq.wire.messages.consumer_protocol import (
    ConsumerProtocolAssignment,
    ConsumerProtocolSubscription,
    TopicPartition,
)
from mq.wire.messages.heartbeat import HeartbeatRequest
from mq.wire.messages.join_group import JoinGroupResponse
from mq.wire.messages.leave_group import MemberIdentity
from mq.wire.messages.sync_group import SyncGroupRequest, SyncGroupResponse

__all__ = [
    "CONSUMER",
    "assigned_places",
    "check_protocols",
    "find",
    "heartbeat",
    "join",
    "leaver",
    "read_subscription",
    "sync",
    "with_ids",
    "written_assignment",
]

CONSUMER: Final = "consumer"
"""The protocol type of consumers, whose subscriptions and assignments can be read."""

_ID_REQUIRED_VERSION: Final = 4
_VERSION_BYTES: Final = 2
_VERSION_MAX: Final = ConsumerProtocolAssignment.VERSIONS[-1]


# The formats that consumers of the classic protocol agree on.


def read_subscription(metadata: bytes) -> ConsumerProtocolSubscription:
    """What a consumer subscribes to, as it tells a leader.

    Raises:
        PeerError: it is malformed.
    """
    version = min(_version(metadata), _VERSION_MAX)
    subscription, _ = schema.decode(ConsumerProtocolSubscription, metadata, version, _VERSION_BYTES)
    return subscription


def assigned_places(assignment: bytes, topics: AllTopics) -> list[TopicIdPartition]:
    """The partitions that a leader assigned; nothing was if there is no assignment.

    Raises:
        PeerError: it is malformed.
    """
    if not assignment:
        return []
    version = min(_version(assignment), _VERSION_MAX)
    read, _ = schema.decode(ConsumerProtocolAssignment, assignment, version, _VERSION_BYTES)
    return with_ids(read.assigned_partitions, topics)


def _version(data: bytes) -> int:
    version = int.from_bytes(data[:_VERSION_BYTES], "big", signed=True)
    if len(data) < _VERSION_BYTES or version < 0:
        raise PeerError("a subscription or assignment of a consumer has no version")
    return version


def with_ids(listed: Iterable[TopicPartition], topics: AllTopics) -> list[TopicIdPartition]:
    """The partitions that are listed by the names of their topics, as far as these exist."""
    return [
        TopicIdPartition(topic_id, partition)
        for each in listed
        if (topic_id := topics.topic_id(each.topic)) is not None
        for partition in each.partitions
    ]


def written_assignment(member: ConsumerMember, classic: Classic, topics: AllTopics) -> bytes:
    """What a member has, as a leader would have written it in the version that it speaks."""
    version = min(_version(classic.protocols[0].metadata), _VERSION_MAX)
    assignment = ConsumerProtocolAssignment(
        [
            TopicPartition(name, partitions)
            for topic_id, partitions in by_topic(member.assigned).items()
            if (name := topics.topic_name(topic_id)) is not None
        ]
    )
    return version.to_bytes(_VERSION_BYTES, "big") + schema.encode(assignment, version)


# Joining.


def join(draft: Draft, request: Join, topics: AllTopics) -> JoinGroupResponse:
    """A member of the classic protocol joins, or joins again.

    Raises:
        KafkaError: why it may not; MEMBER_ID_REQUIRED if it is to come again with an id.
    """
    asked = request.request
    check_protocols(draft.group, request)
    newcomer = not asked.member_id and asked.group_instance_id is None
    if newcomer and request.call.version >= _ID_REQUIRED_VERSION:
        raise KafkaError(ErrorCode.MEMBER_ID_REQUIRED)
    try:
        subscription = read_subscription(request.protocols[0].metadata)
    except PeerError as error:
        raise KafkaError(ErrorCode.UNKNOWN_SERVER_ERROR, str(error)) from error
    before = _joining(draft, request)
    member = _updated(before, request, subscription)
    resubscribed = (member.topics, member.regex) != (before.topics, before.regex)
    draft.put(member)
    draft.refresh(resubscribed=resubscribed)
    draft.assign()
    reported = with_ids(subscription.owned_partitions, topics)
    moved = draft.reconcile(member, reported, resubscribed=resubscribed)
    _set_join_timers(draft.group, moved, request.call.step)
    return JoinGroupResponse(
        generation_id=moved.epoch,
        protocol_type=CONSUMER,
        protocol_name=request.protocols[0].name,
        leader="",
        member_id=moved.member_id,
    )


def check_protocols(group: ConsumerGroup, request: Join) -> None:
    """The member must know a protocol that all others of the classic protocol know."""
    names = {protocol.name for protocol in request.protocols}
    for member in group.members.values():
        if member.classic is not None:
            names &= {protocol.name for protocol in member.classic.protocols}
    if request.request.protocol_type != CONSUMER or not names:
        raise KafkaError(ErrorCode.INCONSISTENT_GROUP_PROTOCOL)


def _joining(draft: Draft, request: Join) -> ConsumerMember:
    asked = request.request
    member_id = asked.member_id or request.fresh_id
    if asked.group_instance_id is None:
        return draft.member(member_id) or ConsumerMember(member_id)
    if asked.member_id:
        return find(draft.group, member_id, asked.group_instance_id)
    holder = draft.group.holder(asked.group_instance_id)
    if holder is None:
        return ConsumerMember(member_id)
    successor = replace(holder, member_id=member_id, epoch=0, previous_epoch=0)
    draft.replace(holder, successor)
    return successor


def _updated(
    member: ConsumerMember, request: Join, subscription: ConsumerProtocolSubscription
) -> ConsumerMember:
    asked, context = request.request, request.call.context
    return replace(
        member,
        instance_id=asked.group_instance_id or member.instance_id,
        rack_id=subscription.rack_id or member.rack_id,
        client_id=context.client_id,
        client_host=context.client_host,
        topics=frozenset(subscription.topics),
        # v0 knows no rebalance timeout: there it is the session's.
        rebalance_timeout_ms=asked.rebalance_timeout_ms
        if request.call.version
        else asked.session_timeout_ms,
        classic=Classic(asked.session_timeout_ms, tuple(request.protocols)),
    )


def _set_join_timers(group: ConsumerGroup, member: ConsumerMember, step: Step) -> None:
    former = group.holder(member.instance_id)
    if former is not None:
        group.cancel_all(former.member_id)
    group.cancel_all(member.member_id)
    group.keep_session(member, step)
    group.schedule("resync", member.member_id, member.rebalance_timeout_ms, step)


# Staying.


def sync(
    group: ConsumerGroup, request: SyncGroupRequest, topics: AllTopics, step: Step
) -> SyncGroupResponse:
    """A member asks for its assignment.

    Raises:
        KafkaError: why it is not told.
    """
    member, classic = _classic(group, request.member_id, request.group_instance_id)
    _check_generation(member, request.generation_id)
    name = classic.protocols[0].name
    if request.protocol_type not in (None, CONSUMER) or request.protocol_name not in (None, name):
        raise KafkaError(ErrorCode.INCONSISTENT_GROUP_PROTOCOL)
    if group.epoch > member.epoch and member.state is not MemberState.UNREVOKED_PARTITIONS:
        group.schedule_once("rejoin", member.member_id, member.rebalance_timeout_ms, step)
        raise KafkaError(ErrorCode.REBALANCE_IN_PROGRESS)
    group.cancel("resync", member.member_id)
    group.keep_session(member, step)
    return SyncGroupResponse(
        protocol_type=request.protocol_type,
        protocol_name=request.protocol_name,
        assignment=written_assignment(member, classic, topics),
    )


def heartbeat(group: ConsumerGroup, request: HeartbeatRequest, step: Step) -> ErrorCode:
    """A member is alive; whether it has to join again: to catch up, to give up, or to get more.

    Raises:
        KafkaError: it is not who it thinks it is.
    """
    member, _ = _classic(group, request.member_id, request.group_instance_id)
    _check_generation(member, request.generation_id)
    group.keep_session(member, step)
    behind = member.epoch < group.epoch or member.state is MemberState.UNREVOKED_PARTITIONS
    if behind or (
        member.state is MemberState.UNRELEASED_PARTITIONS and _may_have_more(group, member)
    ):
        group.schedule_once("rejoin", member.member_id, member.rebalance_timeout_ms, step)
        return ErrorCode.REBALANCE_IN_PROGRESS
    return ErrorCode.NONE


def _may_have_more(group: ConsumerGroup, member: ConsumerMember) -> bool:
    """Whether all that the member waits for has been given up by now."""
    target = group.targets.get(member.member_id, frozenset())
    return all(group.owner(place) is None for place in target - member.assigned.keys())


def _classic(
    group: ConsumerGroup, member_id: str, instance_id: str | None
) -> tuple[ConsumerMember, Classic]:
    member = find(group, member_id, instance_id)
    if member.classic is None:
        raise KafkaError(ErrorCode.UNKNOWN_MEMBER_ID)
    return member, member.classic


def find(group: ConsumerGroup, member_id: str, instance_id: str | None) -> ConsumerMember:
    """The member with these ids.

    Raises:
        KafkaError: UNKNOWN_MEMBER_ID, or FENCED_INSTANCE_ID if another has the instance id.
    """
    holder = group.holder(instance_id)
    if instance_id is not None and holder is not None and holder.member_id != member_id:
        raise KafkaError(ErrorCode.FENCED_INSTANCE_ID)
    member = group.members.get(member_id) if instance_id is None else holder
    if member is None:
        raise KafkaError(ErrorCode.UNKNOWN_MEMBER_ID)
    return member


def _check_generation(member: ConsumerMember, generation: int) -> None:
    if generation != member.epoch:
        raise KafkaError(ErrorCode.ILLEGAL_GENERATION)


def leaver(group: ConsumerGroup, identity: MemberIdentity) -> ConsumerMember:
    """The member that leaves, or that an administrator removes by its instance id (KIP-345).

    Raises:
        KafkaError: UNKNOWN_MEMBER_ID or FENCED_INSTANCE_ID.
    """
    member_id = identity.member_id
    if not member_id and identity.group_instance_id is not None:
        holder = group.holder(identity.group_instance_id)
        member_id = "" if holder is None else holder.member_id
    return find(group, member_id, identity.group_instance_id)

"""What the members of a consumer group say: ConsumerGroupHeartbeat v0-1 (KIP-848).

One request does all: with epoch 0 it joins, with -1 it leaves, with -2 a static member leaves for a
while; else it says that the member is alive, what it owns, and perhaps that it wishes for something
else. The answer tells the member its epoch and, if that is news to it, what it may consume.

The checks come in Kafka's order, so that a request with several faults gets the answer that Kafka
gives. They raise :class:`~mq.errors.KafkaError`, and nothing has happened then.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any, Final

from mq.coordinators.assignors import ASSIGNORS
from mq.coordinators.consumer_draft import Draft
from mq.coordinators.consumer_group import ConsumerGroup
from mq.coordinators.consumer_members import (
    LEAVING_EPOCH,
    STATIC_LEAVING_EPOCH,
    ConsumerMember,
    MemberState,
)
from mq.coordinators.effects import Call, Step
from mq.coordinators.topic_id_partitions import TopicIdPartition, by_topic, flat
from mq.coordinators.topic_patterns import TopicPattern
from mq.errors import ErrorCode, KafkaError
from mq.wire.messages.consumer_group_heartbeat import (
    Assignment,
    ConsumerGroupHeartbeatRequest,
    ConsumerGroupHeartbeatResponse,
    TopicPartitions,
)

__all__ = ["check_request", "heartbeat", "leaver", "leaves", "static_leave"]

_JOINING_EPOCH: Final = 0
_CLIENT_MAKES_ID_VERSION: Final = 1


def leaves(request: ConsumerGroupHeartbeatRequest) -> bool:
    """Whether the member goes, for ever or for a while."""
    return request.member_epoch in (LEAVING_EPOCH, STATIC_LEAVING_EPOCH)


def check_request(request: ConsumerGroupHeartbeatRequest, version: int) -> None:
    """Refuse what makes no sense in any group.

    Raises:
        KafkaError: INVALID_REQUEST or UNSUPPORTED_ASSIGNOR.
    """
    epoch = request.member_epoch
    named = version >= _CLIENT_MAKES_ID_VERSION or epoch > 0 or epoch == LEAVING_EPOCH
    if named and _is_blank(request.member_id):
        raise _nonsense("MemberId is empty.")
    for name, value in (
        ("GroupId", request.group_id),
        ("InstanceId", request.instance_id),
        ("RackId", request.rack_id),
    ):
        if _is_blank(value):
            raise _nonsense(f"{name} is empty.")
    if epoch == _JOINING_EPOCH:
        _check_first(request)
    elif epoch == STATIC_LEAVING_EPOCH and request.instance_id is None:
        raise _nonsense("InstanceId is missing.")
    elif epoch < STATIC_LEAVING_EPOCH:
        raise _nonsense("MemberEpoch is out of range.")
    if request.server_assignor is not None and request.server_assignor not in ASSIGNORS:
        raise KafkaError(
            ErrorCode.UNSUPPORTED_ASSIGNOR,
            f"There is no assignor {request.server_assignor}, but {', '.join(ASSIGNORS)}.",
        )


def _check_first(request: ConsumerGroupHeartbeatRequest) -> None:
    if request.rebalance_timeout_ms == -1:
        raise _nonsense("RebalanceTimeoutMs is missing in a first request.")
    if request.topic_partitions is None or request.topic_partitions:
        raise _nonsense("TopicPartitions is not empty in a first request.")
    if request.subscribed_topic_names is None and request.subscribed_topic_regex is None:
        raise _nonsense("SubscribedTopicNames and SubscribedTopicRegex are both missing.")


def _is_blank(value: str | None) -> bool:
    return value is not None and not value.strip()


def _nonsense(why: str) -> KafkaError:
    return KafkaError(ErrorCode.INVALID_REQUEST, why)


# A member that stays.


def heartbeat(
    draft: Draft, request: ConsumerGroupHeartbeatRequest, call: Call, member_id: str
) -> ConsumerGroupHeartbeatResponse:
    """A member joins, goes on, or changes its mind; ``member_id`` is its id, perhaps a fresh one.

    Raises:
        KafkaError: why it may not.
    """
    before = _find(draft, request, member_id)
    member = _updated(before, request, call)
    resubscribed = (member.topics, member.regex) != (before.topics, before.regex)
    if member.regex and member.regex != before.regex:
        TopicPattern(member.regex)
    draft.put(member)
    draft.refresh(resubscribed=resubscribed)
    draft.assign()
    reported = None if request.topic_partitions is None else flat(request.topic_partitions)
    moved = draft.reconcile(member, reported, resubscribed=resubscribed)
    _set_timers(draft.group, member, moved, call.step)
    return _answer(draft.group, request, before, moved)


def _find(draft: Draft, request: ConsumerGroupHeartbeatRequest, member_id: str) -> ConsumerMember:
    """The member as it was; a new one if it may join."""
    if request.instance_id is not None:
        return _find_static(draft, request, member_id)
    member = draft.member(member_id)
    if member is not None:
        _check_epoch(member, request)
        return member
    if request.member_epoch != _JOINING_EPOCH:
        raise _unknown(f"Nobody called {member_id} is in group {draft.group.group_id}.")
    return ConsumerMember(member_id)


def _find_static(
    draft: Draft, request: ConsumerGroupHeartbeatRequest, member_id: str
) -> ConsumerMember:
    holder = draft.group.holder(request.instance_id)
    if request.member_epoch != _JOINING_EPOCH:
        member = _holder(holder, request.instance_id, member_id)
        _check_epoch(member, request)
        return member
    if holder is None:
        return draft.member(member_id) or ConsumerMember(member_id)
    if holder.classic is None and holder.epoch != STATIC_LEAVING_EPOCH:
        raise KafkaError(
            ErrorCode.UNRELEASED_INSTANCE_ID,
            f"Instance id {request.instance_id} belongs to {holder.member_id}, which is not gone.",
        )
    successor = replace(holder, member_id=member_id, epoch=0, previous_epoch=0)
    draft.replace(holder, successor)
    return successor


def _holder(
    holder: ConsumerMember | None, instance_id: str | None, member_id: str
) -> ConsumerMember:
    """The holder of an instance id, if that is who asks."""
    if holder is None:
        raise _unknown(f"Instance id {instance_id} is unknown.")
    if holder.member_id != member_id:
        raise KafkaError(
            ErrorCode.FENCED_INSTANCE_ID,
            f"Instance id {instance_id} belongs to {holder.member_id} by now.",
        )
    return holder


def _check_epoch(member: ConsumerMember, request: ConsumerGroupHeartbeatRequest) -> None:
    """A member is in its epoch, or in the one before if it cannot have heard of this one.

    It cannot if the answer was lost: then it still has nothing that it may not have. Epoch 0 is
    right at all times: it begins anew and says that it owns nothing.
    """
    epoch, listed = request.member_epoch, request.topic_partitions
    if epoch in (_JOINING_EPOCH, member.epoch):
        return
    late = listed is not None and epoch == member.previous_epoch < member.epoch
    if late and all(place in member.assigned for place in flat(listed or [])):
        return
    raise KafkaError(
        ErrorCode.FENCED_MEMBER_EPOCH,
        f"The member is in epoch {member.epoch}, not in {epoch}: it has to give up all its "
        "partitions and to join again.",
    )


def _unknown(why: str) -> KafkaError:
    return KafkaError(ErrorCode.UNKNOWN_MEMBER_ID, why)


def _updated(
    member: ConsumerMember, request: ConsumerGroupHeartbeatRequest, call: Call
) -> ConsumerMember:
    """The member with what it says of itself; what it leaves out is as before.

    Nearly all heartbeats say nothing new: then it is the same object, and nothing has to be stored.
    """
    names, timeout_ms = request.subscribed_topic_names, request.rebalance_timeout_ms
    said: dict[str, Any] = {
        "instance_id": request.instance_id,
        "rack_id": request.rack_id,
        "client_id": call.context.client_id,
        "client_host": call.context.client_host,
        "topics": None if names is None else frozenset(names),
        "regex": request.subscribed_topic_regex,
        "rebalance_timeout_ms": None if timeout_ms == -1 else timeout_ms,
        "server_assignor": request.server_assignor,
    }
    news = {
        name: value
        for name, value in said.items()
        if value is not None and value != getattr(member, name)
    }
    if not news and member.classic is None:
        return member
    return replace(member, **news, classic=None)


def _set_timers(
    group: ConsumerGroup, before: ConsumerMember, moved: ConsumerMember, step: Step
) -> None:
    former = group.holder(moved.instance_id) or group.members.get(moved.member_id)
    if former is not None and (former.member_id != moved.member_id or former.classic is not None):
        group.cancel_all(former.member_id)
    group.keep_session(moved, step)
    if moved == before:
        return
    if moved.state is MemberState.UNREVOKED_PARTITIONS:
        group.schedule("revocation", moved.member_id, moved.rebalance_timeout_ms, step)
    else:
        group.cancel("revocation", moved.member_id)


def _answer(
    group: ConsumerGroup,
    request: ConsumerGroupHeartbeatRequest,
    before: ConsumerMember,
    member: ConsumerMember,
) -> ConsumerGroupHeartbeatResponse:
    subscribes = (request.subscribed_topic_names, request.subscribed_topic_regex) != (None, None)
    says_all = (
        request.rebalance_timeout_ms != -1 and subscribes and request.topic_partitions is not None
    )
    told = says_all or request.member_epoch == _JOINING_EPOCH
    return ConsumerGroupHeartbeatResponse(
        member_id=member.member_id,
        member_epoch=member.epoch,
        heartbeat_interval_ms=group.heartbeat_interval_ms,
        assignment=_assignment(member.assigned)
        if told or member.assigned.keys() != before.assigned.keys()
        else None,
    )


def _assignment(places: Iterable[TopicIdPartition]) -> Assignment:
    return Assignment([TopicPartitions(*each) for each in by_topic(places).items()])


# A member that goes.


def leaver(group: ConsumerGroup, request: ConsumerGroupHeartbeatRequest) -> ConsumerMember:
    """The member that wants to go.

    Raises:
        KafkaError: UNKNOWN_MEMBER_ID or FENCED_INSTANCE_ID.
    """
    if request.instance_id is not None:
        holder = group.holder(request.instance_id)
        return _holder(holder, request.instance_id, request.member_id)
    member = group.members.get(request.member_id)
    if member is None:
        raise _unknown(f"Nobody called {request.member_id} is in group {group.group_id}.")
    return member


def static_leave(draft: Draft, member: ConsumerMember) -> None:
    """A static member will be back: it keeps what it has until its session ends.

    What it owns has no epoch any more that a commit of its former life could name.
    """
    assigned = dict.fromkeys(member.assigned, 0)
    draft.put(replace(member, epoch=STATIC_LEAVING_EPOCH, assigned=assigned, revoking={}))
    draft.group.cancel("revocation", member.member_id)

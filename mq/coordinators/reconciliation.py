"""How one member comes from the partitions that it has to those that it is to have (KIP-848).

Nothing changes hands at once: a member first gives up what is not meant for it any more, and only
what nobody owns is given to it. :func:`reconcile` decides the next step of one member, knowing who
owns what and what its client says it still has; it looks at no other member's future.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Set
from typing import NamedTuple
from uuid import UUID

from mq.coordinators.consumer_members import ConsumerMember, MemberState
from mq.coordinators.topic_id_partitions import TopicIdPartition

__all__ = ["Goal", "reconcile"]


class Goal(NamedTuple):
    """Where a member is to go.

    ``subscribed`` are the ids of the topics that it subscribes to now: of the others it keeps
    nothing, whatever the target says, which may be older than its subscription.
    """

    epoch: int
    target: Set[TopicIdPartition]
    subscribed: Collection[UUID]


def reconcile(
    member: ConsumerMember,
    goal: Goal,
    reported: Collection[TopicIdPartition] | None,
    owner: Callable[[TopicIdPartition], str | None],
    *,
    resubscribed: bool,
) -> ConsumerMember:
    """The member after this step, or the same if it cannot go on.

    Args:
        member: as it stands.
        goal: where it is to go.
        reported: the partitions that its client says it owns, None if it does not say.
        owner: tells which member owns a partition.
        resubscribed: its subscription has just changed.
    """
    if member.state is MemberState.STABLE and member.epoch == goal.epoch:
        return _restrict(member, goal, reported) if resubscribed else member
    if member.state is MemberState.UNREVOKED_PARTITIONS and _owns(reported, member.revoking):
        return _restrict(member, goal, reported) if resubscribed else member
    return _advance(member, goal, reported, owner)


def _advance(
    member: ConsumerMember,
    goal: Goal,
    reported: Collection[TopicIdPartition] | None,
    owner: Callable[[TopicIdPartition], str | None],
) -> ConsumerMember:
    target = {place for place in goal.target if place.topic_id in goal.subscribed}
    keep = {place: epoch for place, epoch in member.assigned.items() if place in target}
    revoke = {place: epoch for place, epoch in member.assigned.items() if place not in target}
    if revoke and _owns(reported, revoke):
        return member.moved(member.epoch, MemberState.UNREVOKED_PARTITIONS, keep, revoke)
    missing = target - keep.keys()
    # What the member itself was giving up counts as free: it has let go by now.
    free = {place for place in missing if owner(place) in (None, member.member_id)}
    state = MemberState.UNRELEASED_PARTITIONS if missing - free else MemberState.STABLE
    return member.moved(goal.epoch, state, keep | dict.fromkeys(free, goal.epoch), {})


def _restrict(
    member: ConsumerMember, goal: Goal, reported: Collection[TopicIdPartition] | None
) -> ConsumerMember:
    """Take away what the member does not subscribe to any more, and leave the rest as it is."""
    keep = {p: epoch for p, epoch in member.assigned.items() if p.topic_id in goal.subscribed}
    if len(keep) == len(member.assigned):
        return member
    dropped = {p: epoch for p, epoch in member.assigned.items() if p not in keep}
    revoking = {**member.revoking, **dropped}
    if _owns(reported, revoking):
        return member.moved(member.epoch, MemberState.UNREVOKED_PARTITIONS, keep, revoking)
    return member.moved(member.epoch, member.state, keep, member.revoking)


def _owns(
    reported: Collection[TopicIdPartition] | None, revoked: Mapping[TopicIdPartition, int]
) -> bool:
    """Whether a client still owns something of ``revoked``; if it does not say, it does."""
    return reported is None or any(place in revoked for place in reported)

"""A member of a consumer group (KIP-848), as a value.

What a member is comes in two parts, each stored in a record of its own: what it told about itself
(its subscription, its timeouts) and how far it has come in taking over its assignment. A member
that changes is another value; what has changed is seen by comparing the two.

A member of the classic protocol may live in a consumer group while its service is being upgraded:
then ``classic`` keeps what only that protocol needs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import IntEnum
from typing import Final, NamedTuple

from mq.coordinators.classic_members import Protocol
from mq.coordinators.topic_id_partitions import TopicIdPartition

__all__ = ["LEAVING_EPOCH", "STATIC_LEAVING_EPOCH", "Classic", "ConsumerMember", "MemberState"]

LEAVING_EPOCH: Final = -1
"""The epoch in the heartbeat of a member that leaves."""

STATIC_LEAVING_EPOCH: Final = -2
"""The epoch of a static member that leaves for a while: its place is kept (KIP-345)."""


class MemberState(IntEnum):
    """How far a member has come; the numbers are those of the records."""

    STABLE = 0
    UNREVOKED_PARTITIONS = 1  # it has to give something up first
    UNRELEASED_PARTITIONS = 2  # what it is to get, another member still has


class Classic(NamedTuple):
    """What a member of the classic protocol told when it joined."""

    session_timeout_ms: int
    protocols: tuple[Protocol, ...]


@dataclass(frozen=True, slots=True)
class ConsumerMember:
    """One member.

    ``assigned`` is what it may consume and ``revoking`` what it was asked to give up and still
    owns, each with the epoch in which it was assigned (KIP-1251). A ``regex`` of "" is none.
    """

    member_id: str
    instance_id: str | None = None
    rack_id: str | None = None
    client_id: str = ""
    client_host: str = ""
    topics: frozenset[str] = frozenset()
    regex: str = ""
    rebalance_timeout_ms: int = -1
    server_assignor: str | None = None
    classic: Classic | None = None
    epoch: int = 0
    previous_epoch: int = 0
    state: MemberState = MemberState.STABLE
    assigned: Mapping[TopicIdPartition, int] = field(default_factory=dict)
    revoking: Mapping[TopicIdPartition, int] = field(default_factory=dict)

    def tells_the_same(self, other: ConsumerMember) -> bool:
        """Whether ``other`` differs at most in how far it has come."""
        return self.standing_as(other) == other

    def stands_the_same(self, other: ConsumerMember) -> bool:
        """Whether ``other`` has come exactly as far."""
        return self.standing_as(other) == self

    def standing_as(self, other: ConsumerMember) -> ConsumerMember:
        """This member, having come as far as ``other``."""
        return replace(
            self,
            epoch=other.epoch,
            previous_epoch=other.previous_epoch,
            state=other.state,
            assigned=other.assigned,
            revoking=other.revoking,
        )

    def is_reconciled_to(self, epoch: int) -> bool:
        """Whether it has all that the target assignment of ``epoch`` gives it."""
        return self.state is MemberState.STABLE and self.epoch == epoch

    def moved(
        self,
        epoch: int,
        state: MemberState,
        assigned: Mapping[TopicIdPartition, int],
        revoking: Mapping[TopicIdPartition, int],
    ) -> ConsumerMember:
        """The member a step further; the epoch that it leaves is remembered, for its answer may be
        lost."""
        return replace(
            self,
            epoch=epoch,
            previous_epoch=self.epoch,
            state=state,
            assigned=assigned,
            revoking=revoking,
        )

    def all_owned(self) -> ConsumerMember:
        """The member as if nothing of what it has were to be given up."""
        return replace(self, assigned={**self.assigned, **self.revoking}, revoking={})

    def assignment_epoch(self, place: TopicIdPartition) -> int | None:
        """Since which epoch it owns a partition, None if it does not."""
        return self.assigned.get(place, self.revoking.get(place))

"""The members of a classic group, and what they agree on.

A member is known by its member id, which the coordinator gave it; a static one (KIP-345) also by
the instance id that it chose itself and keeps over restarts. :class:`Members` keeps both views and
the leader together. It knows nothing of states, timers or replies: those are the group's.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from mq.errors import ErrorCode, PeerError
from mq.wire import schema
from mq.wire.messages.consumer_protocol import ConsumerProtocolSubscription
from mq.wire.messages.describe_groups import DescribedGroupMember
from mq.wire.messages.join_group import JoinGroupResponseMember
from mq.wire.messages.records.group_metadata import MemberMetadata

__all__ = ["Member", "Members", "Parked", "Protocol", "select_protocol", "subscribed_topics"]


class Protocol(NamedTuple):
    """A way to assign partitions that a member knows, with what it wants to tell its leader."""

    name: str
    metadata: bytes


class Parked(NamedTuple):
    """A request that waits for the group: its token, and the version its answer must have."""

    token: int
    version: int


@dataclass(slots=True, eq=False)
class Member:
    """One member. What is parked, and whether it is ``new``, lives in memory only."""

    member_id: str
    instance_id: str | None
    client_id: str
    client_host: str
    rebalance_timeout_ms: int
    session_timeout_ms: int
    protocols: tuple[Protocol, ...]
    assignment: bytes = b""
    joining: Parked | None = None
    syncing: Parked | None = None
    new: bool = False  # it joined and has never been told its member id by an answer

    @classmethod
    def restored(cls, protocol: str, stored: MemberMetadata) -> Member:
        """The member that a record describes: of its protocols only the chosen one is known."""
        rebalance_timeout_ms = stored.rebalance_timeout
        return cls(
            stored.member_id,
            stored.group_instance_id,
            stored.client_id,
            stored.client_host,
            stored.session_timeout if rebalance_timeout_ms == -1 else rebalance_timeout_ms,
            stored.session_timeout,
            (Protocol(protocol, stored.subscription),),
            stored.assignment,
        )

    @property
    def waits(self) -> bool:
        """Whether the silence of the member is the group's doing, so no heartbeat is expected.

        A new member does not know its id yet, so for it the rule does not hold: if its client has
        gone away nobody will ever answer the join that it left behind.
        """
        return not self.new and (self.joining is not None or self.syncing is not None)

    def knows(self, protocol: str) -> bool:
        """Whether the member can be assigned partitions by ``protocol``."""
        return any(known.name == protocol for known in self.protocols)

    def metadata(self, protocol: str) -> bytes:
        """What the member says to a leader that assigns by ``protocol``, which it must know."""
        return next(known.metadata for known in self.protocols if known.name == protocol)

    def vote(self, candidates: Iterable[str]) -> str:
        """The member's favourite among ``candidates``, of which it must know one."""
        return next(known.name for known in self.protocols if known.name in candidates)

    def stored(self, protocol: str, assignment: bytes) -> MemberMetadata:
        """The member as a record keeps it."""
        return MemberMetadata(
            member_id=self.member_id,
            group_instance_id=self.instance_id,
            client_id=self.client_id,
            client_host=self.client_host,
            rebalance_timeout=self.rebalance_timeout_ms,
            session_timeout=self.session_timeout_ms,
            subscription=self.metadata(protocol),
            assignment=assignment,
        )

    def is_stored_as(self, stored: MemberMetadata, protocol: str) -> bool:
        """Whether a record describes the member as it is, but for its assignment."""
        return self.knows(protocol) and self.stored(protocol, stored.assignment) == stored

    def shown_to_leader(self, protocol: str) -> JoinGroupResponseMember:
        """The member as the leader sees it, who is to assign it its partitions."""
        return JoinGroupResponseMember(self.member_id, self.instance_id, self.metadata(protocol))

    def described(self, protocol: str | None) -> DescribedGroupMember:
        """The member as an administrator sees it; its metadata only if there is a protocol."""
        return DescribedGroupMember(
            member_id=self.member_id,
            group_instance_id=self.instance_id,
            client_id=self.client_id,
            client_host=self.client_host,
            member_metadata=b"" if protocol is None else self.metadata(protocol),
            member_assignment=self.assignment,
        )


class Members:
    """All members of a group, its leader, and those who are expected to say something.

    ``pending`` are ids that were handed out and have not joined yet (KIP-394); ``unsynced`` are
    members that have been told the generation and not yet asked for their assignment.
    """

    def __init__(self) -> None:
        self._by_id: dict[str, Member] = {}
        self._static: dict[str, str] = {}
        self.leader: str | None = None
        self.pending: set[str] = set()
        self.unsynced: set[str] = set()

    def __len__(self) -> int:
        return len(self._by_id)

    def __iter__(self) -> Iterator[Member]:
        return iter(self._by_id.values())

    def __contains__(self, member_id: str) -> bool:
        return member_id in self._by_id

    def __getitem__(self, member_id: str) -> Member:
        return self._by_id[member_id]

    def get(self, member_id: str) -> Member | None:
        """The member with this id, if there is one."""
        return self._by_id.get(member_id)

    def holder(self, instance_id: str | None) -> Member | None:
        """The member that holds a static instance id at present, if any."""
        member_id = None if instance_id is None else self._static.get(instance_id)
        return None if member_id is None else self._by_id[member_id]

    def check(self, member_id: str, instance_id: str | None) -> ErrorCode:
        """Whether these ids belong to a member; an instance id whose holder changed is fenced."""
        if instance_id is not None:
            holder = self._static.get(instance_id)
            if holder is None:
                return ErrorCode.UNKNOWN_MEMBER_ID
            if holder != member_id:
                return ErrorCode.FENCED_INSTANCE_ID
        return ErrorCode.NONE if member_id in self._by_id else ErrorCode.UNKNOWN_MEMBER_ID

    def add(self, member: Member) -> None:
        """Take in a member; the first one leads."""
        assert member.member_id not in self._by_id
        if member.instance_id is not None:
            assert member.instance_id not in self._static
            self._static[member.instance_id] = member.member_id
        self._by_id[member.member_id] = member
        self.pending.discard(member.member_id)
        self.leader = self.leader or member.member_id

    def remove(self, member_id: str) -> None:
        """Forget a member or a pending id; if it led, the longest-standing member leads."""
        member = self._by_id.pop(member_id, None)
        if member is not None and member.instance_id is not None:
            del self._static[member.instance_id]
        if self.leader == member_id:
            self.leader = next(iter(self._by_id), None)
        self.pending.discard(member_id)
        self.unsynced.discard(member_id)

    def replace(self, successor: Member) -> Member:
        """Let ``successor`` stand in for the holder of its instance id, which is returned."""
        assert successor.instance_id is not None
        old = self._by_id[self._static[successor.instance_id]]
        in_order = (successor if member is old else member for member in self)
        self._by_id = {member.member_id: member for member in in_order}
        self._static[successor.instance_id] = successor.member_id
        if self.leader == old.member_id:
            self.leader = successor.member_id
        if old.member_id in self.unsynced:
            self.unsynced.remove(old.member_id)
            self.unsynced.add(successor.member_id)
        return old

    @property
    def all_joined(self) -> bool:
        """Whether everyone, pending ids included, takes part in the rebalance."""
        return not self.pending and all(member.joining for member in self)

    @property
    def joined(self) -> int:
        """How many members take part in the rebalance so far."""
        return sum(member.joining is not None for member in self)

    @property
    def rebalance_timeout_ms(self) -> int:
        """How long the slowest member may take to rejoin."""
        return max((member.rebalance_timeout_ms for member in self), default=0)

    def elect_joined_leader(self) -> bool:
        """See to it that a member leads who takes part in the rebalance, if there is one."""
        if self.leader is not None and self._by_id[self.leader].joining is None:
            joined = next((member for member in self if member.joining), None)
            if joined is None:
                return False
            self.leader = joined.member_id
        return self.leader is not None

    def share_any(self, protocols: Iterable[str]) -> bool:
        """Whether all members know one of ``protocols``."""
        return any(all(member.knows(name) for member in self) for name in protocols)


def select_protocol(members: Sequence[Member]) -> str:
    """The protocol that all know and most of them prefer; of equals, the eldest's choice."""
    candidates = [
        known.name
        for known in members[0].protocols
        if all(member.knows(known.name) for member in members)
    ]
    votes = Counter(member.vote(candidates) for member in members)
    return votes.most_common(1)[0][0]


def subscribed_topics(metadata: Iterable[bytes]) -> frozenset[str] | None:
    """The topics in the subscriptions of consumers, or None if one of them cannot be read.

    All versions of a subscription begin alike: with a version, which is skipped, and the topics.
    """
    topics: set[str] = set()
    try:
        for data in metadata:
            subscription, _ = schema.decode(ConsumerProtocolSubscription, data, 0, 2)
            topics.update(subscription.topics)
    except PeerError:
        return None
    return frozenset(topics)

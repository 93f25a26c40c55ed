"""A group of the consumer protocol (KIP-848): its durable state, and what can be asked of it.

Members come and go and tell what they subscribe to; each such change raises the group's epoch. For
each epoch the coordinator decides on a target assignment, and member by member is brought there
(:mod:`~mq.coordinators.reconciliation`). There is no moment at which all wait for one.

Everything is durable: :meth:`ConsumerGroup.apply` builds the group from its records, live and in
recovery alike, and a restart changes nothing but the timers. What a step is about to change lives
in a :class:`~mq.coordinators.consumer_draft.Draft` until it is stored. What members ask for is in
``consumer_heartbeat``, and in ``consumer_classic`` for those of the classic protocol, of which some
may be here while a service is being upgraded (``migration``).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Final, Literal
from uuid import UUID

from mq.coordinators import consumer_group_records as records
from mq.coordinators.assignors import DEFAULT_ASSIGNOR, Target
from mq.coordinators.consumer_members import ConsumerMember
from mq.coordinators.effects import StateRecord, Step
from mq.coordinators.group_config import GroupConfig
from mq.coordinators.timer_key import TimerKey
from mq.coordinators.timers import Timers
from mq.coordinators.topic_id_partitions import TopicIdPartition, by_topic, flat
from mq.errors import ErrorCode
from mq.wire.fields import Message
from mq.wire.messages.consumer_group_describe import (
    Assignment,
    DescribedGroup,
    Member,
    TopicPartitions,
)
from mq.wire.messages.list_groups import ListedGroup
from mq.wire.messages.records import consumer_group_current_member_assignment as current
from mq.wire.messages.records import consumer_group_member_metadata as metadata
from mq.wire.messages.records import consumer_group_target_assignment_member as target_member
from mq.wire.messages.records.consumer_group_metadata import ConsumerGroupMetadataValue
from mq.wire.messages.records.consumer_group_regular_expression import (
    ConsumerGroupRegularExpressionKey,
    ConsumerGroupRegularExpressionValue,
)
from mq.wire.messages.records.consumer_group_target_assignment_metadata import (
    ConsumerGroupTargetAssignmentMetadataKey,
    ConsumerGroupTargetAssignmentMetadataValue,
)

__all__ = ["FIRST_EPOCH", "ConsumerGroup", "TimerKind"]

# Kafka counts from here; the first member raises it.
FIRST_EPOCH: Final = 1

CONSUMER: Final = "consumer"

_OFFSET_COMMIT_VERSION_MIN: Final = 9  # the first one whose client knows STALE_MEMBER_EPOCH

# A broker hears 200 heartbeats in a second at most, which is about a twentieth of one processor
# (measured), until there are so many members that Kafka's own interval is reached.
_HEARTBEAT_SHARE_MS: Final = 5
_CROWDED_INTERVAL_MS: Final = 5_000

_CONSUMER_MEMBER: Final = 1
_CLASSIC_MEMBER: Final = 0

TimerKind = Literal["member", "revocation", "rejoin", "resync"]
"""What is waited for of one member: to be heard of, to give up partitions; of one of the classic
protocol to join again, and to ask for its assignment."""

_TIMER_KINDS: Final[tuple[TimerKind, ...]] = ("member", "revocation", "rejoin", "resync")


class ConsumerGroup:
    """One group of the consumer protocol."""

    kind: Final = "consumer"

    def __init__(self, group_id: str, config: GroupConfig, timers: Timers[TimerKey]) -> None:
        self.group_id = group_id
        self.epoch = FIRST_EPOCH
        self.metadata_hash = 0
        self.members: dict[str, ConsumerMember] = {}
        self.targets: dict[str, Target] = {}
        self.target_epoch = 0
        self.patterns: dict[str, records.ResolvedPattern] = {}
        # In which version of the catalog subscriptions were looked at last, None since the start.
        self.catalog_version: int | None = None
        self._static: dict[str, str] = {}
        self._owners: dict[TopicIdPartition, str] = {}
        self._config = config
        self._timers = timers

    # What a group of any kind answers to.

    @property
    def empty(self) -> bool:
        """Whether nobody is in the group."""
        return not self.members

    def check_commit(
        self,
        generation: int,
        member_id: str,
        instance_id: str | None,
        version: int | None = None,
        places: Callable[[], Iterable[TopicIdPartition]] | None = None,
    ) -> ErrorCode:
        """Whether offsets may be committed in this name, in a transaction if ``version`` is None.

        A member that has not heard of its new epoch yet may still commit what it owned already in
        the epoch that it knows (KIP-1251); ``places`` tells what that would be.
        """
        if self.empty and generation < 0:
            return ErrorCode.NONE
        if version is None and generation == -1 and not member_id and instance_id is None:
            return ErrorCode.NONE  # a transaction of one who is no member
        member = self.members.get(member_id)
        if member is None:
            return ErrorCode.UNKNOWN_MEMBER_ID
        if version is not None and version < _OFFSET_COMMIT_VERSION_MIN and member.classic is None:
            return ErrorCode.UNSUPPORTED_VERSION
        if generation == member.epoch:
            return ErrorCode.NONE
        if generation < member.epoch and places is not None:
            since = [member.assignment_epoch(place) for place in places()]
            if all(epoch is not None and epoch <= generation for epoch in since):
                return ErrorCode.NONE
        return ErrorCode.ILLEGAL_GENERATION if version is None else _stale(member)

    def check_fetch(self, member_id: str | None, epoch: int) -> ErrorCode:
        """Whether committed offsets may be told; tools, which name no member, may ask always."""
        if member_id is None and epoch < 0:
            return ErrorCode.NONE
        member = self.members.get(member_id or "")
        if member is None:
            return ErrorCode.UNKNOWN_MEMBER_ID
        return ErrorCode.NONE if epoch == member.epoch else _stale(member)

    def committed(self, member_id: str, step: Step) -> None:
        """A commit says nothing of the member's life: its heartbeats go on whatever it does."""

    def check_offset_delete(self) -> ErrorCode:
        """Whether offsets may be deleted: always those of topics that nobody subscribes to."""
        return ErrorCode.NONE

    def check_delete(self) -> ErrorCode:
        """Whether the group may be deleted."""
        return ErrorCode.NONE if self.empty else ErrorCode.NON_EMPTY_GROUP

    def subscribes(self, topic: str) -> bool:
        """Whether a member reads ``topic``."""
        return any(topic in self.topics_of(member) for member in self.members.values())

    def expiry_base_ms(self, committed_ms: int) -> int | None:
        """From when on the retention of an offset counts (KIP-211): its commit, as in Kafka."""
        return committed_ms

    @property
    def expendable(self) -> bool:
        """Whether the group may go once its last offset has expired."""
        return self.empty

    def tombstones(self) -> tuple[StateRecord, ...]:
        """The records that delete the group itself."""
        return tuple(records.group_tombstones(self.group_id, self.members, self.patterns))

    def listed(self) -> ListedGroup:
        """The group's line in a list of groups."""
        return ListedGroup(self.group_id, CONSUMER, self.state, self.kind)

    # Asking.

    @property
    def state(self) -> str:
        """Where the group stands, as clients see it."""
        if self.empty:
            return "Empty"
        if self.epoch > self.target_epoch:
            return "Assigning"
        if all(each.is_reconciled_to(self.target_epoch) for each in self.members.values()):
            return "Stable"
        return "Reconciling"

    @property
    def session_timeout_ms(self) -> int:
        """How long nothing may be heard of a member of the consumer protocol."""
        return self._config.consumer_session_timeout_ms

    @property
    def heartbeat_interval_ms(self) -> int:
        """How often its members are to be heard of: the less often, the more of all groups wait to
        be heard of, so that heartbeats alone never keep the broker busy."""
        crowded_ms = min(len(self._timers) * _HEARTBEAT_SHARE_MS, _CROWDED_INTERVAL_MS)
        return max(self._config.consumer_heartbeat_interval_ms, crowded_ms)

    def holder(self, instance_id: str | None) -> ConsumerMember | None:
        """The member that holds a static instance id at present, if any."""
        member_id = None if instance_id is None else self._static.get(instance_id)
        return None if member_id is None else self.members[member_id]

    def owner(self, place: TopicIdPartition) -> str | None:
        """The member that has a partition, or has not given it up yet."""
        return self._owners.get(place)

    def topics_of(self, member: ConsumerMember) -> frozenset[str]:
        """The names of the topics that a member subscribes to, whether they exist or not."""
        resolved = self.patterns.get(member.regex)
        return member.topics if resolved is None else member.topics | resolved.topics

    def described(self, name_of: Callable[[UUID], str | None]) -> DescribedGroup:
        """The group as an administrator sees it."""
        return DescribedGroup(
            group_id=self.group_id,
            group_state=self.state,
            group_epoch=self.epoch,
            assignment_epoch=self.target_epoch,
            assignor_name=preferred_assignor(self.members.values()),
            members=[self._described(member, name_of) for member in self.members.values()],
        )

    def _described(self, member: ConsumerMember, name_of: Callable[[UUID], str | None]) -> Member:
        return Member(
            member_id=member.member_id,
            instance_id=member.instance_id,
            rack_id=member.rack_id,
            member_epoch=member.epoch,
            client_id=member.client_id,
            client_host=member.client_host,
            subscribed_topic_names=sorted(member.topics),
            subscribed_topic_regex=member.regex,
            assignment=_assignment([*member.assigned, *member.revoking], name_of),
            target_assignment=_assignment(self.targets.get(member.member_id, ()), name_of),
            member_type=_CLASSIC_MEMBER if member.classic else _CONSUMER_MEMBER,
        )

    # Durable state.

    def apply(self, key: records.Key, value: Message | None) -> None:
        """One of the group's records is stored; that of the group itself is a value here, for its
        removal is the end of this object."""
        match key, value:
            case _, ConsumerGroupMetadataValue():
                self.epoch, self.metadata_hash = value.epoch, value.metadata_hash
            case metadata.ConsumerGroupMemberMetadataKey(), None:
                self._remove(key.member_id)
            case (
                metadata.ConsumerGroupMemberMetadataKey(),
                metadata.ConsumerGroupMemberMetadataValue(),
            ):
                self._put(records.described(self._member(key.member_id), value))
            case current.ConsumerGroupCurrentMemberAssignmentKey(), None:
                if key.member_id in self.members:
                    member = self.members[key.member_id]
                    self._put(member.standing_as(ConsumerMember(key.member_id)))
            case (
                current.ConsumerGroupCurrentMemberAssignmentKey(),
                current.ConsumerGroupCurrentMemberAssignmentValue(),
            ):
                member = self._member(key.member_id)
                self._put(member.standing_as(records.standing(member, value)))
            case target_member.ConsumerGroupTargetAssignmentMemberKey(), None:
                self.targets.pop(key.member_id, None)
            case _, target_member.ConsumerGroupTargetAssignmentMemberValue():
                assert isinstance(key, target_member.ConsumerGroupTargetAssignmentMemberKey)
                self.targets[key.member_id] = frozenset(flat(value.topic_partitions))
            case ConsumerGroupTargetAssignmentMetadataKey(), None:
                self.target_epoch = 0
            case _, ConsumerGroupTargetAssignmentMetadataValue():
                self.target_epoch = value.assignment_epoch
            case ConsumerGroupRegularExpressionKey(), None:
                self.patterns.pop(key.regular_expression, None)
            case ConsumerGroupRegularExpressionKey(), ConsumerGroupRegularExpressionValue():
                self.patterns[key.regular_expression] = records.ResolvedPattern(
                    frozenset(value.topics), value.version, value.timestamp
                )

    def _member(self, member_id: str) -> ConsumerMember:
        return self.members.get(member_id) or ConsumerMember(member_id)

    def _put(self, member: ConsumerMember) -> None:
        self._disown(member.member_id)
        self.members[member.member_id] = member
        if member.instance_id is not None:
            self._static[member.instance_id] = member.member_id
        for place in (*member.assigned, *member.revoking):
            self._owners[place] = member.member_id

    def _remove(self, member_id: str) -> None:
        self._disown(member_id)
        member = self.members.pop(member_id, None)
        if member is not None and self._static.get(member.instance_id or "") == member_id:
            del self._static[member.instance_id or ""]

    def _disown(self, member_id: str) -> None:
        before = self.members.get(member_id)
        if before is not None:
            for place in (*before.assigned, *before.revoking):
                if self._owners.get(place) == member_id:
                    del self._owners[place]

    # Timers.

    def schedule(self, kind: TimerKind, member_id: str, delay_ms: int, step: Step) -> None:
        """Have something be due, whenever it was due before."""
        # Nobody checks the timeouts that clients send: a negative one is no delay.
        due_ms = step.now.monotonic_ms + max(delay_ms, 0)
        self._timers.schedule(TimerKey(kind, self.group_id, member_id), due_ms)

    def schedule_once(self, kind: TimerKind, member_id: str, delay_ms: int, step: Step) -> None:
        """Have something be due, unless it is to be already."""
        if TimerKey(kind, self.group_id, member_id) not in self._timers:
            self.schedule(kind, member_id, delay_ms, step)

    def cancel(self, kind: TimerKind, member_id: str) -> None:
        """Have something not be due."""
        self._timers.cancel(TimerKey(kind, self.group_id, member_id))

    def cancel_all(self, member_id: str) -> None:
        """Nothing is expected of this member any more."""
        for kind in _TIMER_KINDS:
            self.cancel(kind, member_id)

    def keep_session(self, member: ConsumerMember, step: Step) -> None:
        """A member was heard of: it is given its session's time once more."""
        classic = member.classic
        delay_ms = self.session_timeout_ms if classic is None else classic.session_timeout_ms
        self.schedule("member", member.member_id, delay_ms, step)

    def loaded(self, step: Step) -> None:
        """The log has been read, or a record was refused: all members there are have their time."""
        for member in self.members.values():
            if TimerKey("member", self.group_id, member.member_id) not in self._timers:
                self.keep_session(member, step)
            if member.state is member.state.UNREVOKED_PARTITIONS and member.classic is None:
                delay_ms = member.rebalance_timeout_ms
                self.schedule_once("revocation", member.member_id, delay_ms, step)

    def close(self) -> None:
        """The group is no more, and nothing of it is due any more."""
        for member_id in self.members:
            self.cancel_all(member_id)


def preferred_assignor(members: Iterable[ConsumerMember]) -> str:
    """The assignor that most members ask for."""
    votes = Counter(each.server_assignor for each in members if each.server_assignor is not None)
    return votes.most_common(1)[0][0] if votes else DEFAULT_ASSIGNOR


def _stale(member: ConsumerMember) -> ErrorCode:
    """What a member is told that is not in its own epoch: each protocol knows its own word."""
    return ErrorCode.STALE_MEMBER_EPOCH if member.classic is None else ErrorCode.ILLEGAL_GENERATION


def _assignment(
    places: Iterable[TopicIdPartition], name_of: Callable[[UUID], str | None]
) -> Assignment:
    """Partitions as an administrator sees them; those of deleted topics are left out."""
    return Assignment(
        [
            TopicPartitions(topic_id, name, partitions)
            for topic_id, partitions in by_topic(places).items()
            if (name := name_of(topic_id)) is not None
        ]
    )

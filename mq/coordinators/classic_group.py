"""A group of the classic protocol: its clients agree among themselves, the coordinator keeps order.

Members join; when all have (or the time is over) the coordinator names a generation, a protocol
and a leader; the leader assigns partitions and the coordinator stores that; then every member is
told its share. :data:`TRANSITIONS` is the whole life of a group. ``classic_admission`` decides who
may join and ``classic_membership`` what members may do; this module is the group itself.

Only a group at rest is durable: an empty one, or a stable one with its assignment. A record says
what the group is from now on, and :meth:`ClassicGroup.apply` makes it so, live and in recovery
alike. All that happens between two such states (who has joined, who waits, generations that never
got an assignment) is in memory and dies with it; the members then start over, which the protocol is
made for. Live, a record finds the members that it speaks of already there and leaves alone what
only memory knows of them.

The group does not know other groups, other kinds, or committed offsets: those are in ``groups``.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum
from typing import Final, Literal

from mq.coordinators import group_records
from mq.coordinators.classic_members import Member, Members, select_protocol, subscribed_topics
from mq.coordinators.effects import StateRecord, Step
from mq.coordinators.group_config import GroupConfig
from mq.coordinators.timer_key import TimerKey
from mq.coordinators.timers import Timers
from mq.errors import ErrorCode
from mq.wire.messages.describe_groups import DescribedGroup
from mq.wire.messages.join_group import JoinGroupResponse
from mq.wire.messages.list_groups import ListedGroup
from mq.wire.messages.records.group_metadata import GroupMetadataValue
from mq.wire.messages.sync_group import SyncGroupResponse

__all__ = ["TRANSITIONS", "ClassicGroup", "State", "join_refusal"]

# Whether a client still waits for the answer to its first join cannot be seen, and it does not know
# yet for what member to send heartbeats. So such a join is given up after this time, as in Kafka.
NEW_MEMBER_JOIN_TIMEOUT_MS: Final = 5 * 60 * 1_000

# While nobody joins, time is looked at again after each rebalance timeout; nobody checks those that
# clients send, and one of zero must not keep a processor busy.
NOBODY_JOINED_DELAY_MS_MIN: Final = 1_000

# The protocol type of consumers, whose subscriptions the coordinator can read.
CONSUMER: Final = "consumer"


class State(Enum):
    """Where a group stands; the values are what clients see."""

    EMPTY = "Empty"
    PREPARING_REBALANCE = "PreparingRebalance"
    COMPLETING_REBALANCE = "CompletingRebalance"
    STABLE = "Stable"
    DEAD = "Dead"


TRANSITIONS: Final = {
    State.EMPTY: frozenset({State.PREPARING_REBALANCE, State.DEAD}),
    State.PREPARING_REBALANCE: frozenset({State.COMPLETING_REBALANCE, State.EMPTY}),
    State.COMPLETING_REBALANCE: frozenset({State.STABLE, State.PREPARING_REBALANCE}),
    State.STABLE: frozenset({State.PREPARING_REBALANCE}),
    State.DEAD: frozenset[State](),
}


def join_refusal(version: int, member_id: str, error: ErrorCode) -> JoinGroupResponse:
    """A JoinGroup answer that lets nobody in; only from v7 on may it lack a protocol."""
    protocol = None if version >= 7 else ""
    return JoinGroupResponse(error_code=error, member_id=member_id, protocol_name=protocol)


class ClassicGroup:
    """One group of the classic protocol."""

    kind: Final = "classic"

    def __init__(
        self, group_id: str, config: GroupConfig, timers: Timers[TimerKey], created_ms: int
    ) -> None:
        self.group_id = group_id
        self.state = State.EMPTY
        self.state_timestamp_ms = created_ms
        self.generation = 0
        self.protocol_type: str | None = None
        self.protocol: str | None = None
        self.members = Members()
        # A static member that restarted takes over once the record that says so is applied.
        self.successor: Member | None = None
        # While the first rebalance of an empty group is held open for stragglers: for how long,
        # and for how much longer it may be.
        self._held_open_ms: tuple[int, int] | None = None
        self._straggler_came = False
        self._subscribed: frozenset[str] | None = None
        # Whether the last record was of a group that had yet to rebalance: it names no leader.
        self._unsettled = False
        self._config = config
        self._timers = timers

    # What a group of any kind answers to.

    @property
    def empty(self) -> bool:
        """Whether nobody is in the group."""
        return self.state is State.EMPTY

    def check_commit(
        self,
        generation: int,
        member_id: str,
        instance_id: str | None,
        *,
        transactional: bool = False,
    ) -> ErrorCode:
        """Whether offsets may be committed in this name.

        While the group is empty anyone may commit without a generation: tools, and consumers that
        assign partitions to themselves.
        """
        if self.empty and generation < 0:
            return ErrorCode.NONE
        if generation < 0 and not member_id and instance_id is None:
            # Before KIP-447 a transaction did not say who consumed what it commits.
            return ErrorCode.NONE if transactional else ErrorCode.UNKNOWN_MEMBER_ID
        error = self.members.check(member_id, instance_id)
        if error is not ErrorCode.NONE:
            return error
        if generation != self.generation:
            return ErrorCode.ILLEGAL_GENERATION
        if self.state is State.COMPLETING_REBALANCE and not transactional:
            return ErrorCode.REBALANCE_IN_PROGRESS
        return ErrorCode.NONE

    def committed(self, member_id: str, step: Step) -> None:
        """A commit that was let through shows that its member is alive."""
        if not self.empty:
            self.keep_session(self.members[member_id], step)

    def check_offset_delete(self) -> ErrorCode:
        """Whether offsets may be deleted: of a group of consumers, those not subscribed to."""
        if self.empty or self.protocol_type == CONSUMER:
            return ErrorCode.NONE
        return ErrorCode.NON_EMPTY_GROUP

    def check_delete(self) -> ErrorCode:
        """Whether the group may be deleted."""
        return ErrorCode.NONE if self.empty else ErrorCode.NON_EMPTY_GROUP

    def subscribes(self, topic: str) -> bool:
        """Whether a member reads ``topic``; of consumers that cannot be read it is assumed."""
        if self._subscribed is None:
            return self.protocol_type == CONSUMER
        return topic in self._subscribed

    def expiry_base_ms(self, committed_ms: int) -> int | None:
        """From when on the retention of an offset counts (KIP-211), None while it cannot expire.

        An offset that was committed when the group was empty already (by a tool that resets it)
        counts from its commit; Kafka would let it expire with the older ones.
        """
        if self.protocol_type is None:
            return committed_ms
        if self.empty:
            return max(self.state_timestamp_ms, committed_ms)
        if self.state is State.STABLE and self._subscribed is not None:
            return committed_ms  # the caller leaves out what is subscribed to
        return None

    @property
    def expendable(self) -> bool:
        """Whether the group may go once its last offset has expired."""
        return self.empty and not self.members.pending

    def tombstones(self) -> tuple[StateRecord, ...]:
        """The records that delete the group itself."""
        return (group_records.group_tombstone(self.group_id),)

    def listed(self) -> ListedGroup:
        """The group's line in a list of groups."""
        return ListedGroup(self.group_id, self.protocol_type or "", self.state.value, self.kind)

    def described(self) -> DescribedGroup:
        """The group as an administrator sees it; its members' metadata only while it is stable."""
        protocol = self.protocol if self.state is State.STABLE else None
        return DescribedGroup(
            group_id=self.group_id,
            group_state=self.state.value,
            protocol_type=self.protocol_type or "",
            protocol_data=protocol or "",
            members=[member.described(protocol) for member in self.members],
        )

    # What the passing of time does.

    def expired(self, key: TimerKey, step: Step) -> None:
        """One of the group's timers is due."""
        if key.kind == "session":
            self.session_expired(key.member_id, step)
        elif key.kind == "join":
            self.join_expired(step)
        elif key.kind == "sync":
            self.sync_expired(step)

    def session_expired(self, member_id: str, step: Step) -> None:
        """Nothing was heard of a member, or of a pending id, for as long as it said itself."""
        pending = member_id in self.members.pending
        if not pending and self.members[member_id].waits:
            return  # a new session begins with the answer
        self.remove(member_id, step)
        if self.state is State.PREPARING_REBALANCE:
            if self.members.all_joined:
                self._complete_join(step)
        elif not pending:
            self.prepare_rebalance(step)

    def join_expired(self, step: Step) -> None:
        """Members had their time to join."""
        held_open_ms, remaining_ms = self._held_open_ms or (0, 0)
        if not self._straggler_came or remaining_ms == 0:
            self._complete_join(step)
            return
        self._straggler_came = False
        delay_ms = min(self._config.initial_rebalance_delay_ms, remaining_ms)
        self._hold_open(delay_ms, max(remaining_ms - held_open_ms, 0), step)

    def sync_expired(self, step: Step) -> None:
        """Members that were told the generation never asked for their assignment."""
        for member_id in list(self.members.unsynced):
            self.remove(member_id, step)
        self.prepare_rebalance(step)

    # The rebalance.

    def add(self, member: Member, protocol_type: str, step: Step) -> None:
        """Take in someone who was admitted, and begin a rebalance or go on with the present one."""
        member.new = True
        if not len(self.members):
            self.protocol_type = protocol_type
        self._straggler_came = self._held_open_ms is not None
        self.members.add(member)
        self.keep_session(member, step, NEW_MEMBER_JOIN_TIMEOUT_MS)
        self.rebalance_or_complete(step)

    def remove(self, member_id: str, step: Step) -> None:
        """Forget a member or a pending id; if it is still there, it learns that from its answer."""
        self._timers.cancel(self._key("session", member_id))
        member = self.members.get(member_id)
        if member is not None:
            self.turn_away(member, "", ErrorCode.UNKNOWN_MEMBER_ID, step)
        self.members.remove(member_id)

    def members_with(self, successor: Member) -> list[Member]:
        """The members, with ``successor`` in the place of its former self."""
        former = self.members.holder(successor.instance_id)
        return [successor if member is former else member for member in self.members]

    def succeed(self, successor: Member, step: Step) -> None:
        """Let a static member take the place of its former self, which is fenced."""
        former = self.members.replace(successor)
        self._timers.cancel(self._key("session", former.member_id))
        self.turn_away(former, former.member_id, ErrorCode.FENCED_INSTANCE_ID, step)
        self.keep_session(successor, step)

    def rebalance_or_complete(self, step: Step) -> None:
        """The members changed: begin a rebalance, or end the present one if nobody is missing."""
        if State.PREPARING_REBALANCE in TRANSITIONS[self.state]:
            self.prepare_rebalance(step)
        else:
            self.complete_if_joined(step)

    def prepare_rebalance(self, step: Step) -> None:
        """Ask everyone to join again."""
        for member in self.members:
            if self.state is State.COMPLETING_REBALANCE:
                member.assignment = b""
            self.answer_sync(member, ErrorCode.REBALANCE_IN_PROGRESS, step)
        self.members.unsynced.clear()
        self._timers.cancel(self._key("sync"))
        first = self.empty
        self._move_to(State.PREPARING_REBALANCE, step)
        if first:
            delay_ms = self._config.initial_rebalance_delay_ms
            remaining_ms = max(self.members.rebalance_timeout_ms - delay_ms, 0)
            self._hold_open(delay_ms, remaining_ms, step)
        elif self.members.all_joined:
            self._complete_join(step)
        else:
            self._schedule("join", self.members.rebalance_timeout_ms, step)

    def complete_if_joined(self, step: Step) -> None:
        """End the join phase if nobody is missing and it is not held open for stragglers."""
        if self._held_open_ms is None and self.members.all_joined:
            self._complete_join(step)

    def _hold_open(self, delay_ms: int, remaining_ms: int, step: Step) -> None:
        self._held_open_ms = (delay_ms, remaining_ms)
        self._schedule("join", delay_ms, step)

    def _complete_join(self, step: Step) -> None:
        """Go on with those who joined; static members keep their place until their session ends."""
        self._timers.cancel(self._key("join"))
        for member in list(self.members):
            if member.joining is None and member.instance_id is None:
                self.remove(member.member_id, step)
        if not self.members.elect_joined_leader() and len(self.members):
            delay_ms = max(self.members.rebalance_timeout_ms, NOBODY_JOINED_DELAY_MS_MIN)
            self._schedule("join", delay_ms, step)
            return
        self._held_open_ms, self._straggler_came = None, False
        self.generation += 1
        self.protocol = select_protocol(list(self.members)) if len(self.members) else None
        self._subscribed = self._read_subscriptions()
        if len(self.members):
            self._move_to(State.COMPLETING_REBALANCE, step)
            self._announce_generation(step)
        else:
            self._move_to(State.EMPTY, step)
            step.append(self.record(()))

    def _announce_generation(self, step: Step) -> None:
        for member in self.members:
            if member.joining is not None:
                step.reply(member.joining.token, self.welcome(member.member_id))
                member.joining = None
            member.new = False
            self.members.unsynced.add(member.member_id)
            self.keep_session(member, step)
        self._schedule("sync", self.members.rebalance_timeout_ms, step)

    # Durable state.

    def record(
        self, shares: Iterable[tuple[Member, bytes]], leader: str | None = None
    ) -> StateRecord:
        """The record of the group with these members and their assignments."""
        return group_records.group_metadata(
            self.group_id,
            generation=self.generation,
            protocol_type=self.protocol_type,
            protocol=self.protocol,
            leader=leader or self.members.leader,
            state_timestamp_ms=self.state_timestamp_ms,
            members=[member.stored(self.protocol or "", share) for member, share in shares],
        )

    def apply(self, value: GroupMetadataValue) -> None:
        """The group is from now on what the record says."""
        self._unsettled = bool(value.members) and value.leader is None
        if self.state is State.PREPARING_REBALANCE and (self._unsettled or not value.members):
            return  # the record of a new group, which has begun its first rebalance already
        self.generation = value.generation
        self.protocol_type = value.protocol_type or None
        self.protocol = value.protocol
        self.state_timestamp_ms = value.current_state_timestamp
        self.state = State.STABLE if value.members else State.EMPTY
        self._take_over(value)
        self._subscribed = self._read_subscriptions()

    def _take_over(self, value: GroupMetadataValue) -> None:
        """Have exactly the members of the record, and keep what only memory knows of them."""
        if self.successor is not None:
            gone = self.members.replace(self.successor)
            self._timers.cancel(self._key("session", gone.member_id))
            self.successor = None
        known, self.members = self.members, Members()
        self.members.pending, self.members.unsynced = known.pending, known.unsynced
        protocol = value.protocol or ""
        for stored in value.members:
            member = known.get(stored.member_id)
            if member is None or not member.is_stored_as(stored, protocol):
                member = Member.restored(protocol, stored)
            member.assignment = stored.assignment
            self.members.add(member)
        if value.leader is not None and value.leader in self.members:
            self.members.leader = value.leader

    def refused(self, step: Step) -> None:
        """The record that the group asked for was not stored; those who wait have been told."""
        if self.state is State.COMPLETING_REBALANCE:
            self.prepare_rebalance(step)
        if self.successor is not None:
            self._timers.cancel(self._key("session", self.successor.member_id))
            self.successor = None

    def loaded(self, step: Step) -> None:
        """The log has been read: from now on members have their session's time to be heard of."""
        for member in self.members:
            self.keep_session(member, step)
        if self._unsettled or len(self.members) > self._config.max_size:
            self.prepare_rebalance(step)

    def close(self) -> None:
        """The group is no more, and nothing of it is due any more."""
        for member_id in {*self.members.pending, *(member.member_id for member in self.members)}:
            self._timers.cancel(self._key("session", member_id))
        self._timers.cancel(self._key("join"))
        self._timers.cancel(self._key("sync"))
        self.state = State.DEAD

    def _read_subscriptions(self) -> frozenset[str] | None:
        if self.protocol_type != CONSUMER:
            return None
        protocol = self.protocol or ""
        return subscribed_topics(member.metadata(protocol) for member in self.members)

    # Answers and timers.

    def welcome(self, member_id: str) -> JoinGroupResponse:
        """The answer to a member of the present generation; the leader is shown everyone."""
        leads = member_id == self.members.leader
        protocol = self.protocol or ""
        return JoinGroupResponse(
            generation_id=self.generation,
            protocol_type=self.protocol_type,
            protocol_name=protocol,
            leader=self.members.leader or "",
            member_id=member_id,
            members=[m.shown_to_leader(protocol) for m in self.members] if leads else [],
        )

    def share(self, assignment: bytes) -> SyncGroupResponse:
        """The answer to a member that is told its assignment."""
        return SyncGroupResponse(
            protocol_type=self.protocol_type, protocol_name=self.protocol, assignment=assignment
        )

    def answer_sync(self, member: Member, error: ErrorCode, step: Step) -> None:
        """Tell a member that waits for its assignment that it will not get it."""
        if member.syncing is not None:
            step.reply(member.syncing.token, SyncGroupResponse(error_code=error))
            member.syncing = None
            # Its session may have run out, unheeded, while it waited.
            self.keep_session(member, step)

    def turn_away(self, member: Member, member_id: str, error: ErrorCode, step: Step) -> None:
        """Answer all that a member waits for: it is not, or no longer, who it was."""
        if member.joining is not None:
            refusal = join_refusal(member.joining.version, member_id, error)
            step.reply(member.joining.token, refusal)
            member.joining = None
        if member.syncing is not None:
            step.reply(member.syncing.token, SyncGroupResponse(error_code=error))
            member.syncing = None

    def keep_session(self, member: Member, step: Step, timeout_ms: int | None = None) -> None:
        """A member was heard of: it is given its session's time (or another) once more."""
        due_ms = step.now.monotonic_ms + (timeout_ms or member.session_timeout_ms)
        self._timers.schedule(self._key("session", member.member_id), due_ms)

    def expect(self, member_id: str, timeout_ms: int, step: Step) -> None:
        """A member id was handed out; it has this time to join."""
        self.members.pending.add(member_id)
        due_ms = step.now.monotonic_ms + timeout_ms
        self._timers.schedule(self._key("session", member_id), due_ms)

    def synced(self, member_id: str) -> None:
        """A member has asked for its assignment; the last one ends the wait for all."""
        self.members.unsynced.discard(member_id)
        if not self.members.unsynced:
            self._timers.cancel(self._key("sync"))

    def _schedule(self, kind: Literal["join", "sync"], delay_ms: int, step: Step) -> None:
        # Nobody checks the timeouts that clients send: a negative one is no delay.
        self._timers.schedule(self._key(kind), step.now.monotonic_ms + max(delay_ms, 0))

    def _key(self, kind: Literal["session", "join", "sync"], member_id: str = "") -> TimerKey:
        return TimerKey(kind, self.group_id, member_id)

    def _move_to(self, state: State, step: Step) -> None:
        assert state in TRANSITIONS[self.state], (self.state, state)
        self.state = state
        self.state_timestamp_ms = step.now.wall_ms

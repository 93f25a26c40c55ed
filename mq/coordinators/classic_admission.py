"""Who may join a classic group, and as whom: JoinGroup v0-9.

A member that does not know its id yet is given one; since v4 it must come back with it before it
counts (KIP-394), so that a client which never hears the answer leaves no ghost behind. A static
member (KIP-345) that has lost its id takes the place of its former self, which is fenced. Whoever
is admitted waits for the rebalance that this begins, unless the group stays as it is.

The checks come in Kafka's order, so that a request with several faults gets the answer that Kafka
gives.
"""

from __future__ import annotations

from dataclasses import dataclass

from mq.coordinators.classic_group import ClassicGroup, State, join_refusal
from mq.coordinators.classic_members import Member, Parked, Protocol, select_protocol
from mq.coordinators.effects import Call
from mq.coordinators.group_records import APPEND_FAILED
from mq.errors import ErrorCode
from mq.wire.messages.join_group import JoinGroupRequest, JoinGroupResponse

__all__ = ["Join", "admit"]


@dataclass(frozen=True, slots=True)
class Join:
    """A request to join: ``fresh_id`` is a member id for one that has none yet."""

    request: JoinGroupRequest
    call: Call
    fresh_id: str

    @property
    def protocols(self) -> tuple[Protocol, ...]:
        """The protocols that the member knows, its favourite first."""
        return tuple(Protocol(each.name, each.metadata) for each in self.request.protocols)

    def member(self, member_id: str) -> Member:
        """The one who asks, as a member that waits for its answer."""
        request = self.request
        return Member(
            member_id,
            request.group_instance_id,
            self.call.context.client_id,
            self.call.context.client_host,
            # v0 knows no rebalance timeout: there it is the session's.
            request.rebalance_timeout_ms if self.call.version else request.session_timeout_ms,
            request.session_timeout_ms,
            self.protocols,
            joining=Parked(self.call.token, self.call.version),
        )

    def refuse(self, error: ErrorCode, member_id: str | None = None) -> None:
        """Answer that it cannot join, as ``member_id`` or as it called itself."""
        member_id = self.request.member_id if member_id is None else member_id
        self.call.reply(join_refusal(self.call.version, member_id, error))


def admit(group: ClassicGroup, join: Join, max_size: int) -> None:
    """Let someone join, or say why not."""
    if not _has_room(group, join.request.member_id, max_size):
        join.refuse(ErrorCode.GROUP_MAX_SIZE_REACHED, "")
        group.remove(join.request.member_id, join.call.step)
        if group.state is State.PREPARING_REBALANCE:
            group.complete_if_joined(join.call.step)  # there is nobody left to wait for
    elif not _agrees(group, join):
        join.refuse(ErrorCode.INCONSISTENT_GROUP_PROTOCOL)
    elif not join.request.member_id:
        _admit_newcomer(group, join)
    elif join.request.member_id in group.members.pending:
        _admit_expected(group, join)
    else:
        _admit_again(group, join)


def _has_room(group: ClassicGroup, member_id: str, max_size: int) -> bool:
    """While a rebalance is prepared the first to join stay, whoever was a member before."""
    if group.state is State.EMPTY:
        return True
    member = group.members.get(member_id)
    if group.state is State.PREPARING_REBALANCE:
        joined = member is not None and member.joining is not None
        return joined or group.members.joined < max_size
    return member is not None or len(group.members) < max_size


def _agrees(group: ClassicGroup, join: Join) -> bool:
    """Whether the protocol type is the group's, and a protocol known to all of its members."""
    protocol_type, protocols = join.request.protocol_type, join.request.protocols
    if group.state is State.EMPTY:
        return bool(protocol_type and protocols)
    names = [protocol.name for protocol in protocols]
    return protocol_type == group.protocol_type and group.members.share_any(names)


def _admit_newcomer(group: ClassicGroup, join: Join) -> None:
    former = group.members.holder(join.request.group_instance_id)
    if former is not None:
        _admit_successor(group, join, former)
    elif join.request.group_instance_id is not None or join.call.version < 4:
        group.add(join.member(join.fresh_id), join.request.protocol_type, join.call.step)
    else:
        group.expect(join.fresh_id, join.request.session_timeout_ms, join.call.step)
        join.refuse(ErrorCode.MEMBER_ID_REQUIRED, join.fresh_id)


def _admit_expected(group: ClassicGroup, join: Join) -> None:
    if join.request.group_instance_id is not None:
        # Static members are never told to come back, so this one mixes up two lives.
        join.refuse(ErrorCode.UNKNOWN_SERVER_ERROR)
    else:
        group.add(join.member(join.request.member_id), join.request.protocol_type, join.call.step)


def _admit_again(group: ClassicGroup, join: Join) -> None:
    """A member joins once more: that begins a rebalance only if it changes something."""
    error = group.members.check(join.request.member_id, join.request.group_instance_id)
    if error is not ErrorCode.NONE:
        join.refuse(error)
        return
    member = group.members[join.request.member_id]
    unchanged = member.protocols == join.protocols
    stable_leader = group.state is State.STABLE and member.member_id == group.members.leader
    if group.state is State.PREPARING_REBALANCE or stable_leader or not unchanged:
        _rejoin(group, member, join)
    else:
        join.call.reply(group.welcome(member.member_id))


def _rejoin(group: ClassicGroup, member: Member, join: Join) -> None:
    # Whoever asked before in this name has lost its connection; it is answered all the same.
    group.turn_away(member, member.member_id, ErrorCode.REBALANCE_IN_PROGRESS, join.call.step)
    asked = join.member(member.member_id)
    member.protocols = asked.protocols
    member.rebalance_timeout_ms = asked.rebalance_timeout_ms
    member.session_timeout_ms = asked.session_timeout_ms
    member.joining = asked.joining
    group.rebalance_or_complete(join.call.step)


def _admit_successor(group: ClassicGroup, join: Join, former: Member) -> None:
    """A static member came back without its id: it takes over, and its former self is fenced."""
    successor = join.member(join.fresh_id)
    successor.client_id, successor.client_host = former.client_id, former.client_host
    successor.assignment = former.assignment
    protocol = select_protocol(group.members_with(successor))
    if group.state is State.STABLE and protocol == group.protocol:
        _succeed_quietly(group, join, former, successor)
        return
    group.succeed(successor, join.call.step)
    if group.state is State.PREPARING_REBALANCE:
        group.complete_if_joined(join.call.step)
    else:
        # Its former self may have been shown to the leader already: everyone has to join again.
        group.prepare_rebalance(join.call.step)


def _succeed_quietly(group: ClassicGroup, join: Join, former: Member, successor: Member) -> None:
    """Only the id of one member changes, so the others are left alone (KIP-345).

    A leader that restarted must not assign anew, while the others keep what they have. Since v9 it
    is told so (KIP-814); before, it is told that its former self leads, and takes itself for a
    follower.
    """
    leads = former.member_id == group.members.leader
    leader = successor.member_id if leads else group.members.leader
    members = group.members_with(successor)
    told = join.call.version >= 9
    protocol = group.protocol or ""
    response = JoinGroupResponse(
        generation_id=group.generation,
        protocol_type=group.protocol_type,
        protocol_name=protocol,
        leader=(leader if told else group.members.leader) or "",
        skip_assignment=leads and told,
        member_id=successor.member_id,
        members=[each.shown_to_leader(protocol) for each in members] if leads and told else [],
    )
    refusal = join_refusal(join.call.version, "", APPEND_FAILED)
    join.call.step.append(group.record([(each, each.assignment) for each in members], leader))
    join.call.reply(response, refusal)
    successor.joining = None
    group.keep_session(successor, join.call.step)
    group.successor = successor

"""What the members of a classic group may ask for: their assignment, to stay, to leave.

SyncGroup v0-5, Heartbeat v0-4, LeaveGroup v0-5. The checks come in Kafka's order, so that a request
with several faults gets the answer that Kafka gives.
"""

from __future__ import annotations

from collections.abc import Sequence

from mq.coordinators.classic_group import ClassicGroup, State
from mq.coordinators.classic_members import Parked
from mq.coordinators.effects import Call, Step
from mq.coordinators.group_records import APPEND_FAILED
from mq.errors import ErrorCode
from mq.wire.messages.heartbeat import HeartbeatRequest
from mq.wire.messages.leave_group import (
    LeaveGroupRequest,
    LeaveGroupResponse,
    MemberIdentity,
    MemberResponse,
)
from mq.wire.messages.sync_group import SyncGroupRequest, SyncGroupResponse

__all__ = ["answer_leave", "heartbeat", "identities", "leave", "sync"]


def sync(group: ClassicGroup, request: SyncGroupRequest, call: Call) -> None:
    """A member asks for its assignment; the leader brings everyone's.

    Those who come before the leader wait for it. What the leader brings is stored before anyone is
    told.
    """
    error = _check_sync(group, request)
    if error is not ErrorCode.NONE:
        call.reply(SyncGroupResponse(error_code=error))
        return
    member = group.members[request.member_id]
    group.synced(member.member_id)
    if group.state is State.STABLE:
        call.reply(group.share(member.assignment))
        return
    # Whoever asked before in this name has lost its connection; it is answered all the same.
    group.answer_sync(member, ErrorCode.REBALANCE_IN_PROGRESS, call.step)
    member.syncing = Parked(call.token, call.version)
    if member.member_id == group.members.leader:
        shares = {each.member_id: each.assignment for each in request.assignments}
        _assign(group, shares, call.step)


def heartbeat(group: ClassicGroup, request: HeartbeatRequest, step: Step) -> ErrorCode:
    """A member is alive, and asks whether it is up to date."""
    error = group.members.check(request.member_id, request.group_instance_id)
    if error is not ErrorCode.NONE:
        return error
    if request.generation_id != group.generation:
        return ErrorCode.ILLEGAL_GENERATION
    group.keep_session(group.members[request.member_id], step)
    if group.state is State.PREPARING_REBALANCE:
        return ErrorCode.REBALANCE_IN_PROGRESS
    return ErrorCode.NONE


def leave(group: ClassicGroup | None, request: LeaveGroupRequest, call: Call) -> None:
    """Members leave; an administrator removes static ones by their instance ids (KIP-345)."""
    leaving = identities(request, call)
    errors = [ErrorCode.UNKNOWN_MEMBER_ID] * len(leaving)
    if group is not None:
        errors = [_leave(group, identity, call.step) for identity in leaving]
        if ErrorCode.NONE in errors and not group.empty:
            group.rebalance_or_complete(call.step)
    answer_leave(leaving, errors, call)


def identities(request: LeaveGroupRequest, call: Call) -> list[MemberIdentity]:
    """Those who are to leave; up to v2 there is only one."""
    return [MemberIdentity(request.member_id)] if call.version < 3 else request.members


def answer_leave(
    leaving: Sequence[MemberIdentity], errors: Sequence[ErrorCode], call: Call
) -> None:
    """Tell each what became of it; up to v2 the one answer is the request's."""
    if call.version < 3:
        response = LeaveGroupResponse(error_code=errors[0])
    else:
        members = [
            MemberResponse(each.member_id, each.group_instance_id, error)
            for each, error in zip(leaving, errors, strict=True)
        ]
        response = LeaveGroupResponse(members=members)
    call.reply(response, LeaveGroupResponse(error_code=APPEND_FAILED))


def _leave(group: ClassicGroup, identity: MemberIdentity, step: Step) -> ErrorCode:
    member_id = identity.member_id
    if not member_id:
        holder = group.members.holder(identity.group_instance_id)
        if holder is None:
            return ErrorCode.UNKNOWN_MEMBER_ID
        member_id = holder.member_id
    elif member_id not in group.members.pending:
        error = group.members.check(member_id, identity.group_instance_id)
        if error is not ErrorCode.NONE:
            return error
    group.remove(member_id, step)
    return ErrorCode.NONE


def _check_sync(group: ClassicGroup, request: SyncGroupRequest) -> ErrorCode:
    error = group.members.check(request.member_id, request.group_instance_id)
    if error is not ErrorCode.NONE:
        return error
    if request.generation_id != group.generation:
        return ErrorCode.ILLEGAL_GENERATION
    agreed = (
        (request.protocol_type, group.protocol_type),
        (request.protocol_name, group.protocol),
    )
    if any(None not in (theirs, ours) and theirs != ours for theirs, ours in agreed):
        return ErrorCode.INCONSISTENT_GROUP_PROTOCOL
    if group.state is State.PREPARING_REBALANCE:
        return ErrorCode.REBALANCE_IN_PROGRESS
    return ErrorCode.NONE


def _assign(group: ClassicGroup, assignment: dict[str, bytes], step: Step) -> None:
    """Store what the leader decided, and tell those who wait for it once it is stored."""
    shares = [(member, assignment.get(member.member_id, b"")) for member in group.members]
    step.append(group.record(shares))
    for member, share in shares:
        if member.syncing is not None:
            refusal = SyncGroupResponse(error_code=APPEND_FAILED)
            step.reply(member.syncing.token, group.share(share), refusal)
            member.syncing = None
            group.keep_session(member, step)

"""The group coordinator: every request about groups, and the log of ``__consumer_offsets``.

One id names one group, of one kind. This module keeps the ids, hands requests to the group they
name and builds those answers that speak of several groups; what a group decides is in the module of
its kind, and how far it has come in ``offsets``. Every kind answers to what :class:`ClassicGroup`
lists under that heading; what is asked of a kind is refused for groups of another.

Each group lives in one partition of the state topic, as in Kafka, and its records and answers go
through that one. A request that names groups of several partitions is answered once, when all of
them are synced.

The owner hands over every record of the state topic through :meth:`GroupCoordinator.apply`, then
calls :meth:`GroupCoordinator.loaded` once, and only then requests.

Served: JoinGroup v0-9, SyncGroup v0-5, Heartbeat v0-4, LeaveGroup v0-5, OffsetCommit v2-10,
OffsetFetch v1-10, OffsetDelete v0, DescribeGroups v0-6, ListGroups v0-5, DeleteGroups v0-2.
``require_stable`` has no effect while no transaction can leave an offset pending.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final
from uuid import UUID

from mq.coordinators import classic_membership, group_records
from mq.coordinators.classic_admission import Join, admit
from mq.coordinators.classic_group import ClassicGroup, State, TimerKey, join_refusal
from mq.coordinators.effects import Call, Effects, Now, RequestContext, StateRecord, Step
from mq.coordinators.group_config import GroupConfig
from mq.coordinators.group_records import APPEND_FAILED, GroupMetadata, Unknown
from mq.coordinators.java_strings import java_hash
from mq.coordinators.offsets import Offsets, Topics
from mq.coordinators.timers import Timers
from mq.errors import ErrorCode
from mq.wire.messages.delete_groups import (
    DeletableGroupResult,
    DeleteGroupsRequest,
    DeleteGroupsResponse,
)
from mq.wire.messages.describe_groups import (
    DescribedGroup,
    DescribeGroupsRequest,
    DescribeGroupsResponse,
)
from mq.wire.messages.heartbeat import HeartbeatRequest, HeartbeatResponse
from mq.wire.messages.join_group import JoinGroupRequest
from mq.wire.messages.leave_group import LeaveGroupRequest, LeaveGroupResponse
from mq.wire.messages.list_groups import ListGroupsRequest, ListGroupsResponse
from mq.wire.messages.offset_commit import OffsetCommitRequest
from mq.wire.messages.offset_delete import OffsetDeleteRequest, OffsetDeleteResponse
from mq.wire.messages.offset_fetch import OffsetFetchRequest
from mq.wire.messages.sync_group import SyncGroupRequest, SyncGroupResponse
from mq.wire.schema import ZERO_UUID

__all__ = ["GroupCoordinator"]

# All that Kafka lets anyone do with a group while nothing restricts access: read (3), delete (6),
# describe (8), describe and alter its settings (10, 11), as a bit field (KIP-430).
_ALL_OPERATIONS: Final = 1 << 3 | 1 << 6 | 1 << 8 | 1 << 10 | 1 << 11

# Expired offsets are looked for in short steps, so that nobody's request waits for all of them.
_OFFSETS_PER_SWEEP: Final = 5_000

# A member id is made of the name that its client gave itself, of which so much is told: the id must
# fit a string of the protocol, whose length has 15 bits, however many bytes a character takes.
_NAME_CHARACTERS_MAX: Final = 255

_EXPIRY: Final = TimerKey("expiry")


class GroupCoordinator:
    """All groups of a broker.

    ``topics`` is the catalog; ``random_id`` gives a fresh UUID as text at every call.
    """

    def __init__(self, config: GroupConfig, topics: Topics, random_id: Callable[[], str]) -> None:
        self._config = config
        self._random_id = random_id
        self._groups: dict[str, ClassicGroup] = {}
        self._offsets = Offsets(config, topics)
        self._timers = Timers[TimerKey]()
        self._loaded = False
        self._to_sweep: list[str] = []
        self._deletions: dict[str, DeletableGroupResult] = {}  # of the request that is under way
        self._handlers: dict[type, Callable[[Any, Call], list[Effects]]] = {
            JoinGroupRequest: self._join,
            SyncGroupRequest: self._sync,
            HeartbeatRequest: self._heartbeat,
            LeaveGroupRequest: self._leave,
            OffsetCommitRequest: self._commit,
            OffsetFetchRequest: self._fetch,
            OffsetDeleteRequest: self._delete_offsets,
            DescribeGroupsRequest: self._describe,
            ListGroupsRequest: self._list,
            DeleteGroupsRequest: self._delete,
        }

    # The verbs of a machine.

    def handle(self, request: Any, context: RequestContext, token: int, now: Now) -> list[Effects]:
        """Look at a request of one of the kinds that the module names."""
        assert self._loaded, "requests come after loaded()"
        return self._handlers[type(request)](request, Call(context, token, Step(now)))

    def apply(self, partition: int, key: bytes, value: bytes | None) -> str | None:
        """A record of ``__consumer_offsets`` is stored, just now or before the last start.

        Returns: what it is, if this coordinator cannot read it and goes on without it; else None.

        Raises:
            PeerError: the record is of a known kind, but malformed.
        """
        record = group_records.read(key, value)
        if isinstance(record, Unknown):
            return f"{record.reason} in partition {partition}"
        group = self._groups.get(record.group_id)
        if isinstance(record, GroupMetadata):
            self._apply_group(record, group)
            return None
        if group is None and record.value is not None:
            # Who commits without ever joining has a simple group: one without protocol or members.
            group = self._new(record.group_id, record.value.commit_timestamp)
            self._groups[record.group_id] = group
        self._offsets.apply(record)
        return None

    def loaded(self, now: Now) -> None:
        """All records of the state topic have been applied: time begins to count for the groups."""
        assert not self._loaded
        self._loaded = True
        for group in self._groups.values():
            group.loaded(Step(now))
        self._schedule_expiry(self._config.offsets_retention_check_interval_ms, now)

    def refused(self, effects: Effects, now: Now) -> list[Effects]:
        """The records of ``effects`` could not be stored, and nothing of them has been applied."""
        answers: list[Effects] = []
        for state_record in effects.append:
            record = group_records.read(*state_record)
            if isinstance(record, GroupMetadata):
                answers += self._refused_group(record, Step(now))
        return answers

    def deadline(self) -> int | None:
        """When :meth:`tick` is due on the monotonic clock, None if nothing happens by itself."""
        return self._timers.deadline()

    def tick(self, now: Now) -> list[Effects]:
        """Let the first thing happen that is due: a session ends, a rebalance goes on, offsets
        expire.

        More may be due, as :meth:`deadline` then says. One thing at a time, so that an error in one
        group, which the caller hears of, takes nothing away from another.
        """
        key = self._timers.pop(now.monotonic_ms)
        if key is None:
            return []
        if key.kind == "expiry":
            return self._sweep(now)
        group, step = self._groups[key.group_id], Step(now)
        if key.kind == "session":
            group.session_expired(key.member_id, step)
        elif key.kind == "join":
            group.join_expired(step)
        else:
            group.sync_expired(step)
        return self._effects(key.group_id, step)

    def partition_for(self, group_id: str) -> int:
        """The partition of the state topic that a group lives in, as Kafka computes it."""
        code = java_hash(group_id)
        return (0 if code == -(1 << 31) else abs(code)) % self._config.offsets_topic_partitions

    def forget_topic(self, topic: str, topic_id: UUID = ZERO_UUID) -> list[Effects]:
        """A topic was deleted, and what was committed in it goes with it.

        Offsets that remember another id belong to another topic of that name and stay; with a zero
        ``topic_id`` all go.
        """
        return [
            Effects(append=tuple(tombstones), partition=self.partition_for(group_id))
            for group_id, tombstones in self._offsets.forget_topic(topic, topic_id)
        ]

    # Requests of members.

    def _join(self, request: JoinGroupRequest, call: Call) -> list[Effects]:
        error = self._check_join(request)
        if error is not ErrorCode.NONE:
            call.reply(join_refusal(call.version, request.member_id, error))
            return self._effects(request.group_id, call.step)
        group = self._groups.get(request.group_id)
        if group is None:
            group = self._new(request.group_id, call.step.now.wall_ms)
            call.step.append(group.record(()))
            self._groups[request.group_id] = group  # now that it can be written
            call.step.refuse(call.token, join_refusal(call.version, "", APPEND_FAILED))
        name = (request.group_instance_id or call.context.client_id)[:_NAME_CHARACTERS_MAX]
        fresh_id = "" if request.member_id else f"{name}-{self._random_id()}"
        admit(group, Join(request, call, fresh_id), self._config.max_size)
        return self._effects(request.group_id, call.step)

    def _check_join(self, request: JoinGroupRequest) -> ErrorCode:
        shortest_ms = self._config.min_session_timeout_ms
        longest_ms = self._config.max_session_timeout_ms
        if not request.group_id:
            return ErrorCode.INVALID_GROUP_ID
        if not shortest_ms <= request.session_timeout_ms <= longest_ms:
            return ErrorCode.INVALID_SESSION_TIMEOUT
        if request.member_id and request.group_id not in self._groups:
            return ErrorCode.UNKNOWN_MEMBER_ID
        return ErrorCode.NONE

    def _sync(self, request: SyncGroupRequest, call: Call) -> list[Effects]:
        group = self._groups.get(request.group_id)
        if call.version >= 5 and None in (request.protocol_type, request.protocol_name):
            call.reply(SyncGroupResponse(error_code=ErrorCode.INCONSISTENT_GROUP_PROTOCOL))
        elif group is None:
            call.reply(SyncGroupResponse(error_code=_missing(request.group_id)))
        else:
            classic_membership.sync(group, request, call)
        return self._effects(request.group_id, call.step)

    def _heartbeat(self, request: HeartbeatRequest, call: Call) -> list[Effects]:
        group = self._groups.get(request.group_id)
        error = _missing(request.group_id)
        if group is not None:
            error = classic_membership.heartbeat(group, request, call.step)
        call.reply(HeartbeatResponse(error_code=error))
        return self._effects(request.group_id, call.step)

    def _leave(self, request: LeaveGroupRequest, call: Call) -> list[Effects]:
        if request.group_id:
            classic_membership.leave(self._groups.get(request.group_id), request, call)
        else:
            call.reply(LeaveGroupResponse(error_code=ErrorCode.INVALID_GROUP_ID))
        return self._effects(request.group_id, call.step)

    # Requests about offsets.

    def _commit(self, request: OffsetCommitRequest, call: Call) -> list[Effects]:
        error, step = self._check_commit(request, call), call.step
        response, records = self._offsets.commit(request, call.version, step.now, error)
        if records:
            for record in records:
                step.append(record)
            refusal, _ = self._offsets.commit(request, call.version, step.now, APPEND_FAILED)
            call.reply(response, refusal)
        else:
            call.reply(response)
        return self._effects(request.group_id, step)

    def _check_commit(self, request: OffsetCommitRequest, call: Call) -> ErrorCode:
        generation = request.generation_id_or_member_epoch
        group = self._groups.get(request.group_id)
        if group is None:
            if generation < 0:
                return ErrorCode.NONE  # the commit makes it a simple group
            known = call.version >= 9
            return ErrorCode.GROUP_ID_NOT_FOUND if known else ErrorCode.ILLEGAL_GENERATION
        error = group.check_commit(generation, request.member_id, request.group_instance_id)
        if error is ErrorCode.NONE:
            group.committed(request.member_id, call.step)
        return error

    def _fetch(self, request: OffsetFetchRequest, call: Call) -> list[Effects]:
        call.reply(self._offsets.fetch(request, call.version))
        group_ids = [group.group_id for group in request.groups] or [request.group_id]
        return self._effects_of(group_ids, call.step)

    def _delete_offsets(self, request: OffsetDeleteRequest, call: Call) -> list[Effects]:
        group = self._groups.get(request.group_id)
        error = _missing(request.group_id, ErrorCode.GROUP_ID_NOT_FOUND)
        if group is not None:
            error = group.check_offset_delete()
        if group is None or error is not ErrorCode.NONE:
            call.reply(OffsetDeleteResponse(error_code=error))
        else:
            response, tombstones = self._offsets.delete(request, group.subscribes)
            for tombstone in tombstones:
                call.step.append(tombstone)
            call.reply(response, OffsetDeleteResponse(error_code=APPEND_FAILED))
        return self._effects(request.group_id, call.step)

    # Requests about several groups.

    def _describe(self, request: DescribeGroupsRequest, call: Call) -> list[Effects]:
        groups = [self._described(group_id, call.version) for group_id in request.groups]
        for described in groups:
            if request.include_authorized_operations and not described.error_code:
                described.authorized_operations = _ALL_OPERATIONS
        call.reply(DescribeGroupsResponse(groups=groups))
        return self._effects_of(request.groups, call.step)

    def _described(self, group_id: str, version: int) -> DescribedGroup:
        group = self._groups.get(group_id)
        if group is not None:
            return group.described()
        described = DescribedGroup(group_id=group_id, group_state=State.DEAD.value)
        if version >= 6:  # KIP-1043
            described.error_code = ErrorCode.GROUP_ID_NOT_FOUND
            described.error_message = f"Group {group_id} not found."
        return described

    def _list(self, request: ListGroupsRequest, call: Call) -> list[Effects]:
        states = {state.strip().lower() for state in request.states_filter}
        kinds = {kind.strip().lower() for kind in request.types_filter}
        listed = [
            each
            for each in (group.listed() for group in self._groups.values())
            if (not states or each.group_state.lower() in states)
            and (not kinds or each.group_type in kinds)
        ]
        call.reply(ListGroupsResponse(groups=listed))
        return self._effects_of(self._groups, call.step)

    def _delete(self, request: DeleteGroupsRequest, call: Call) -> list[Effects]:
        """Delete groups, each by itself: the answer tells of those that could not be."""
        self._deletions, effects = {}, list[Effects]()
        for group_id in dict.fromkeys(request.groups_names):
            group = self._groups.get(group_id)
            error = ErrorCode.GROUP_ID_NOT_FOUND if group is None else group.check_delete()
            self._deletions[group_id] = DeletableGroupResult(group_id, error)
            if group is not None and error is ErrorCode.NONE:
                effects += self._deletion(group, self._offsets.tombstones(group_id))
        # Effects are performed in order: by now ``refused`` has corrected what could not be stored.
        call.reply(DeleteGroupsResponse(results=list(self._deletions.values())))
        return effects + self._effects_of(self._deletions, call.step)

    # Ids and time.

    def _new(self, group_id: str, created_ms: int) -> ClassicGroup:
        """A group that is not yet among the groups."""
        return ClassicGroup(group_id, self._config, self._timers, created_ms)

    def _forget(self, group: ClassicGroup) -> None:
        group.close()
        del self._groups[group.group_id]

    def _apply_group(self, record: GroupMetadata, group: ClassicGroup | None) -> None:
        if record.value is None:
            if group is not None:
                self._forget(group)
        else:
            group = group or self._new(record.group_id, record.value.current_state_timestamp)
            self._groups[record.group_id] = group
            group.apply(record.value)

    def _refused_group(self, record: GroupMetadata, step: Step) -> list[Effects]:
        if record.value is None:
            if record.group_id in self._deletions:
                self._deletions[record.group_id].error_code = APPEND_FAILED
            return []
        group = self._groups[record.group_id]
        group.refused(step)
        if record.value.generation == 0:  # only a new group has the generation 0
            self._forget(group)
        return self._effects(record.group_id, step)

    def _deletion(self, group: ClassicGroup, offsets: list[StateRecord]) -> list[Effects]:
        records = (*offsets, *group.tombstones())
        return [Effects(append=records, partition=self.partition_for(group.group_id))]

    def _sweep(self, now: Now) -> list[Effects]:
        """Delete what has expired of some groups, and the groups that have nothing left."""
        self._schedule_expiry(self._config.offsets_retention_check_interval_ms, now)
        effects, examined = list[Effects](), 0
        self._to_sweep = self._to_sweep or list(self._groups)
        while self._to_sweep and examined < _OFFSETS_PER_SWEEP:
            group = self._groups.get(self._to_sweep.pop())
            if group is None:
                continue
            try:
                swept, count = self._swept(group, now)
            except Exception:
                if not effects:
                    raise
                self._to_sweep.append(group.group_id)  # it fails again, when nothing else is lost
                break
            effects += swept
            examined += count
        if self._to_sweep:
            self._schedule_expiry(1, now)
        return effects

    def _swept(self, group: ClassicGroup, now: Now) -> tuple[list[Effects], int]:
        """What is to be deleted of one group, and how much work it was to see that."""
        tombstones, left = self._offsets.expire(
            group.group_id, group.subscribes, group.expiry_base_ms, now.wall_ms
        )
        count = 1 + left + len(tombstones)
        if not left and group.expendable:
            return self._deletion(group, tombstones), count
        if not tombstones:
            return [], count
        partition = self.partition_for(group.group_id)
        return [Effects(append=tuple(tombstones), partition=partition)], count

    def _schedule_expiry(self, delay_ms: int, now: Now) -> None:
        self._timers.schedule(_EXPIRY, now.monotonic_ms + delay_ms)

    def _effects(self, group_id: str, step: Step) -> list[Effects]:
        return step.effects(self.partition_for(group_id))

    def _effects_of(self, group_ids: Iterable[str], step: Step) -> list[Effects]:
        """A step that speaks of several groups waits for the partitions of all of them."""
        partition, *reveals = sorted({self.partition_for(each) for each in group_ids}) or [0]
        return step.effects(partition, tuple(reveals))


def _missing(group_id: str, error: ErrorCode = ErrorCode.UNKNOWN_MEMBER_ID) -> ErrorCode:
    """Why there is no group of this id."""
    return error if group_id else ErrorCode.INVALID_GROUP_ID

"""Requests to consumer groups, and what becomes of the groups that they name.

``consumer_heartbeat`` and ``consumer_classic`` know what one member may ask of one group. Here it
is found out which group that is: a group may have to be made, or to pass from one protocol to the
other (:mod:`~mq.coordinators.migration`, in both directions, always). Served:
ConsumerGroupHeartbeat v0-1, and JoinGroup, SyncGroup, Heartbeat and LeaveGroup of members of the
classic protocol in a consumer group.

Left out of Kafka's: assigning at intervals only (its ``group.consumer.assignment.interval.ms`` is 0
here), and awareness of racks.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import TypeAlias

from mq.coordinators import consumer_classic, consumer_heartbeat, group_records, migration
from mq.coordinators.classic_admission import Join, admit
from mq.coordinators.classic_group import ClassicGroup, join_refusal
from mq.coordinators.classic_membership import answer_leave, identities
from mq.coordinators.consumer_draft import AllTopics, Draft
from mq.coordinators.consumer_group import ConsumerGroup
from mq.coordinators.consumer_members import STATIC_LEAVING_EPOCH, ConsumerMember, MemberState
from mq.coordinators.effects import Call, StateRecord, Step
from mq.coordinators.group_config import GroupConfig
from mq.coordinators.group_records import APPEND_FAILED, ConsumerGroupRecord
from mq.coordinators.timer_key import TimerKey
from mq.coordinators.timers import Timers
from mq.errors import ErrorCode, KafkaError
from mq.wire.messages.consumer_group_heartbeat import (
    ConsumerGroupHeartbeatRequest,
    ConsumerGroupHeartbeatResponse,
)
from mq.wire.messages.heartbeat import HeartbeatRequest, HeartbeatResponse
from mq.wire.messages.leave_group import LeaveGroupRequest
from mq.wire.messages.records.consumer_group_metadata import ConsumerGroupMetadataKey
from mq.wire.messages.sync_group import SyncGroupRequest, SyncGroupResponse

__all__ = ["ConsumerRequests", "Group"]

Group: TypeAlias = ClassicGroup | ConsumerGroup


class ConsumerRequests:
    """All consumer groups among ``groups``, which belong to the caller."""

    def __init__(
        self,
        config: GroupConfig,
        topics: AllTopics,
        groups: dict[str, Group],
        timers: Timers[TimerKey],
        random_id: Callable[[], str],
    ) -> None:
        self._config = config
        self._topics = topics
        self._groups = groups
        self._timers = timers
        self._random_id = random_id
        # Classic groups that take over from a consumer group once that is stored.
        self.heirs: dict[str, ClassicGroup] = {}

    # The consumer protocol.

    def heartbeat(self, request: ConsumerGroupHeartbeatRequest, call: Call) -> None:
        """A member joins, stays or leaves."""
        try:
            consumer_heartbeat.check_request(request, call.version)
            going = consumer_heartbeat.leaves(request)
            response = self._leave(request, call.step) if going else self._stay(request, call)
        except KafkaError as error:
            response = ConsumerGroupHeartbeatResponse(
                error_code=error.code, error_message=error.message
            )
        call.reply(response, ConsumerGroupHeartbeatResponse(error_code=APPEND_FAILED))

    def _stay(
        self, request: ConsumerGroupHeartbeatRequest, call: Call
    ) -> ConsumerGroupHeartbeatResponse:
        present = self._groups.get(request.group_id)
        group, records = self._group_for(request, present, call)
        self._check_room(group, request.member_id)
        draft = Draft(group, self._topics, call.step.now)
        member_id = request.member_id or self._random_id()
        response = consumer_heartbeat.heartbeat(draft, request, call, member_id)
        for record in (*records, *draft.records()):
            call.step.append(record)
        if isinstance(present, ClassicGroup):
            for member in present.members:
                error = ErrorCode.REBALANCE_IN_PROGRESS
                present.turn_away(member, member.member_id, error, call.step)
            group.loaded(call.step)
        return response

    def _group_for(
        self, request: ConsumerGroupHeartbeatRequest, present: Group | None, call: Call
    ) -> tuple[ConsumerGroup, list[StateRecord]]:
        """The group that is meant, and the records that make it one of the consumer protocol."""
        if isinstance(present, ConsumerGroup):
            return present, []
        if request.member_epoch != 0:
            raise _not_found(request.group_id, present)
        group = ConsumerGroup(request.group_id, self._config, self._timers)
        if present is None:
            return group, []
        converted: list[StateRecord] = []
        if not present.empty:
            converted = migration.upgrade(present, self._topics, call.step.now.wall_ms)
        for record in converted:
            read = group_records.read(*record)
            assert isinstance(read, ConsumerGroupRecord)
            group.apply(read.key, read.value)
        return group, [*present.tombstones(), *converted]

    def _check_room(self, group: ConsumerGroup, member_id: str) -> None:
        full = len(group.members) >= self._config.consumer_max_size
        if full and member_id not in group.members:
            raise KafkaError(
                ErrorCode.GROUP_MAX_SIZE_REACHED,
                f"Group {group.group_id} has {len(group.members)} members, as many as it may.",
            )

    def _leave(
        self, request: ConsumerGroupHeartbeatRequest, step: Step
    ) -> ConsumerGroupHeartbeatResponse:
        group = self._groups.get(request.group_id)
        if not isinstance(group, ConsumerGroup):
            raise _not_found(request.group_id, group)
        member = consumer_heartbeat.leaver(group, request)
        if request.member_epoch == STATIC_LEAVING_EPOCH:
            draft = Draft(group, self._topics, step.now)
            consumer_heartbeat.static_leave(draft, member)
            for record in draft.records():
                step.append(record)
        else:
            self._put_out(group, [member], step)
        return ConsumerGroupHeartbeatResponse(
            member_id=member.member_id, member_epoch=request.member_epoch
        )

    def _put_out(
        self, group: ConsumerGroup, members: Collection[ConsumerMember], step: Step
    ) -> None:
        """These members are in the group no longer."""
        staying = len(group.members) - len(members)
        if staying and migration.can_downgrade(group, members, self._config):
            self._downgrade(group, members, step)
            return
        draft = Draft(group, self._topics, step.now)
        for member in members:
            draft.remove(member.member_id)
            group.cancel_all(member.member_id)
        draft.refresh(resubscribed=True)
        for record in draft.records():
            step.append(record)

    def _downgrade(
        self, group: ConsumerGroup, leaving: Collection[ConsumerMember], step: Step
    ) -> ClassicGroup:
        heir = ClassicGroup(group.group_id, self._config, self._timers, step.now.wall_ms)
        stored = migration.downgrade(group, leaving, heir, self._topics, step)
        self.heirs[group.group_id] = heir
        for record in (*group.tombstones(), stored):
            step.append(record)
        return heir

    # The classic protocol.

    def join(self, group: ConsumerGroup, request: Join) -> None:
        """A member of the classic protocol joins a consumer group, or joins again."""
        call, asked = request.call, request.request
        try:
            self._check_room(group, asked.member_id)
            holder = group.holder(asked.group_instance_id)
            if holder is not None and not asked.member_id and self._is_last(group, holder):
                self._join_heir(group, holder, request)
                return
            draft = Draft(group, self._topics, call.step.now)
            response = consumer_classic.join(draft, request, self._topics)
        except KafkaError as error:
            required = error.code is ErrorCode.MEMBER_ID_REQUIRED
            request.refuse(error.code, request.fresh_id if required else "")
            return
        for record in draft.records():
            call.step.append(record)
        call.reply(response, join_refusal(call.version, "", APPEND_FAILED))

    def _is_last(self, group: ConsumerGroup, member: ConsumerMember) -> bool:
        return migration.can_downgrade(group, [member], self._config)

    def _join_heir(self, group: ConsumerGroup, former: ConsumerMember, request: Join) -> None:
        """The last member of the consumer protocol was static and comes back as a classic one."""
        consumer_classic.check_protocols(group, request)
        call = request.call
        heir = self._downgrade(group, [former], call.step)
        call.step.refuse(call.token, join_refusal(call.version, "", APPEND_FAILED))
        admit(heir, request, self._config.max_size)

    def sync(self, group: ConsumerGroup, request: SyncGroupRequest, call: Call) -> None:
        """A member of the classic protocol asks for its assignment."""
        try:
            response = consumer_classic.sync(group, request, self._topics, call.step)
        except KafkaError as error:
            response = SyncGroupResponse(error_code=error.code)
        call.reply(response)

    def classic_heartbeat(
        self, group: ConsumerGroup, request: HeartbeatRequest, call: Call
    ) -> None:
        """A member of the classic protocol is alive."""
        try:
            error = consumer_classic.heartbeat(group, request, call.step)
        except KafkaError as refusal:
            error = refusal.code
        call.reply(HeartbeatResponse(error_code=error))

    def leave(self, group: ConsumerGroup, request: LeaveGroupRequest, call: Call) -> None:
        """Members leave, or are removed by an administrator, whatever protocol they speak."""
        leaving, errors = identities(request, call), list[ErrorCode]()
        found: dict[str, ConsumerMember] = {}
        for identity in leaving:
            try:
                member = consumer_classic.leaver(group, identity)
            except KafkaError as error:
                errors.append(error.code)
            else:
                errors.append(ErrorCode.NONE)
                found[member.member_id] = member
        if found:
            self._put_out(group, found.values(), call.step)
        answer_leave(leaving, errors, call)

    # Time and records.

    def expired(self, key: TimerKey, step: Step) -> None:
        """A member did not do in time what it had to."""
        group = self._groups.get(key.group_id)
        member = group.members.get(key.member_id) if isinstance(group, ConsumerGroup) else None
        if not isinstance(group, ConsumerGroup) or not isinstance(member, ConsumerMember):
            return  # it was to come, but its record could not be stored
        if key.kind == "revocation" and member.state is not MemberState.UNREVOKED_PARTITIONS:
            return
        self._put_out(group, [member], step)

    def apply(self, record: ConsumerGroupRecord) -> None:
        """One of a group's records is stored."""
        group = self._groups.get(record.group_id)
        if record.value is None and not isinstance(group, ConsumerGroup):
            return
        if record.value is None and isinstance(record.key, ConsumerGroupMetadataKey):
            assert group is not None
            group.close()
            del self._groups[record.group_id]
            return
        if not isinstance(group, ConsumerGroup):
            if group is not None:
                group.close()
            group = ConsumerGroup(record.group_id, self._config, self._timers)
            self._groups[record.group_id] = group
        group.apply(record.key, record.value)

    def refused(self, group_id: str, step: Step) -> None:
        """Records of a group were not stored: it is as it was, and so is what it waits for."""
        heir = self.heirs.pop(group_id, None)
        if heir is not None:
            heir.close()
        group = self._groups.get(group_id)
        if isinstance(group, ConsumerGroup):
            group.catalog_version = None
            group.loaded(step)


def _not_found(group_id: str, present: Group | None) -> KafkaError:
    what = "not found" if present is None else "is not a consumer group"
    return KafkaError(ErrorCode.GROUP_ID_NOT_FOUND, f"Group {group_id} {what}.")

"""The group coordinator: every request about groups, and the log of ``__consumer_offsets``.

One id names one group, of one kind. This module keeps the ids, hands requests to the group they
name and puts together what concerns several groups; what a group decides is in the modules of its
kind (``classic_*``, ``consumer_*``), and how far it has come in ``offsets``. Every kind answers to
what :class:`ClassicGroup` lists under that heading; what is asked of a kind is refused for groups
of another.

Each group lives in one partition of the state topic, as in Kafka, and its records and answers go
through that one. A request that names groups of several partitions is answered once, when all of
them are synced.

The owner hands over every record of the state topic through :meth:`GroupCoordinator.apply`, then
calls :meth:`GroupCoordinator.loaded` once, and only then requests.

Served: JoinGroup v0-9, SyncGroup v0-5, Heartbeat v0-4, LeaveGroup v0-5, OffsetCommit v2-10,
OffsetFetch v1-10, OffsetDelete v0, TxnOffsetCommit v0-5, DescribeGroups v0-6, ListGroups v0-5,
DeleteGroups v0-2, ConsumerGroupHeartbeat v0-1, ConsumerGroupDescribe v0-1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from typing import Any, Final
from uuid import UUID

from mq.coordinators import classic_membership, group_records
from mq.coordinators.classic_admission import Join, admit
from mq.coordinators.classic_group import ClassicGroup, join_refusal
from mq.coordinators.consumer_draft import AllTopics
from mq.coordinators.consumer_group import ConsumerGroup
from mq.coordinators.consumer_requests import ConsumerRequests, Group
from mq.coordinators.effects import Call, Effects, Now, RequestContext, Step
from mq.coordinators.group_config import GroupConfig
from mq.coordinators.group_expiry import GroupExpiry
from mq.coordinators.group_queries import GroupQueries
from mq.coordinators.group_records import (
    APPEND_FAILED,
    ConsumerGroupRecord,
    GroupMetadata,
    Unknown,
)
from mq.coordinators.java_strings import java_hash
from mq.coordinators.offsets import Offsets
from mq.coordinators.timer_key import TimerKey
from mq.coordinators.timers import Timers
from mq.coordinators.topic_id_partitions import TopicIdPartition
from mq.errors import ErrorCode
from mq.wire.messages.consumer_group_describe import (
    ConsumerGroupDescribeRequest,
)
from mq.wire.messages.consumer_group_heartbeat import ConsumerGroupHeartbeatRequest
from mq.wire.messages.delete_groups import (
    DeletableGroupResult,
    DeleteGroupsRequest,
    DeleteGroupsResponse,
)
from mq.wire.messages.describe_groups import (
    DescribeGroupsRequest,
)
from mq.wire.messages.heartbeat import HeartbeatRequest, HeartbeatResponse
from mq.wire.messages.join_group import JoinGroupRequest
from mq.wire.messages.leave_group import LeaveGroupRequest, LeaveGroupResponse
from mq.wire.messages.list_groups import ListGroupsRequest
from mq.wire.messages.offset_commit import OffsetCommitRequest, OffsetCommitRequestTopic
from mq.wire.messages.offset_delete import OffsetDeleteRequest, OffsetDeleteResponse
from mq.wire.messages.offset_fetch import OffsetFetchRequest, OffsetFetchRequestGroup
from mq.wire.messages.sync_group import SyncGroupRequest, SyncGroupResponse
from mq.wire.messages.txn_offset_commit import TxnOffsetCommitRequest
from mq.wire.schema import ZERO_UUID

__all__ = ["GroupCoordinator"]

# A member id is made of the name that its client gave itself, of which so much is told: the id must
# fit a string of the protocol, whose length has 15 bits, however many bytes a character takes.
_NAME_CHARACTERS_MAX: Final = 255


class GroupCoordinator:
    """All groups of a broker.

    ``topics`` is the catalog; ``random_id`` gives a fresh UUID as text at every call.
    """

    def __init__(
        self, config: GroupConfig, topics: AllTopics, random_id: Callable[[], str]
    ) -> None:
        self._config = config
        self._topics = topics
        self._random_id = random_id
        self._groups: dict[str, Group] = {}
        self._offsets = Offsets(config, topics)
        self._timers = Timers[TimerKey]()
        self._consumer = ConsumerRequests(config, topics, self._groups, self._timers, random_id)
        self._queries = GroupQueries(self._groups, topics)
        self._expiry = GroupExpiry(config, self._groups, self._offsets, self._timers)
        self._loaded = False
        self._deletions: dict[str, DeletableGroupResult] = {}  # of the request that is under way
        self._handlers: dict[type, Callable[[Any, Call], list[Effects]]] = {
            JoinGroupRequest: self._join,
            SyncGroupRequest: self._sync,
            HeartbeatRequest: self._heartbeat,
            LeaveGroupRequest: self._leave,
            OffsetCommitRequest: self._commit,
            OffsetFetchRequest: self._fetch,
            TxnOffsetCommitRequest: self._commit_in_transaction,
            OffsetDeleteRequest: self._delete_offsets,
            DescribeGroupsRequest: self._describe,
            ListGroupsRequest: self._list,
            DeleteGroupsRequest: self._delete,
            ConsumerGroupHeartbeatRequest: self._consumer_heartbeat,
            ConsumerGroupDescribeRequest: self._describe_consumer,
        }

    # The verbs of a machine.

    def handle(self, request: Any, context: RequestContext, token: int, now: Now) -> list[Effects]:
        """Look at a request of one of the kinds that the module names."""
        assert self._loaded, "requests come after loaded()"
        return self._handlers[type(request)](request, Call(context, token, Step(now)))

    def apply(
        self, partition: int, key: bytes, value: bytes | None, producer_id: int = -1
    ) -> str | None:
        """A record of ``__consumer_offsets`` is stored, just now or before the last start.

        It is pending if it is part of the transaction of a producer; only offsets are.

        Returns: what it is, if this coordinator cannot read it and goes on without it; else None.

        Raises:
            PeerError: the record is of a known kind, but malformed.
        """
        record = group_records.read(key, value)
        if isinstance(record, Unknown):
            return f"{record.reason} in partition {partition}"
        if isinstance(record, ConsumerGroupRecord):
            self._consumer.apply(record)
            return None
        group = self._groups.get(record.group_id)
        if isinstance(record, GroupMetadata):
            self._apply_group(record, group)
            return None
        if group is None and record.value is not None:
            # Who commits without ever joining has a simple group: one without protocol or members.
            group = self._new(record.group_id, record.value.commit_timestamp)
            self._groups[record.group_id] = group
        if producer_id == -1:
            self._offsets.apply(record)
        else:
            self._offsets.pending.add((partition, producer_id), record)
        return None

    def ended(self, partition: int, producer_id: int, *, commit: bool) -> None:
        """A transaction has ended in a partition: its offsets count, or never were."""
        self._offsets.ended(partition, producer_id, commit=commit)

    def loaded(self, now: Now) -> None:
        """All records of the state topic have been applied: time begins to count for the groups."""
        assert not self._loaded
        self._loaded = True
        for group in self._groups.values():
            group.loaded(Step(now))
        self._expiry.begin(now)

    def refused(self, effects: Effects, now: Now) -> list[Effects]:
        """The records of ``effects`` could not be stored, and nothing of them has been applied."""
        answers: list[Effects] = []
        consumer_groups: set[str] = set()
        for state_record in effects.append:
            record = group_records.read(*state_record)
            if isinstance(record, GroupMetadata):
                answers += self._refused_group(record, Step(now))
            elif isinstance(record, ConsumerGroupRecord):
                consumer_groups.add(record.group_id)
        for group_id in consumer_groups:
            self._consumer.refused(group_id, Step(now))
            if group_id in self._deletions:
                self._deletions[group_id].error_code = APPEND_FAILED
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
            return [
                Effects(append=tombstones, partition=self.partition_for(group_id))
                for group_id, tombstones in self._expiry.sweep(now)
            ]
        group, step = self._groups.get(key.group_id), Step(now)
        if isinstance(group, ClassicGroup):
            group.expired(key, step)
        else:
            self._consumer.expired(key, step)
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
        name = (request.group_instance_id or call.context.client_id)[:_NAME_CHARACTERS_MAX]
        fresh_id = "" if request.member_id else f"{name}-{self._random_id()}"
        join, group = Join(request, call, fresh_id), self._groups.get(request.group_id)
        if isinstance(group, ConsumerGroup) and not group.empty:
            self._consumer.join(group, join)
        elif isinstance(group, ClassicGroup):
            admit(group, join, self._config.max_size)
        else:
            self._found(join, group)
        return self._effects(request.group_id, call.step)

    def _found(self, join: Join, former: ConsumerGroup | None) -> None:
        """Have a member begin a classic group, where there is none or an empty one of consumers."""
        call, group_id = join.call, join.request.group_id
        group = self._new(group_id, call.step.now.wall_ms)
        for record in (*(() if former is None else former.tombstones()), group.record(())):
            call.step.append(record)
        self._consumer.heirs[group_id] = group
        call.step.refuse(call.token, join_refusal(call.version, "", APPEND_FAILED))
        admit(group, join, self._config.max_size)

    def _check_join(self, request: JoinGroupRequest) -> ErrorCode:
        shortest_ms = self._config.min_session_timeout_ms
        longest_ms = self._config.max_session_timeout_ms
        if not request.group_id:
            return ErrorCode.INVALID_GROUP_ID
        if not shortest_ms <= request.session_timeout_ms <= longest_ms:
            return ErrorCode.INVALID_SESSION_TIMEOUT
        group = self._groups.get(request.group_id)
        if request.member_id and (group is None or (group.kind == "consumer" and group.empty)):
            return ErrorCode.UNKNOWN_MEMBER_ID
        return ErrorCode.NONE

    def _sync(self, request: SyncGroupRequest, call: Call) -> list[Effects]:
        group = self._groups.get(request.group_id)
        if call.version >= 5 and None in (request.protocol_type, request.protocol_name):
            call.reply(SyncGroupResponse(error_code=ErrorCode.INCONSISTENT_GROUP_PROTOCOL))
        elif group is None:
            call.reply(SyncGroupResponse(error_code=_missing(request.group_id)))
        elif isinstance(group, ConsumerGroup):
            self._consumer.sync(group, request, call)
        else:
            classic_membership.sync(group, request, call)
        return self._effects(request.group_id, call.step)

    def _heartbeat(self, request: HeartbeatRequest, call: Call) -> list[Effects]:
        group = self._groups.get(request.group_id)
        if isinstance(group, ConsumerGroup):
            self._consumer.classic_heartbeat(group, request, call)
        elif group is None:
            call.reply(HeartbeatResponse(error_code=_missing(request.group_id)))
        else:
            error = classic_membership.heartbeat(group, request, call.step)
            call.reply(HeartbeatResponse(error_code=error))
        return self._effects(request.group_id, call.step)

    def _leave(self, request: LeaveGroupRequest, call: Call) -> list[Effects]:
        group = self._groups.get(request.group_id)
        if not request.group_id:
            call.reply(LeaveGroupResponse(error_code=ErrorCode.INVALID_GROUP_ID))
        elif isinstance(group, ConsumerGroup):
            self._consumer.leave(group, request, call)
        else:
            classic_membership.leave(group, request, call)
        return self._effects(request.group_id, call.step)

    def _consumer_heartbeat(
        self, request: ConsumerGroupHeartbeatRequest, call: Call
    ) -> list[Effects]:
        self._consumer.heartbeat(request, call)
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

    def _commit_in_transaction(self, request: TxnOffsetCommitRequest, call: Call) -> list[Effects]:
        group, now = self._groups.get(request.group_id), call.step.now
        error = _missing(request.group_id, ErrorCode.ILLEGAL_GENERATION)
        names = request.generation_id, request.member_id, request.group_instance_id
        if isinstance(group, ConsumerGroup):
            error = group.check_commit(*names, places=partial(self._places, request, 0))
        elif group is not None:
            error = group.check_commit(*names, transactional=True)
        elif request.group_id and request.generation_id < 0:
            error = ErrorCode.NONE  # the commit makes it a simple group
        response, records = self._offsets.commit_in_transaction(request, now, error)
        refusal, _ = self._offsets.commit_in_transaction(request, now, APPEND_FAILED)
        for record in records:
            call.step.append(record)
        call.reply(response, refusal)
        producer = request.producer_id, request.producer_epoch
        effects = self._effects(request.group_id, call.step)
        return [replace(each, producer=producer) for each in effects]

    def _check_commit(self, request: OffsetCommitRequest, call: Call) -> ErrorCode:
        generation = request.generation_id_or_member_epoch
        group = self._groups.get(request.group_id)
        if group is None:
            if generation < 0:
                return ErrorCode.NONE  # the commit makes it a simple group
            known = call.version >= 9
            return ErrorCode.GROUP_ID_NOT_FOUND if known else ErrorCode.ILLEGAL_GENERATION
        names = generation, request.member_id, request.group_instance_id
        if isinstance(group, ConsumerGroup):
            places = partial(self._places, request, call.version)
            return group.check_commit(*names, call.version, places)
        error = group.check_commit(*names)
        if error is ErrorCode.NONE:
            group.committed(request.member_id, call.step)
        return error

    def _places(
        self, request: OffsetCommitRequest | TxnOffsetCommitRequest, version: int
    ) -> list[TopicIdPartition]:
        """The partitions that a commit names, by ids or by names."""
        places = []
        for topic in request.topics:
            topic_id = self._topics.topic_id(topic.name)
            if isinstance(topic, OffsetCommitRequestTopic) and version >= 10:
                topic_id = topic.topic_id
            places += [
                TopicIdPartition(topic_id or ZERO_UUID, partition.partition_index)
                for partition in topic.partitions
            ]
        return places

    def _fetch(self, request: OffsetFetchRequest, call: Call) -> list[Effects]:
        call.reply(self._offsets.fetch(request, call.version, self._check_fetch))
        group_ids = [group.group_id for group in request.groups] or [request.group_id]
        return self._effects_of(group_ids, call.step)

    def _check_fetch(self, asked: OffsetFetchRequestGroup) -> ErrorCode:
        """A classic group, and one that does not exist, lets anyone ask."""
        group = self._groups.get(asked.group_id)
        if isinstance(group, ConsumerGroup):
            return group.check_fetch(asked.member_id, asked.member_epoch)
        return ErrorCode.NONE

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
        call.reply(self._queries.describe(request, call.version))
        return self._effects_of(request.groups, call.step)

    def _describe_consumer(
        self, request: ConsumerGroupDescribeRequest, call: Call
    ) -> list[Effects]:
        call.reply(self._queries.describe_consumer(request))
        return self._effects_of(request.group_ids, call.step)

    def _list(self, request: ListGroupsRequest, call: Call) -> list[Effects]:
        call.reply(self._queries.list(request))
        return self._effects_of(self._groups, call.step)

    def _delete(self, request: DeleteGroupsRequest, call: Call) -> list[Effects]:
        """Delete groups, each by itself: the answer tells of those that could not be."""
        self._deletions, effects = {}, list[Effects]()
        for group_id in dict.fromkeys(request.groups_names):
            group = self._groups.get(group_id)
            error = ErrorCode.GROUP_ID_NOT_FOUND if group is None else group.check_delete()
            self._deletions[group_id] = DeletableGroupResult(group_id, error)
            if group is not None and error is ErrorCode.NONE:
                records = (*self._offsets.tombstones(group_id), *group.tombstones())
                effects += [Effects(append=records, partition=self.partition_for(group_id))]
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

    def _apply_group(self, record: GroupMetadata, group: Group | None) -> None:
        if record.value is None:
            if isinstance(group, ClassicGroup):
                self._forget(group)
            return
        if not isinstance(group, ClassicGroup):
            created_ms = record.value.current_state_timestamp
            heir = self._consumer.heirs.pop(record.group_id, None)
            group = heir or self._new(record.group_id, created_ms)
            self._groups[record.group_id] = group
        group.apply(record.value)

    def _refused_group(self, record: GroupMetadata, step: Step) -> list[Effects]:
        if record.value is None:
            if record.group_id in self._deletions:
                self._deletions[record.group_id].error_code = APPEND_FAILED
            return []
        heir = self._consumer.heirs.pop(record.group_id, None)
        if heir is not None:
            heir.close()
        group = self._groups.get(record.group_id)
        if isinstance(group, ClassicGroup):
            group.refused(step)
        return self._effects(record.group_id, step)

    def _effects(self, group_id: str, step: Step) -> list[Effects]:
        return step.effects(self.partition_for(group_id))

    def _effects_of(self, group_ids: Iterable[str], step: Step) -> list[Effects]:
        """A step that speaks of several groups waits for the partitions of all of them."""
        partition, *reveals = sorted({self.partition_for(each) for each in group_ids}) or [0]
        return step.effects(partition, tuple(reveals))


def _missing(group_id: str, error: ErrorCode = ErrorCode.UNKNOWN_MEMBER_ID) -> ErrorCode:
    """Why there is no group of this id."""
    return error if group_id else ErrorCode.INVALID_GROUP_ID

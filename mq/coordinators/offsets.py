"""How far every group has come: OffsetCommit v2-10, OffsetFetch v1-10, OffsetDelete v0,
TxnOffsetCommit v0-5.

Offsets belong to a group id, whatever kind of group it names. :class:`Offsets` keeps them and
builds the answers; whether a group lets a client commit, and when it lets offsets expire, the group
says itself. Topics are known to the catalog, which is asked through :class:`Topics`: requests name
them by id since v10 (KIP-848), and an offset remembers the id, so that it is not mistaken for one
of a later topic with the same name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final, NamedTuple, Protocol
from uuid import UUID

from mq.coordinators.effects import Now, StateRecord
from mq.coordinators.group_config import GroupConfig
from mq.coordinators.group_records import OffsetCommit, offset_commit, offset_tombstone
from mq.coordinators.java_strings import java_length
from mq.coordinators.pending_offsets import PendingOffsets
from mq.errors import ErrorCode
from mq.wire.messages.offset_commit import (
    OffsetCommitRequest,
    OffsetCommitRequestPartition,
    OffsetCommitResponse,
    OffsetCommitResponsePartition,
    OffsetCommitResponseTopic,
)
from mq.wire.messages.offset_delete import (
    OffsetDeleteRequest,
    OffsetDeleteResponse,
    OffsetDeleteResponsePartition,
    OffsetDeleteResponseTopic,
)
from mq.wire.messages.offset_fetch import (
    OffsetFetchRequest,
    OffsetFetchRequestGroup,
    OffsetFetchRequestTopics,
    OffsetFetchResponse,
    OffsetFetchResponseGroup,
    OffsetFetchResponsePartition,
    OffsetFetchResponsePartitions,
    OffsetFetchResponseTopic,
    OffsetFetchResponseTopics,
)
from mq.wire.messages.records.offset_commit import OffsetCommitValue
from mq.wire.messages.txn_offset_commit import (
    TxnOffsetCommitRequest,
    TxnOffsetCommitRequestPartition,
    TxnOffsetCommitResponse,
    TxnOffsetCommitResponsePartition,
    TxnOffsetCommitResponseTopic,
)
from mq.wire.schema import ZERO_UUID

__all__ = ["Expiry", "Offsets", "Topics"]

_NONE_COMMITTED: Final = OffsetCommitValue(offset=-1)


class Topics(Protocol):
    """What the coordinator asks the catalog."""

    def topic_name(self, topic_id: UUID) -> str | None:
        """The name of the topic with this id, None if there is none."""

    def topic_id(self, name: str) -> UUID | None:
        """The id of the topic of this name, None if there is none."""

    def has_partition(self, name: str, partition: int) -> bool:
        """Whether the topic exists and has a partition of this number."""


class Expiry(NamedTuple):
    """What became of the offsets of a group: tombstones of some, and how many are left.

    What a transaction may still bring counts as left.
    """

    tombstones: list[StateRecord]
    left: int


class Offsets:
    """The committed offsets of all groups."""

    def __init__(self, config: GroupConfig, topics: Topics) -> None:
        self._config = config
        self._topics = topics
        self._groups: dict[str, dict[str, dict[int, OffsetCommitValue]]] = {}
        self.pending = PendingOffsets()

    def ended(self, partition: int, producer_id: int, *, commit: bool) -> None:
        """A transaction has ended in a partition of the state topic."""
        for record in self.pending.end((partition, producer_id), commit=commit):
            self.apply(record)

    def apply(self, record: OffsetCommit) -> None:
        """A record was stored: remember the offset, or forget it."""
        if record.value is not None:
            self.pending.overtake(record[:3])
            topics = self._groups.setdefault(record.group_id, {})
            topics.setdefault(record.topic, {})[record.partition] = record.value
            return
        topics = self._groups.get(record.group_id, {})
        partitions = topics.get(record.topic, {})
        partitions.pop(record.partition, None)
        if not partitions:
            topics.pop(record.topic, None)
        if not topics:
            self._groups.pop(record.group_id, None)

    def committed(self, group_id: str) -> Iterator[tuple[str, int, OffsetCommitValue]]:
        """All offsets of a group with their topics and partitions."""
        for topic, partitions in self._groups.get(group_id, {}).items():
            for partition, committed in partitions.items():
                yield topic, partition, committed

    def commit(
        self, request: OffsetCommitRequest, version: int, now: Now, error: ErrorCode
    ) -> tuple[OffsetCommitResponse, list[StateRecord]]:
        """Answer a commit, which the group refuses with ``error`` or lets through with NONE.

        Partitions that do not exist are refused whatever the group says.
        """
        response, records = OffsetCommitResponse(), list[StateRecord]()
        for topic in request.topics:
            name, topic_id, unknown = self._resolve(topic.name, topic.topic_id, version)
            answered = OffsetCommitResponseTopic(name=topic.name, topic_id=topic.topic_id)
            response.topics.append(answered)
            for partition in topic.partitions:
                index = partition.partition_index
                code = unknown or self._check_commit(name, partition, error)
                answered.partitions.append(OffsetCommitResponsePartition(index, code))
                if code == ErrorCode.NONE:
                    committed = _from_request(request, partition, topic_id, now)
                    records.append(offset_commit(request.group_id, name, index, committed))
        return response, records

    def commit_in_transaction(
        self, request: TxnOffsetCommitRequest, now: Now, error: ErrorCode
    ) -> tuple[TxnOffsetCommitResponse, list[StateRecord]]:
        """As :meth:`commit`, but the offsets are to be pending; topics are named by name only."""
        response, records = TxnOffsetCommitResponse(), list[StateRecord]()
        for topic in request.topics:
            answered = TxnOffsetCommitResponseTopic(name=topic.name)
            response.topics.append(answered)
            for partition in topic.partitions:
                index = partition.partition_index
                code = self._check_commit(topic.name, partition, error)
                answered.partitions.append(TxnOffsetCommitResponsePartition(index, code))
                if code == ErrorCode.NONE:
                    committed = OffsetCommitValue(
                        offset=partition.committed_offset,
                        leader_epoch=partition.committed_leader_epoch,
                        metadata=partition.committed_metadata or "",
                        commit_timestamp=now.wall_ms,
                        topic_id=self._topics.topic_id(topic.name) or ZERO_UUID,
                    )
                    records.append(offset_commit(request.group_id, topic.name, index, committed))
        return response, records

    def fetch(
        self,
        request: OffsetFetchRequest,
        version: int,
        check: Callable[[OffsetFetchRequestGroup], ErrorCode],
    ) -> OffsetFetchResponse:
        """Answer where groups stand: in the partitions asked for, or wherever they have committed.

        ``check`` says whether a group, if it exists, lets this member ask; since v9 it is named.
        """
        groups = request.groups if version >= 8 else [_as_group(request)]
        answers = [
            OffsetFetchResponseGroup(group.group_id, error_code=error)
            if (error := check(group))
            else self._fetch(group, version, stable=request.require_stable)
            for group in groups
        ]
        if version >= 8:
            return OffsetFetchResponse(groups=answers)
        return OffsetFetchResponse(topics=_as_topics(answers[0]), error_code=answers[0].error_code)

    def delete(
        self, request: OffsetDeleteRequest, subscribes: Callable[[str], bool]
    ) -> tuple[OffsetDeleteResponse, list[StateRecord]]:
        """Answer a request to delete offsets of a group that permits it."""
        response, records = OffsetDeleteResponse(), list[StateRecord]()
        topics = self._groups.get(request.group_id, {})
        for topic in request.topics:
            answered = OffsetDeleteResponseTopic(name=topic.name)
            response.topics.append(answered)
            for index in (partition.partition_index for partition in topic.partitions):
                code = ErrorCode.NONE
                if not self._topics.has_partition(topic.name, index):
                    code = ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
                elif subscribes(topic.name):
                    code = ErrorCode.GROUP_SUBSCRIBED_TO_TOPIC
                elif index in topics.get(topic.name, {}):
                    records.append(offset_tombstone(request.group_id, topic.name, index))
                answered.partitions.append(OffsetDeleteResponsePartition(index, code))
        return response, records

    def tombstones(self, group_id: str) -> list[StateRecord]:
        """The records that delete all offsets of a group."""
        return [offset_tombstone(group_id, *place[:2]) for place in self.committed(group_id)]

    def forget_topic(self, topic: str, topic_id: UUID) -> Iterator[tuple[str, list[StateRecord]]]:
        """The records that delete the offsets of a deleted topic, for each group with any."""
        for group_id, topics in self._groups.items():
            tombstones = [
                offset_tombstone(group_id, topic, index)
                for index, committed in topics.get(topic, {}).items()
                if committed.topic_id in (ZERO_UUID, topic_id)
            ]
            if tombstones:
                yield group_id, tombstones

    def expire(
        self,
        group_id: str,
        subscribes: Callable[[str], bool],
        base_ms: Callable[[int], int | None],
        wall_ms: int,
    ) -> Expiry:
        """What of a group's offsets has outlived its retention (KIP-211), or its topic.

        ``base_ms`` says from when on the retention of an offset counts, given when it was
        committed, or None if offsets of this group do not expire now.
        """
        tombstones, left = list[StateRecord](), 0
        for topic, partition, committed in self.committed(group_id):
            base = base_ms(committed.commit_timestamp)
            due_ms = committed.expire_timestamp
            if self._outlives_its_topic(committed):
                tombstones.append(offset_tombstone(group_id, topic, partition))
            elif base is None or subscribes(topic) or (group_id, topic, partition) in self.pending:
                left += 1
            elif wall_ms >= (base + self._config.offsets_retention_ms if due_ms == -1 else due_ms):
                tombstones.append(offset_tombstone(group_id, topic, partition))
            else:
                left += 1
        if self.pending.concerns(group_id):
            left += 1
        return Expiry(tombstones, left)

    def _outlives_its_topic(self, committed: OffsetCommitValue) -> bool:
        """Whether a crash came between the deletion of the topic and that of the offset."""
        topic_id = committed.topic_id
        return topic_id != ZERO_UUID and self._topics.topic_name(topic_id) is None

    def _resolve(self, name: str, topic_id: UUID, version: int) -> tuple[str, UUID, ErrorCode]:
        """Name and id of a topic that a commit names by either, and NONE if it exists."""
        if version >= 10:
            known_name = self._topics.topic_name(topic_id)
            return known_name or "", topic_id, _unless(known_name, ErrorCode.UNKNOWN_TOPIC_ID)
        known_id = self._topics.topic_id(name)
        unknown = _unless(known_id, ErrorCode.UNKNOWN_TOPIC_OR_PARTITION)
        return name, known_id or ZERO_UUID, unknown

    def _check_commit(
        self,
        name: str,
        partition: OffsetCommitRequestPartition | TxnOffsetCommitRequestPartition,
        error: ErrorCode,
    ) -> ErrorCode:
        if not self._topics.has_partition(name, partition.partition_index):
            return ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
        if error is not ErrorCode.NONE:
            return error
        if java_length(partition.committed_metadata or "") > self._config.offset_metadata_max_bytes:
            return ErrorCode.OFFSET_METADATA_TOO_LARGE
        return ErrorCode.NONE

    def _fetch(
        self, asked: OffsetFetchRequestGroup, version: int, *, stable: bool
    ) -> OffsetFetchResponseGroup:
        topics = self._groups.get(asked.group_id, {})
        if asked.topics is None:
            fetched = self._fetch_all(topics, version)
        else:
            fetched = [self._fetch_topic(topics, topic, version) for topic in asked.topics]
        if stable and self.pending.concerns(asked.group_id):
            self._hide_pending(asked.group_id, fetched)
        return OffsetFetchResponseGroup(asked.group_id, fetched)

    def _hide_pending(self, group_id: str, fetched: list[OffsetFetchResponseTopics]) -> None:
        """Tell nothing of partitions where a transaction may change the offset (KIP-447)."""
        for topic in fetched:
            name = topic.name or self._topics.topic_name(topic.topic_id) or ""
            for each in topic.partitions:
                if (group_id, name, each.partition_index) in self.pending:
                    each.committed_offset, each.committed_leader_epoch = -1, -1
                    each.metadata, each.error_code = "", ErrorCode.UNSTABLE_OFFSET_COMMIT

    def _fetch_all(
        self, topics: dict[str, dict[int, OffsetCommitValue]], version: int
    ) -> list[OffsetFetchResponseTopics]:
        fetched = []
        for name, partitions in topics.items():
            topic_id = self._topics.topic_id(name)
            if topic_id is None and version >= 10:
                continue  # it is deleted, and cannot be named
            answers = [
                _fetched(index, committed)
                for index, committed in sorted(partitions.items())
                if _same_topic(committed.topic_id, topic_id)
            ]
            if answers:
                shown = ZERO_UUID if topic_id is None or version < 10 else topic_id
                fetched.append(OffsetFetchResponseTopics(name, shown, answers))
        return fetched

    def _fetch_topic(
        self,
        topics: dict[str, dict[int, OffsetCommitValue]],
        asked: OffsetFetchRequestTopics,
        version: int,
    ) -> OffsetFetchResponseTopics:
        name: str | None = asked.name
        if version >= 10:
            name = self._topics.topic_name(asked.topic_id)
        if name is None:
            answers = [_unknown_topic(index) for index in asked.partition_indexes]
            return OffsetFetchResponseTopics(asked.name, asked.topic_id, answers)
        topic_id = asked.topic_id if version >= 10 else self._topics.topic_id(name)
        partitions = topics.get(name, {})
        answers = []
        for index in asked.partition_indexes:
            committed = partitions.get(index, _NONE_COMMITTED)
            if not _same_topic(committed.topic_id, topic_id):
                committed = _NONE_COMMITTED
            answers.append(_fetched(index, committed))
        return OffsetFetchResponseTopics(asked.name, asked.topic_id, answers)


def _same_topic(committed: UUID, current: UUID | None) -> bool:
    """Whether an offset can be of this topic: not if it remembers that it is another's."""
    return current is None or committed in (ZERO_UUID, current)


def _unless(known: object, error: ErrorCode) -> ErrorCode:
    return error if known is None else ErrorCode.NONE


def _from_request(
    request: OffsetCommitRequest, partition: OffsetCommitRequestPartition, topic_id: UUID, now: Now
) -> OffsetCommitValue:
    retention_ms = request.retention_time_ms
    return OffsetCommitValue(
        offset=partition.committed_offset,
        leader_epoch=partition.committed_leader_epoch,
        metadata=partition.committed_metadata or "",
        commit_timestamp=now.wall_ms,
        expire_timestamp=-1 if retention_ms == -1 else now.wall_ms + retention_ms,
        topic_id=topic_id,
    )


def _fetched(index: int, committed: OffsetCommitValue) -> OffsetFetchResponsePartitions:
    return OffsetFetchResponsePartitions(
        partition_index=index,
        committed_offset=committed.offset,
        committed_leader_epoch=committed.leader_epoch,
        metadata=committed.metadata,
    )


def _unknown_topic(index: int) -> OffsetFetchResponsePartitions:
    return OffsetFetchResponsePartitions(
        partition_index=index, committed_offset=-1, error_code=ErrorCode.UNKNOWN_TOPIC_ID
    )


def _as_group(request: OffsetFetchRequest) -> OffsetFetchRequestGroup:
    """A request of v1-7, which names one group, as one of today."""
    if request.topics is None:
        return OffsetFetchRequestGroup(request.group_id, topics=None)
    topics = [
        OffsetFetchRequestTopics(name=topic.name, partition_indexes=topic.partition_indexes)
        for topic in request.topics
    ]
    return OffsetFetchRequestGroup(request.group_id, topics=topics)


def _as_topics(group: OffsetFetchResponseGroup) -> list[OffsetFetchResponseTopic]:
    """An answer of today as one of v1-7."""
    return [
        OffsetFetchResponseTopic(
            topic.name,
            [
                OffsetFetchResponsePartition(
                    each.partition_index,
                    each.committed_offset,
                    each.committed_leader_epoch,
                    each.metadata,
                    each.error_code,
                )
                for each in topic.partitions
            ],
        )
        for topic in group.topics
    ]

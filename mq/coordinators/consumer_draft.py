"""A consumer group as it is going to be: what one step changes of it, before that is stored.

A step puts and removes members, has the group look at its subscriptions again, has it assign, and
brings one member a bit further. Each of these sees what the ones before it changed. What is
different in the end becomes :meth:`Draft.records`; until they are applied, the group is as it was.
"""

from __future__ import annotations

import functools
from collections.abc import Collection, Iterable
from typing import Protocol
from uuid import UUID

from mq.coordinators import consumer_group_records as records
from mq.coordinators.assignors import ASSIGNORS, Subscriber, Target
from mq.coordinators.consumer_group import ConsumerGroup, preferred_assignor
from mq.coordinators.consumer_members import ConsumerMember
from mq.coordinators.effects import Now, StateRecord
from mq.coordinators.offsets import Topics
from mq.coordinators.reconciliation import Goal, reconcile
from mq.coordinators.topic_id_partitions import TopicIdPartition
from mq.coordinators.topic_patterns import TopicPattern

__all__ = ["AllTopics", "Draft"]

_compiled = functools.lru_cache(maxsize=64)(TopicPattern)


class AllTopics(Topics, Protocol):
    """What is asked of the catalog by those who assign partitions."""

    @property
    def version(self) -> int:
        """A number that is another after each change of topics or partitions."""

    def names(self) -> Iterable[str]:
        """The names of all topics."""

    def partition_count(self, name: str) -> int:
        """How many partitions an existing topic has."""


class Draft:
    """Changes to ``group``, decided on at ``now``."""

    def __init__(self, group: ConsumerGroup, topics: AllTopics, now: Now) -> None:
        self.group = group
        self.epoch = group.epoch
        self.target_epoch = group.target_epoch
        self._metadata_hash = group.metadata_hash
        self._topics = topics
        self._now = now
        self._members: dict[str, ConsumerMember | None] = {}  # None: removed
        self._targets: dict[str, Target] = {}
        self._patterns: dict[str, records.ResolvedPattern | None] = {}

    def member(self, member_id: str) -> ConsumerMember | None:
        """The member as it is going to be, None if there is none."""
        if member_id in self._members:
            return self._members[member_id]
        return self.group.members.get(member_id)

    def members(self) -> list[ConsumerMember]:
        """All members there are going to be."""
        merged = {**self.group.members, **self._members}
        return [member for member in merged.values() if member is not None]

    def put(self, member: ConsumerMember) -> None:
        """Have a member, new or changed."""
        self._members[member.member_id] = member

    def remove(self, member_id: str) -> None:
        """Have a member no longer."""
        self._members[member_id] = None
        self._targets.pop(member_id, None)

    def replace(self, former: ConsumerMember, successor: ConsumerMember) -> None:
        """Have ``successor`` in the place of ``former``, with its target."""
        target = self._target(former.member_id)
        self.remove(former.member_id)
        self.put(successor)
        self._targets[successor.member_id] = target

    def refresh(self, *, resubscribed: bool) -> None:
        """Look at the subscriptions again if they or the catalog have changed.

        If that makes a difference, or somebody subscribes to something else, the epoch is raised.
        """
        group, version = self.group, self._topics.version
        if not resubscribed and version == group.catalog_version:
            return
        group.catalog_version = version
        members = self.members()
        rematched = self._match({member.regex for member in members if member.regex})
        names = frozenset[str]().union(*(self._topics_of(member) for member in members))
        found = records.metadata_hash(
            (name, topic_id, self._topics.partition_count(name))
            for name in names
            if (topic_id := self._topics.topic_id(name)) is not None
        )
        if resubscribed or rematched or found != self._metadata_hash:
            self.epoch += 1
            self._metadata_hash = found

    def _match(self, patterns: set[str]) -> bool:
        """Match the patterns against all topics; whether that makes a difference."""
        changed = False
        for pattern in patterns:
            matches = _compiled(pattern).matches
            topics = frozenset(name for name in self._topics.names() if matches(name))
            before = self.group.patterns.get(pattern)
            if before is None or before.topics != topics:
                version, timestamp_ms = self._topics.version, self._now.wall_ms
                self._patterns[pattern] = records.ResolvedPattern(topics, version, timestamp_ms)
                changed = True
        for pattern in self.group.patterns.keys() - patterns:
            self._patterns[pattern] = None
        return changed

    def assign(self) -> None:
        """Decide on the target of this epoch, unless that is done."""
        if self.epoch <= self.target_epoch:
            return
        members, counts = self.members(), dict[UUID, int]()
        subscribers = [
            Subscriber(
                member.member_id,
                member.instance_id,
                self._ids(self._topics_of(member), counts),
                self._target(member.member_id),
            )
            for member in members
        ]
        self._targets = ASSIGNORS[preferred_assignor(members)](subscribers, counts)
        self.target_epoch = self.epoch

    def reconcile(
        self,
        member: ConsumerMember,
        reported: Collection[TopicIdPartition] | None,
        *,
        resubscribed: bool,
    ) -> ConsumerMember:
        """Bring a member as far as it can come now; returns it as it is then."""
        if member.is_reconciled_to(self.target_epoch) and not resubscribed:
            return member  # as nearly always: it has all it is to have
        subscribed = self._ids(self._topics_of(member), {})
        goal = Goal(self.target_epoch, self._target(member.member_id), subscribed)
        moved = reconcile(member, goal, reported, self._owner, resubscribed=resubscribed)
        self.put(moved)
        return moved

    def records(self) -> list[StateRecord]:
        """What has to be stored for the group to be so."""
        group, group_id = self.group, self.group.group_id
        changed = [
            member
            for member_id, member in self._members.items()
            if member is not None and member is not group.members.get(member_id)
        ]
        found: list[StateRecord] = []
        for member_id, member in self._members.items():
            if member is None and member_id in group.members:
                found += records.member_tombstones(group_id, member_id)
        for member in changed:
            before = group.members.get(member.member_id)
            if before is None or not member.tells_the_same(before):
                found.append(records.member_metadata(group_id, member))
        for pattern, resolved in self._patterns.items():
            found.append(records.resolved_pattern(group_id, pattern, resolved))
        if self.epoch != group.epoch:
            found.append(records.group_epoch(group_id, self.epoch, self._metadata_hash))
        for member_id, target in self._targets.items():
            if group.targets.get(member_id) != target:
                found.append(records.target_assignment(group_id, member_id, target))
        if self.target_epoch != group.target_epoch:
            moment_ms = self._now.wall_ms
            found.append(records.target_epoch(group_id, self.target_epoch, moment_ms))
        for member in changed:
            before = group.members.get(member.member_id)
            if before is None or not member.stands_the_same(before):
                found.append(records.current_assignment(group_id, member))
        return found

    def _target(self, member_id: str) -> Target:
        found = self._targets.get(member_id)
        return self.group.targets.get(member_id, frozenset()) if found is None else found

    def _owner(self, place: TopicIdPartition) -> str | None:
        """Who has a partition; what a removed member had is free."""
        member_id = self.group.owner(place)
        return None if member_id is None or self.member(member_id) is None else member_id

    def _topics_of(self, member: ConsumerMember) -> frozenset[str]:
        resolved = self._patterns.get(member.regex) or self.group.patterns.get(member.regex)
        return member.topics if resolved is None else member.topics | resolved.topics

    def _ids(self, names: Iterable[str], counts: dict[UUID, int]) -> frozenset[UUID]:
        """The ids of those topics that exist, whose partitions are noted in ``counts``."""
        ids = set[UUID]()
        for name in names:
            topic_id = self._topics.topic_id(name)
            if topic_id is not None:
                ids.add(topic_id)
                counts[topic_id] = self._topics.partition_count(name)
        return frozenset(ids)

"""An owner for the coordinator: a log in memory, two clocks, and a check of every answer.

:class:`Owner` performs effects as a broker does, and demands of every step what the agreement of
``mq.coordinators.effects`` promises: no token is answered twice, and every answer can be encoded at
the version that was asked.
"""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import pytest

from mq.coordinators.effects import Effects, Now, RequestContext, StateRecord
from mq.coordinators.group_config import GroupConfig
from mq.coordinators.groups import GroupCoordinator
from mq.wire import schema
from mq.wire.messages.consumer_group_describe import ConsumerGroupDescribeRequest
from mq.wire.messages.consumer_group_heartbeat import (
    ConsumerGroupHeartbeatRequest,
    TopicPartitions,
)
from mq.wire.messages.describe_groups import DescribedGroup, DescribeGroupsRequest
from mq.wire.messages.heartbeat import HeartbeatRequest
from mq.wire.messages.join_group import JoinGroupRequest, JoinGroupRequestProtocol
from mq.wire.messages.leave_group import LeaveGroupRequest, MemberIdentity
from mq.wire.messages.offset_commit import (
    OffsetCommitRequest,
    OffsetCommitRequestPartition,
    OffsetCommitRequestTopic,
)
from mq.wire.messages.offset_fetch import (
    OffsetFetchRequest,
    OffsetFetchRequestGroup,
    OffsetFetchRequestTopics,
)
from mq.wire.messages.sync_group import SyncGroupRequest, SyncGroupRequestAssignment

EPOCH_MS = 1_700_000_000_000
WEEK_MS = 7 * 24 * 60 * 60 * 1_000
TOPIC_ID = uuid.UUID(int=77)


class Topics:
    """A catalog with one topic at first, ``orders``, of eight partitions."""

    def __init__(self) -> None:
        self.ids = {"orders": TOPIC_ID}
        self.counts = {"orders": 8}
        self.version = 0

    def put(self, name: str, partitions: int) -> uuid.UUID:
        """Create a topic, or grow it."""
        self.version += 1
        self.counts[name] = partitions
        return self.ids.setdefault(name, uuid.UUID(int=1_000 + self.version))

    def delete(self, name: str) -> None:
        """Delete a topic."""
        self.version += 1
        del self.ids[name], self.counts[name]

    def names(self) -> Iterable[str]:
        return self.ids

    def partition_count(self, name: str) -> int:
        return self.counts[name]

    def topic_name(self, topic_id: uuid.UUID) -> str | None:
        return next((name for name, known in self.ids.items() if known == topic_id), None)

    def topic_id(self, name: str) -> uuid.UUID | None:
        return self.ids.get(name)

    def has_partition(self, name: str, partition: int) -> bool:
        return name in self.ids and 0 <= partition < self.counts.get(name, 8)


def listed(places: Iterable[tuple[uuid.UUID, int]]) -> list[TopicPartitions]:
    """Partitions as a heartbeat lists them."""
    topics: dict[uuid.UUID, list[int]] = {}
    for topic_id, partition in sorted(places):
        topics.setdefault(topic_id, []).append(partition)
    return [TopicPartitions(*each) for each in topics.items()]


class Asked(NamedTuple):
    """A request on its way."""

    request: Any
    version: int


class Owner:
    """What a broker is to the coordinator; the clocks stand still unless told to go on."""

    def __init__(
        self,
        config: GroupConfig | None = None,
        log: Iterable[Any] = (),
        ids: Iterator[int] | None = None,
        topics: Topics | None = None,
    ) -> None:
        self.config = config or GroupConfig()
        self.topics = topics or Topics()
        self.ids = ids or itertools.count(1)
        self.coordinator = GroupCoordinator(self.config, self.topics, self.random_id)
        self.log: list[tuple[int, StateRecord]] = list(log)
        self.now = Now(1_000, EPOCH_MS)
        self.open: dict[int, Asked] = {}
        self.answers: dict[int, Any] = {}
        self.performed: list[Effects] = []
        self.disk_full = False
        self.ignored = [
            reason
            for partition, record in self.log
            if (reason := self.coordinator.apply(partition, *record)) is not None
        ]
        self.coordinator.loaded(self.now)

    def restarted(self, config: GroupConfig | None = None) -> Owner:
        """Another owner that finds the log of this one, which it lost without a warning."""
        return Owner(config or self.config, self.log, self.ids, self.topics)

    def random_id(self) -> str:
        """A fresh id: chance has no place in a test, so it counts."""
        return str(uuid.UUID(int=next(self.ids)))

    # Requests.

    def send(self, request: Any, version: int, client_id: str = "client") -> int:
        """Hand over a request; its token is where its answer will be in ``answers``."""
        token = len(self.open) + len(self.answers)
        self.open[token] = Asked(request, version)
        context = RequestContext(client_id, "/127.0.0.1", version)
        self.perform(self.coordinator.handle(request, context, token, self.now))
        return token

    def ask(self, request: Any, version: int) -> Any:
        """Hand over a request that is answered at once."""
        return self.answers[self.send(request, version)]

    def perform(self, steps: list[Effects]) -> None:
        for effects in steps:
            self.performed.append(effects)
            if effects.append and self.disk_full:
                self._answer(effects.otherwise)
                self.perform(self.coordinator.refused(effects, self.now))
                continue
            for record in effects.append:
                self.log.append((effects.partition, record))
                assert self.coordinator.apply(effects.partition, *record) is None
            self._answer(effects.replies)

    def _answer(self, replies: Iterable[Any]) -> None:
        for token, response in replies:
            asked = self.open.pop(token)  # a second answer would find nothing
            data = schema.encode(response, asked.version)
            self.answers[token] = schema.decode(asked.request.RESPONSE, data, asked.version)[0]

    # Time.

    def advance(self, milliseconds: int) -> None:
        """Let time pass, and everything happen that is due in it."""
        until_ms = self.now.monotonic_ms + milliseconds
        while (due_ms := self.coordinator.deadline()) is not None and due_ms <= until_ms:
            self._move_clocks(max(due_ms - self.now.monotonic_ms, 0))
            self.perform(self.coordinator.tick(self.now))
        self._move_clocks(until_ms - self.now.monotonic_ms)

    def _move_clocks(self, milliseconds: int) -> None:
        self.now = Now(self.now.monotonic_ms + milliseconds, self.now.wall_ms + milliseconds)

    # The requests of clients, with the values that most tests do not care for.

    def join(
        self,
        member_id: str = "",
        *,
        group_id: str = "g",
        version: int = 9,
        instance_id: str | None = None,
        protocols: Iterable[tuple[str, bytes]] = (("range", b"subscription"),),
        protocol_type: str = "consumer",
        session_ms: int = 10_000,
        rebalance_ms: int = 60_000,
        client_id: str = "client",
    ) -> int:
        """A JoinGroup request; returns its token."""
        request = JoinGroupRequest(
            group_id=group_id,
            session_timeout_ms=session_ms,
            rebalance_timeout_ms=rebalance_ms,
            member_id=member_id,
            group_instance_id=instance_id,
            protocol_type=protocol_type,
            protocols=[JoinGroupRequestProtocol(*protocol) for protocol in protocols],
        )
        return self.send(request, version, client_id)

    def fresh_id(self, group_id: str = "g", **how: Any) -> str:
        """A member id from a first JoinGroup request."""
        answer = self.answers[self.join(group_id=group_id, **how)]
        assert answer.error_code == 79
        return str(answer.member_id)

    def sync(
        self,
        member_id: str,
        generation: int,
        shares: dict[str, bytes] | None = None,
        *,
        group_id: str = "g",
        version: int = 5,
        instance_id: str | None = None,
        protocol_type: str | None = "consumer",
        protocol: str | None = "range",
    ) -> int:
        """A SyncGroup request, the leader's if it has ``shares``; returns its token."""
        request = SyncGroupRequest(
            group_id=group_id,
            generation_id=generation,
            member_id=member_id,
            group_instance_id=instance_id,
            protocol_type=protocol_type,
            protocol_name=protocol,
            assignments=[SyncGroupRequestAssignment(*each) for each in (shares or {}).items()],
        )
        return self.send(request, version)

    def beat(
        self,
        member_id: str,
        generation: int,
        *,
        group_id: str = "g",
        instance_id: str | None = None,
    ) -> int:
        """A Heartbeat request; returns the error code."""
        request = HeartbeatRequest(group_id, generation, member_id, instance_id)
        return int(self.ask(request, 4).error_code)

    def leave(self, *identities: tuple[str, str | None], group_id: str = "g") -> list[int]:
        """A LeaveGroup request of (member id, instance id); returns the error codes."""
        members = [MemberIdentity(*identity) for identity in identities]
        answer = self.ask(LeaveGroupRequest(group_id, members=members), 5)
        assert answer.error_code == 0
        return [member.error_code for member in answer.members]

    def commit(
        self,
        offset: int,
        *,
        group_id: str = "g",
        member_id: str = "",
        generation: int = -1,
        instance_id: str | None = None,
        partition: int = 0,
        topic: str = "orders",
        metadata: str | None = "",
        version: int = 9,
    ) -> int:
        """An OffsetCommit request for one partition; returns the error code."""
        each = OffsetCommitRequestPartition(partition, offset, 3, metadata)
        request = OffsetCommitRequest(
            group_id=group_id,
            generation_id_or_member_epoch=generation,
            member_id=member_id,
            group_instance_id=instance_id,
            topics=[OffsetCommitRequestTopic(name=topic, partitions=[each])],
        )
        return int(self.ask(request, version).topics[0].partitions[0].error_code)

    def committed(self, group_id: str = "g", partition: int = 0, topic: str = "orders") -> int:
        """The committed offset of one partition, by an OffsetFetch request."""
        topics = [OffsetFetchRequestTopics(name=topic, partition_indexes=[partition])]
        request = OffsetFetchRequest(groups=[OffsetFetchRequestGroup(group_id, topics=topics)])
        return int(self.ask(request, 9).groups[0].topics[0].partitions[0].committed_offset)

    def describe(self, group_id: str = "g") -> DescribedGroup:
        """A group as an administrator sees it."""
        described: DescribedGroup = self.ask(DescribeGroupsRequest([group_id]), 6).groups[0]
        return described

    def state(self, group_id: str = "g") -> str:
        """The state of a group as an administrator sees it."""
        return self.describe(group_id).group_state

    # The consumer protocol.

    def heartbeat(
        self,
        member_id: str,
        epoch: int,
        *,
        group_id: str = "g",
        owned: Iterable[tuple[uuid.UUID, int]] | None = None,
        version: int = 1,
        client_id: str = "client",
        **fields: Any,
    ) -> Any:
        """A ConsumerGroupHeartbeat; returns the answer. A first one subscribes to ``orders``."""
        if epoch == 0:
            owned = owned or ()
            fields = {
                "subscribed_topic_names": ["orders"],
                "rebalance_timeout_ms": 60_000,
                **fields,
            }
        request = ConsumerGroupHeartbeatRequest(
            group_id=group_id,
            member_id=member_id,
            member_epoch=epoch,
            topic_partitions=None if owned is None else listed(owned),
            **fields,
        )
        return self.answers[self.send(request, version, client_id)]

    def consumer_group(self, group_id: str = "g") -> Any:
        """A consumer group as an administrator sees it."""
        return self.ask(ConsumerGroupDescribeRequest([group_id]), 1).groups[0]

    def owned(self, group_id: str = "g") -> dict[str, list[int]]:
        """The partitions of ``orders`` that each member of a consumer group has."""
        return {
            member.member_id: [
                partition
                for each in member.assignment.topic_partitions
                for partition in each.partitions
                if each.topic_name == "orders"
            ]
            for member in self.consumer_group(group_id).members
        }

    def pair(self) -> tuple[int, int]:
        """Have the members ``a`` and ``b`` share ``orders``, at rest; returns their epochs."""
        self.heartbeat("a", 0)
        self.heartbeat("b", 0)
        (keep,) = self.heartbeat("a", 2).assignment.topic_partitions
        owned = [(keep.topic_id, partition) for partition in keep.partitions]
        first = self.heartbeat("a", 2, owned=owned)
        second = self.heartbeat("b", 3)
        assert self.consumer_group().group_state == "Stable"
        return first.member_epoch, second.member_epoch

    # Groups that have come further.

    def joined(self, count: int = 1, **how: Any) -> list[str]:
        """Have ``count`` new members join together; their ids, the leader's first."""
        ids = [self.fresh_id(**how) for _ in range(count)]
        tokens = [self.join(member_id, **how) for member_id in ids]
        self.advance(0)
        assert [self.answers[token].error_code for token in tokens] == [0] * count
        leader = self.answers[tokens[0]].leader
        return [leader, *(member_id for member_id in ids if member_id != leader)]

    def stable(self, count: int = 1, **how: Any) -> list[str]:
        """As :meth:`joined`, and the leader has given everyone its own id as assignment."""
        ids = self.joined(count, **how)
        group_id = how.get("group_id", "g")
        for member_id in reversed(ids):
            shares = {each: each.encode() for each in ids} if member_id == ids[0] else None
            self.sync(member_id, 1, shares, group_id=group_id)
        assert self.state(group_id) == "Stable"
        return ids


@pytest.fixture
def new_owner() -> Callable[..., Owner]:
    """Make an owner: of a configuration, and of the log of a former life."""
    return Owner


@pytest.fixture
def owner() -> Owner:
    """An owner with Kafka's settings and an empty log."""
    return Owner()

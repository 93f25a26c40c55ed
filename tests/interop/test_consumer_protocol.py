"""The consumer protocol of KIP-848 as Kafka itself speaks it: its Java clients, its answers."""

from __future__ import annotations

import json
import random
import subprocess
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

from mq.wire.fields import Request, Response
from mq.wire.messages.consumer_group_describe import ConsumerGroupDescribeRequest
from mq.wire.messages.consumer_group_heartbeat import (
    ConsumerGroupHeartbeatRequest,
    TopicPartitions,
)
from mq.wire.messages.consumer_protocol import ConsumerProtocolSubscription
from mq.wire.messages.find_coordinator import FindCoordinatorRequest
from mq.wire.messages.heartbeat import HeartbeatRequest
from mq.wire.messages.join_group import JoinGroupRequest, JoinGroupRequestProtocol
from mq.wire.messages.leave_group import LeaveGroupRequest, MemberIdentity
from mq.wire.messages.list_groups import ListGroupsRequest
from mq.wire.messages.metadata import MetadataRequest, MetadataRequestTopic
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
from mq.wire.schema import encode
from tools.apache_kafka import ApacheKafka, tool, tool_command
from tools.mq_broker import MqBroker

pytestmark = pytest.mark.slow

TIMEOUT_S = 60.0
TOOLS = "org.apache.kafka.tools"

Ask = Callable[[str, Request, int], Any]


def test_java_consumers_share_a_group_that_javas_tools_describe(
    bootstrap: str, create_topic: Callable[..., str], unique: Callable[[str], str]
) -> None:
    topic, group = create_topic(partitions=4), unique("group")
    producer = Producer({"bootstrap.servers": bootstrap})
    for number in range(400):
        producer.produce(topic, b"%d" % number, partition=number % 4)
    assert producer.flush(TIMEOUT_S) == 0
    names = ("--topic", topic, "--group-id", group, "--group-protocol", "consumer")
    command = tool_command(f"{TOOLS}.VerifiableConsumer", "--bootstrap-server", bootstrap, *names)
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as first:
        assert first.stdout is not None
        read = 0
        while read < 400:
            event = json.loads(first.stdout.readline())
            read += event["count"] if event["name"] == "records_consumed" else 0
        state = groups(bootstrap, "--describe", "--group", group, "--state")
        assert f"{group}" in state
        assert "uniform" in state
        assert "Stable" in state
        members = groups(bootstrap, "--describe", "--group", group, "--members", "--verbose")
        assert "4" in members.split()
        listed = groups(bootstrap, "--list", "--type", "consumer")
        assert group in listed.split()
        first.terminate()
        assert "shutdown_complete" in first.stdout.read()
    offsets = groups(bootstrap, "--describe", "--group", group, "--offsets")
    assert offsets.count(topic) == 4
    reset = ("--reset-offsets", "--to-earliest", "--topic", topic, "--execute")
    assert groups(bootstrap, "--group", group, *reset).count(topic) == 4
    assert "successful" in groups(bootstrap, "--delete", "--group", group)


def groups(bootstrap: str, *args: str) -> str:
    """What ConsumerGroupCommand prints."""
    name = f"{TOOLS}.consumer.group.ConsumerGroupCommand"
    return tool(name, "--bootstrap-server", bootstrap, *args).stdout


def test_kafkas_tool_decodes_the_records_of_a_consumer_group(tmp_path: Path, ask: Ask) -> None:
    with MqBroker.start(tmp_path) as broker:
        admin = AdminClient({"bootstrap.servers": broker.bootstrap})
        admin.create_topics([NewTopic("t", 4)])["t"].result(TIMEOUT_S)
        join = ConsumerGroupHeartbeatRequest(
            "g", "m", 0, "i", "r", 60_000, ["t"], "t.*", "range", topic_partitions=[]
        )
        assert ask(broker.bootstrap, join, 1).error_code == 0
        assert ask(broker.bootstrap, ConsumerGroupHeartbeatRequest("g", "m", -1), 1).error_code == 0
        broker.stop()
        (log,) = (broker.data / "__consumer_offsets-0").glob("*.log")
        printed = tool(f"{TOOLS}.DumpLogSegments", "--offsets-decoder", "--files", str(log)).stdout
    # The keys of all records that a group has: 3 epoch, 5 member, 6 and 7 target, 8 current, 16
    # pattern.
    for number in (3, 5, 6, 7, 8, 16):
        assert f'"type":"{number}"' in printed or f'"type":{number}' in printed, printed
    assert "Failed to decode" not in printed


# The same conversation with Kafka.


class Broker:
    """One of the two, and what is different there though it means the same."""

    def __init__(self, address: str, ask: Ask) -> None:
        self.address = address
        self._ask = ask
        self.topics: dict[str, uuid.UUID] = {}

    def ask(self, request: Request, version: int) -> Any:
        return self._ask(self.address, request, version)

    def create(self, name: str, partitions: int) -> None:
        admin = AdminClient({"bootstrap.servers": self.address})
        admin.create_topics([NewTopic(name, partitions)])[name].result(TIMEOUT_S)
        asked = MetadataRequest([MetadataRequestTopic(name=name)])
        self.topics[name] = self.ask(asked, 12).topics[0].topic_id


class Script:
    """Random requests of a few members; what they are told decides what they ask next."""

    def __init__(self, seed: int, brokers: tuple[Broker, Broker]) -> None:
        self.chance = random.Random(seed)
        self.brokers = brokers
        self.group = f"g{seed}"
        self.epochs: dict[str, int] = {}
        self.owned: dict[str, set[int]] = {}

    def step(self) -> list[Any]:
        """The same request to both; what each said, without what is theirs alone."""
        steps = (self.join, self.beat, self.beat, self.beat, self.leave, self.classic)
        return self.chance.choice((*steps, self.commit, self.fetch, self.describe, self.wrong))()

    def member(self) -> str:
        return self.chance.choice("abc")

    def both(self, make: Callable[[Broker], tuple[Request, int]]) -> list[Any]:
        return [broker.ask(*make(broker)) for broker in self.brokers]

    def heartbeat(self, member: str, epoch: int, **fields: Any) -> list[Any]:
        owned = fields.pop("owned", None)

        def make(broker: Broker) -> tuple[Request, int]:
            listed = None
            if owned is not None:
                listed = [TopicPartitions(broker.topics["t"], sorted(owned))] if owned else []
            request = ConsumerGroupHeartbeatRequest(
                self.group, member, epoch, topic_partitions=listed, **fields
            )
            return request, 1

        answers = self.both(make)
        told = [
            (answer.error_code, answer.member_epoch, answer.assignment is not None, given(answer))
            for answer in answers
        ]
        if answers[1].error_code == 0 and epoch >= 0:
            self.epochs[member] = answers[1].member_epoch
            if answers[1].assignment is not None:
                self.owned[member] = set(told[1][3] or ())
        elif answers[1].error_code in (25, 110):
            self.epochs.pop(member, None)
            self.owned.pop(member, None)
        return told

    def join(self) -> list[Any]:
        fields = self.chance.choice(
            [
                {"subscribed_topic_names": ["t"]},
                {"subscribed_topic_names": ["t"], "server_assignor": "range"},
                {"subscribed_topic_names": []},
                {"subscribed_topic_names": ["t"], "rebalance_timeout_ms": -1},
                {"subscribed_topic_names": ["t"], "server_assignor": "nothing"},
                {"subscribed_topic_names": ["t"], "subscribed_topic_regex": "("},
            ]
        )
        fields = {"rebalance_timeout_ms": 60_000, "server_assignor": "range", **fields}
        return self.heartbeat(self.member(), 0, owned=set(), **fields)

    def beat(self) -> list[Any]:
        member = self.member()
        return self.heartbeat(
            member, self.epochs.get(member, 3), owned=self.owned.get(member, set())
        )

    def wrong(self) -> list[Any]:
        member, epoch = self.member(), self.chance.choice([-3, -2, 1, 900])
        return self.heartbeat(member, epoch)

    def leave(self) -> list[Any]:
        member = self.member()
        self.owned.pop(member, None)
        self.epochs.pop(member, None)
        if self.chance.random() < 0.5:
            return self.heartbeat(member, -1)
        request = LeaveGroupRequest(self.group, members=[MemberIdentity(member)])
        answers = self.both(lambda _: (request, 5))
        return [(a.error_code, [m.error_code for m in a.members]) for a in answers]

    def classic(self) -> list[Any]:
        """Requests of the classic protocol, from nobody it knows.

        Not a JoinGroup to an empty group: Kafka refuses it, and all the same forgets the group,
        until it is restarted.
        """
        subscription = b"\x00\x01" + encode(ConsumerProtocolSubscription(["t"]), 1)
        protocol = JoinGroupRequestProtocol("range", subscription)
        join = JoinGroupRequest(self.group, 10_000, 10_000, "z", None, "connect", [protocol])
        beat = HeartbeatRequest(self.group, 1, "z")
        request = self.chance.choice([beat, join]) if self.epochs else beat
        version = 4 if isinstance(request, HeartbeatRequest) else 5
        return [answer.error_code for answer in self.both(lambda _: (request, version))]

    def commit(self) -> list[Any]:
        member = self.chance.choice(["a", "b", ""])
        epoch = self.epochs.get(member, -1) - self.chance.choice([0, 0, 1, -1])
        partition = OffsetCommitRequestPartition(self.chance.randrange(5), 7)
        version = self.chance.choice([8, 9])

        def make(_: Broker) -> tuple[Request, int]:
            topics = [OffsetCommitRequestTopic("t", partitions=[partition])]
            return OffsetCommitRequest(self.group, epoch, member, topics=topics), version

        return [answer.topics[0].partitions[0].error_code for answer in self.both(make)]

    def fetch(self) -> list[Any]:
        member = self.chance.choice([None, "a", "b"])
        epoch = -1 if member is None else self.epochs.get(member, 1) - self.chance.choice([0, 1])
        topics = [OffsetFetchRequestTopics("t", partition_indexes=[0])]
        asked = OffsetFetchRequest(
            groups=[OffsetFetchRequestGroup(self.group, member, epoch, topics)]
        )
        answers = self.both(lambda _: (asked, 9))
        return [
            (group.error_code, [p.committed_offset for t in group.topics for p in t.partitions])
            for answer in answers
            for group in answer.groups
        ]

    def describe(self) -> list[Any]:
        described = self.both(lambda _: (ConsumerGroupDescribeRequest([self.group]), 1))
        listed = self.both(lambda _: (ListGroupsRequest(types_filter=["consumer"]), 5))
        return [
            [
                *(
                    (each.error_code, each.group_state, each.group_epoch, each.assignment_epoch)
                    for each in answer.groups
                ),
                *((each.assignor_name, sorted(map(shown, each.members))) for each in answer.groups),
                *(each.group_state for each in found.groups if each.group_id == self.group),
            ]
            for answer, found in zip(described, listed, strict=True)
        ]


def given(answer: Any) -> list[int] | None:
    if answer.assignment is None:
        return None
    return sorted(p for each in answer.assignment.topic_partitions for p in each.partitions)


def shown(member: Any) -> tuple[Any, ...]:
    parts = (member.assignment.topic_partitions, member.target_assignment.topic_partitions)
    return (
        *(member.member_id, member.member_epoch, member.subscribed_topic_names, member.member_type),
        *(sorted(p for each in part for p in each.partitions) for part in parts),
    )


@pytest.fixture(scope="module")
def brokers(ask: Ask) -> Iterator[tuple[Broker, Broker]]:
    """Ours, and Kafka that assigns at once, as ours does."""
    at_once = {"group.consumer.assignment.interval.ms": "0"}
    with MqBroker.start() as ours, ApacheKafka.start(settings=at_once) as kafka:
        both = Broker(ours.bootstrap, ask), Broker(kafka.bootstrap, ask)
        for broker in both:
            broker.create("t", 5)
            found = 16
            while found:  # Kafka makes its state topic when it is first asked
                answer: Response = broker.ask(FindCoordinatorRequest(coordinator_keys=["g"]), 4)
                beat = ConsumerGroupHeartbeatRequest("none", "m", 1)
                found = answer.coordinators[0].error_code or broker.ask(beat, 1).error_code - 69
        yield both


@pytest.mark.parametrize("seed", range(6))
def test_kafka_gives_the_same_answers(seed: int, brokers: tuple[Broker, Broker]) -> None:
    script = Script(seed, brokers)
    for number in range(60):
        ours, kafkas = script.step()
        assert ours == kafkas, f"step {number} of seed {seed}"

"""librdkafka's consumers under the consumer protocol of KIP-848, against the broker."""

from __future__ import annotations

import pytest
from confluent_kafka import Consumer, ConsumerGroupState, ConsumerGroupType, Producer
from confluent_kafka.admin import AdminClient, NewPartitions, NewTopic

from mq.broker.settings import Settings
from mq.errors import ErrorCode
from mq.wire.messages.api_versions import ApiVersionsRequest
from mq.wire.messages.consumer_group_heartbeat import ConsumerGroupHeartbeatRequest

pytestmark = pytest.mark.slow

TIMEOUT_S = 20.0


class Worker:
    """A consumer that keeps a record of what it was given and what was taken from it."""

    def __init__(self, servers, topics, protocol, settings):
        self.assigned, self.revoked = [], []
        self.consumer = Consumer(
            {
                **servers,
                "group.id": "g",
                "group.protocol": protocol,
                "auto.offset.reset": "earliest",
                "fetch.wait.max.ms": 50,
                **settings,
            }
        )
        self.consumer.subscribe(topics, on_assign=self._on_assign, on_revoke=self._on_revoke)

    def _on_assign(self, _, partitions):
        self.assigned.append({(each.topic, each.partition) for each in partitions})

    def _on_revoke(self, _, partitions):
        self.revoked.append({(each.topic, each.partition) for each in partitions})

    def poll(self):
        """Whatever comes; returns a message or None. A topic may be gone before that is known."""
        message = self.consumer.poll(0.02)
        error = message and message.error()
        assert error is None or error.code() == ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, error
        return message if error is None else None

    @property
    def owned(self):
        return {(each.topic, each.partition) for each in self.consumer.assignment()}


@pytest.fixture
def broker(start_broker):
    """A broker whose members hear of changes quickly."""
    return start_broker(settings=Settings(group_consumer_heartbeat_interval_ms=50))


@pytest.fixture
def servers(broker):
    return {"bootstrap.servers": str(broker.address)}


@pytest.fixture
def admin(servers):
    return AdminClient(servers)


@pytest.fixture
def worker(servers):
    """``worker("topic", protocol="consumer", **settings)`` joins the group ``g``."""
    started = []

    def start(*topics, protocol="consumer", **settings):
        settings = {name.replace("_", "."): value for name, value in settings.items()}
        started.append(Worker(servers, list(topics), protocol, settings))
        return started[-1]

    yield start
    for each in started:
        each.consumer.close()


@pytest.fixture
def topic(admin):
    admin.create_topics([NewTopic("orders", 6)])["orders"].result(TIMEOUT_S)
    return "orders"


@pytest.fixture
def settled(eventually):
    """Poll until each of these workers owns as many partitions as are said."""

    def wait(*expected):
        def shared():
            for each, _ in expected:
                each.poll()
            return all(len(each.owned) == count for each, count in expected)

        eventually(shared, timeout=TIMEOUT_S)

    return wait


def everything(topic, count=6):
    return {(topic, index) for index in range(count)}


def test_the_broker_says_that_it_has_the_protocol(client):
    answer = client.ask(ApiVersionsRequest("test", "1"), 4)
    finalized = {each.name: each.max_version_level for each in answer.finalized_features}
    assert finalized["group.version"] == 1
    assert {68, 69} <= {each.api_key for each in answer.api_keys}


def test_records_are_read_and_offsets_outlive_the_consumer(servers, worker, topic, eventually):
    producer = Producer(servers)
    for number in range(60):
        producer.produce(topic, b"%d" % number, partition=number % 6)
    assert producer.flush(TIMEOUT_S) == 0
    first = worker(topic, enable_auto_commit=False)
    got = []
    eventually(lambda: got.append(first.poll()) or len([m for m in got if m]) == 60)
    first.consumer.commit(asynchronous=False)
    first.consumer.close()
    producer.produce(topic, b"last", partition=0)
    producer.flush(TIMEOUT_S)
    second = worker(topic)
    assert eventually(second.poll).value() == b"last"


def test_members_share_and_only_what_moves_is_revoked(worker, topic, settled):
    first = worker(topic)
    settled((first, 6))
    second = worker(topic)
    settled((first, 3), (second, 3))
    assert first.owned | second.owned == everything(topic)
    assert first.revoked == [second.owned]
    third = worker(topic)
    settled((first, 2), (second, 2), (third, 2))
    third.consumer.close()
    settled((first, 3), (second, 3))
    assert first.owned | second.owned == everything(topic)


def test_the_assignor_is_the_members_choice(worker, topic, settled, admin):
    first = worker(topic, group_remote_assignor="range")
    second = worker(topic, group_remote_assignor="range")
    settled((first, 3), (second, 3))
    owned = sorted(sorted(index for _, index in each.owned) for each in (first, second))
    assert owned == [[0, 1, 2], [3, 4, 5]]
    described = admin.describe_consumer_groups(["g"])["g"].result(TIMEOUT_S)
    assert described.partition_assignor == "range"


def test_topics_are_followed_by_a_pattern(worker, topic, settled, admin):
    first = worker("^ord.*")
    settled((first, 6))
    admin.create_topics([NewTopic("orders-2", 2), NewTopic("bills", 1)])["orders-2"].result(
        TIMEOUT_S
    )
    settled((first, 8))
    admin.create_partitions([NewPartitions("orders-2", 3)])["orders-2"].result(TIMEOUT_S)
    settled((first, 9))
    admin.delete_topics(["orders-2"])["orders-2"].result(TIMEOUT_S)
    settled((first, 6))


def test_a_static_member_that_restarts_finds_its_partitions(worker, topic, settled):
    first = worker(topic, group_instance_id="one")
    second = worker(topic, group_instance_id="two")
    settled((first, 3), (second, 3))
    owned, revoked = second.owned, list(first.revoked)
    second.consumer.close()
    again = worker(topic, group_instance_id="two")
    settled((first, 3), (again, 3))
    assert again.owned == owned
    assert first.revoked == revoked


def test_a_group_is_described_listed_and_deleted(worker, topic, settled, admin):
    first = worker(topic, client_id="me")
    settled((first, 6))
    (listed,) = admin.list_consumer_groups().result(TIMEOUT_S).valid
    assert (listed.group_id, listed.type) == ("g", ConsumerGroupType.CONSUMER)
    described = admin.describe_consumer_groups(["g"])["g"].result(TIMEOUT_S)
    assert described.state == ConsumerGroupState.STABLE
    (member,) = described.members
    assert (member.client_id, len(member.assignment.topic_partitions)) == ("me", 6)
    first.consumer.close()
    admin.delete_consumer_groups(["g"])["g"].result(TIMEOUT_S)
    assert admin.list_consumer_groups().result(TIMEOUT_S).valid == []


@pytest.mark.parametrize("strategy", ["range", "cooperative-sticky"])
def test_a_service_goes_over_to_the_new_protocol_and_back_without_a_stop(
    worker, topic, settled, admin, strategy
):
    def kind():
        (listed,) = admin.list_consumer_groups().result(TIMEOUT_S).valid
        return listed.type

    classic = {"protocol": "classic", "partition_assignment_strategy": strategy}
    first, second = worker(topic, **classic), worker(topic, **classic)
    settled((first, 3), (second, 3))
    assert kind() == ConsumerGroupType.CLASSIC
    third = worker(topic)
    settled((first, 2), (second, 2), (third, 2))
    assert kind() == ConsumerGroupType.CONSUMER
    assert first.owned | second.owned | third.owned == everything(topic)
    first.consumer.close()
    fourth = worker(topic)
    settled((second, 2), (third, 2), (fourth, 2))
    third.consumer.close()
    fourth.consumer.close()
    settled((second, 6))
    assert kind() == ConsumerGroupType.CLASSIC


def test_a_group_goes_on_after_the_broker_was_killed(start_broker, eventually, connect):
    broker = start_broker()
    client = connect(broker)
    client.create("orders", 6)
    join = ConsumerGroupHeartbeatRequest(
        group_id="g",
        member_id="m",
        rebalance_timeout_ms=60_000,
        subscribed_topic_names=["orders"],
        topic_partitions=[],
    )
    joined = client.ask(join, 1)
    assert (joined.error_code, joined.member_epoch) == (0, 2)
    broker.stop(clean=False)
    client = connect(start_broker())
    beat = ConsumerGroupHeartbeatRequest(group_id="g", member_id="m", member_epoch=2)
    answer = client.ask(beat, 1)
    assert (answer.error_code, answer.member_epoch) == (0, 2)
    beat.member_id = "other"
    assert client.ask(beat, 1).error_code == ErrorCode.UNKNOWN_MEMBER_ID

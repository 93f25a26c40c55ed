"""librdkafka, the client of this project, against the broker."""

from __future__ import annotations

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewPartitions,
    NewTopic,
    ResourceType,
)

pytestmark = pytest.mark.slow

TIMEOUT_S = 20.0


@pytest.fixture
def servers(broker):
    return {"bootstrap.servers": str(broker.address)}


@pytest.fixture
def consumers(servers):
    """``consumers("group", "topic", **settings)`` gives a subscribed consumer."""
    opened = []

    def open_one(group, topic, **settings):
        consumer = Consumer(
            {
                **servers,
                "group.id": group,
                "auto.offset.reset": "earliest",
                "fetch.wait.max.ms": 50,
                **{name.replace("_", "."): value for name, value in settings.items()},
            }
        )
        consumer.subscribe([topic])
        opened.append(consumer)
        return consumer

    yield open_one
    for consumer in opened:
        consumer.close()


def read(consumer, count):
    messages = []
    while len(messages) < count:
        batch = consumer.consume(count - len(messages), TIMEOUT_S)
        assert batch, f"only {len(messages)} of {count} messages came"
        for message in batch:
            assert message.error() is None, message.error()
            messages.append(message)
    return messages


def produce(servers, topic, values, **settings):
    producer = Producer({**servers, "linger.ms": 1, **settings})
    failures = []
    for number, value in enumerate(values):
        producer.produce(
            topic,
            value,
            key=str(number),
            headers=[("n", str(number).encode())],
            on_delivery=lambda error, _: failures.append(error) if error else None,
        )
    assert producer.flush(TIMEOUT_S) == 0
    assert failures == []


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"enable.idempotence": True},
        {"acks": "1"},
        {"acks": "0"},
        {"compression.type": "lz4"},
        {"compression.type": "zstd"},
        {"compression.type": "gzip"},
        {"compression.type": "snappy"},
    ],
    ids=str,
)
def test_what_is_produced_is_consumed(servers, consumers, topic, settings):
    values = [b"%d" % number * 50 for number in range(500)]
    produce(servers, topic, values, **settings)
    messages = read(consumers("g", topic), 500)
    assert sorted(message.value() for message in messages) == sorted(values)
    assert all(message.headers()[0][1] == message.key() for message in messages)


@pytest.mark.parametrize("strategy", ["range", "roundrobin", "cooperative-sticky"])
def test_two_consumers_share_a_topic(servers, consumers, topic, strategy, eventually):
    admin = AdminClient(servers)
    admin.create_topics([NewTopic(topic, 4)])[topic].result(TIMEOUT_S)
    first = consumers("g", topic, partition_assignment_strategy=strategy)
    second = consumers("g", topic, partition_assignment_strategy=strategy)

    def shared():
        for consumer in (first, second):
            message = consumer.poll(0.05)
            assert message is None or message.error() is None
        owned = [{p.partition for p in consumer.assignment()} for consumer in (first, second)]
        return owned if [len(each) for each in owned] == [2, 2] else None

    owned = eventually(shared, timeout=TIMEOUT_S)
    assert owned[0] | owned[1] == {0, 1, 2, 3}


def test_a_group_goes_on_where_it_left_off(servers, consumers, topic):
    produce(servers, topic, [b"a", b"b", b"c"])
    consumer = consumers("g", topic, enable_auto_commit=False)
    read(consumer, 3)
    consumer.commit(asynchronous=False)
    consumer.close()
    produce(servers, topic, [b"d"])
    assert [m.value() for m in read(consumers("g", topic), 1)] == [b"d"]


def test_offsets_by_time_and_at_the_ends(servers, consumers, topic):
    admin = AdminClient(servers)
    admin.create_topics([NewTopic(topic, 1)])[topic].result(TIMEOUT_S)
    producer = Producer(servers)
    for number in range(10):
        producer.produce(topic, b"x", timestamp=1_700_000_000_000 + 1000 * number)
        producer.flush(TIMEOUT_S)
    consumer = consumers("g", topic)
    place = TopicPartition(topic, 0)
    assert consumer.get_watermark_offsets(place, TIMEOUT_S) == (0, 10)
    (found,) = consumer.offsets_for_times([TopicPartition(topic, 0, 1_700_000_004_500)], TIMEOUT_S)
    assert found.offset == 5


def test_administration(servers, topic):
    admin = AdminClient(servers)
    created = admin.create_topics([NewTopic(topic, 2, 1, config={"retention.ms": "1000"})])
    created[topic].result(TIMEOUT_S)
    admin.create_partitions([NewPartitions(topic, 5)])[topic].result(TIMEOUT_S)
    assert len(admin.list_topics(topic, TIMEOUT_S).topics[topic].partitions) == 5

    resource = ConfigResource(
        ResourceType.TOPIC,
        topic,
        incremental_configs=[
            ConfigEntry("segment.ms", "5000", incremental_operation=AlterConfigOpType.SET)
        ],
    )
    admin.incremental_alter_configs([resource])[resource].result(TIMEOUT_S)
    asked = ConfigResource(ResourceType.TOPIC, topic)
    configs = admin.describe_configs([asked])[asked].result(TIMEOUT_S)
    assert configs["retention.ms"].value == "1000"
    assert configs["segment.ms"].value == "5000"
    assert len(admin.describe_cluster().result(TIMEOUT_S).nodes) == 1
    admin.delete_topics([topic])[topic].result(TIMEOUT_S)
    assert topic not in admin.list_topics(timeout=TIMEOUT_S).topics


def test_groups_are_described_and_deleted(servers, consumers, topic):
    produce(servers, topic, [b"a"])
    consumer = consumers("g", topic)
    read(consumer, 1)
    consumer.commit(asynchronous=False)
    admin = AdminClient(servers)
    assert [g.group_id for g in admin.list_consumer_groups().result(TIMEOUT_S).valid] == ["g"]
    described = admin.describe_consumer_groups(["g"])["g"].result(TIMEOUT_S)
    assert len(described.members) == 1
    consumer.close()
    admin.delete_consumer_groups(["g"])["g"].result(TIMEOUT_S)
    assert admin.list_consumer_groups().result(TIMEOUT_S).valid == []

"""The three Python clients of Kafka, each with a group of two members that share the work."""

from __future__ import annotations

import asyncio
import threading
import warnings
from collections import Counter
from collections.abc import Callable

import aiokafka
import confluent_kafka
import pytest
from confluent_kafka.admin import AdminClient

with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
    import kafka  # uses importlib.resources.read_text

CreateTopic = Callable[..., str]
Unique = Callable[[str], str]
pytestmark = pytest.mark.slow

RECORDS = 400
VALUES = Counter(range(RECORDS))


def test_confluent_kafka_shares_a_topic_in_a_group(
    bootstrap: str, create_topic: CreateTopic, unique: Unique, eventually: Callable[..., object]
) -> None:
    topic, group = create_topic(partitions=4), unique("group")
    producer = confluent_kafka.Producer(
        {"bootstrap.servers": bootstrap, "enable.idempotence": True, "linger.ms": 5}
    )
    errors: list[object] = []
    for number in range(RECORDS):
        producer.produce(
            topic,
            str(number),
            key=f"key{number}",
            headers={"number": str(number)},
            on_delivery=lambda error, _: errors.append(error),
        )
    assert producer.flush(30) == 0
    assert errors == [None] * RECORDS

    settings = {"group.id": group, "auto.offset.reset": "earliest", "enable.auto.commit": False}
    members = [
        confluent_kafka.Consumer({"bootstrap.servers": bootstrap, **settings}) for _ in range(2)
    ]
    seen: Counter[int] = Counter()

    def poll_both() -> bool:
        for member in members:
            message = member.poll(0.02)
            if message is not None:
                assert message.error() is None
                assert message.headers() == [("number", message.value())]
                seen[int(message.value())] += 1
                member.commit(message, asynchronous=False)
        return set(seen) == set(VALUES) and all(member.assignment() for member in members)

    for member in members:
        member.subscribe([topic])
    eventually(poll_both, 60)
    for member in members:
        member.close()

    after = confluent_kafka.Consumer({"bootstrap.servers": bootstrap, **settings})
    partitions = [confluent_kafka.TopicPartition(topic, index) for index in range(4)]
    committed = sum(position.offset for position in after.committed(partitions, 10))
    assert committed == RECORDS
    after.close()


def test_confluent_kafkas_admin_sees_the_group(
    bootstrap: str, create_topic: CreateTopic, unique: Unique
) -> None:
    topic, group = create_topic(partitions=1), unique("group")
    consumer = confluent_kafka.Consumer({"bootstrap.servers": bootstrap, "group.id": group})
    position = confluent_kafka.TopicPartition(topic, 0, 0)
    consumer.commit(offsets=[position], asynchronous=False)
    consumer.close()
    admin = AdminClient({"bootstrap.servers": bootstrap})
    listed = admin.list_consumer_groups().result(10)
    assert group in {one.group_id for one in listed.valid}
    described = admin.describe_consumer_groups([group])[group].result(10)
    assert described.state is confluent_kafka.ConsumerGroupState.EMPTY
    admin.delete_consumer_groups([group])[group].result(10)
    listed = admin.list_consumer_groups().result(10)
    assert group not in {one.group_id for one in listed.valid}


def test_kafka_python_shares_a_topic_in_a_group(
    bootstrap: str, create_topic: CreateTopic, unique: Unique
) -> None:
    topic, group = create_topic(partitions=4), unique("group")
    with kafka.KafkaProducer(bootstrap_servers=bootstrap, acks="all") as producer:
        sends = [producer.send(topic, str(i).encode(), key=b"%d" % i) for i in range(RECORDS)]
        for send in sends:
            send.get(30)

    seen: Counter[int] = Counter()
    all_seen = threading.Event()

    def member() -> None:
        consumer = kafka.KafkaConsumer(
            topic,
            bootstrap_servers=bootstrap,
            group_id=group,
            auto_offset_reset="earliest",
            enable_auto_commit=False,
        )
        while not all_seen.is_set():
            for messages in consumer.poll(timeout_ms=100).values():
                seen.update(int(message.value) for message in messages)
                consumer.commit()
            if len(seen) == RECORDS:
                all_seen.set()
        consumer.close()

    members = [threading.Thread(target=member) for _ in range(2)]
    for thread in members:
        thread.start()
    assert all_seen.wait(60)
    for thread in members:
        thread.join()
    assert set(seen) == set(VALUES)


def test_aiokafka_shares_a_topic_in_a_group(
    bootstrap: str, create_topic: CreateTopic, unique: Unique
) -> None:
    topic, group = create_topic(partitions=4), unique("group")
    seen: Counter[int] = Counter()

    async def member() -> None:
        consumer = aiokafka.AIOKafkaConsumer(
            topic,
            bootstrap_servers=bootstrap,
            group_id=group,
            auto_offset_reset="earliest",
            enable_auto_commit=False,
        )
        async with consumer:
            while len(seen) < RECORDS:
                for messages in (await consumer.getmany(timeout_ms=100)).values():
                    seen.update(int(message.value) for message in messages)
                    await consumer.commit()

    async def write_and_read() -> None:
        producer = aiokafka.AIOKafkaProducer(bootstrap_servers=bootstrap, enable_idempotence=True)
        async with producer:
            for number in range(RECORDS):
                value = str(number).encode()
                await producer.send(topic, value, key=value, headers=[("n", value)])
        async with asyncio.timeout(60):
            await asyncio.gather(member(), member())

    asyncio.run(write_and_read())
    assert set(seen) == set(VALUES)

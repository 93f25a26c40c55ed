"""Transactions as librdkafka sees them, on our broker and on Apache Kafka alike."""

from __future__ import annotations

import pytest
from confluent_kafka import Consumer, KafkaException, Producer
from confluent_kafka.admin import AdminClient, NewTopic

from tools.mq_broker import MqBroker

pytestmark = pytest.mark.slow

TIMEOUT_S = 30.0


@pytest.fixture
def servers(bootstrap):
    return {"bootstrap.servers": bootstrap}


def create(servers, *topics, partitions=1):
    admin = AdminClient(servers)
    wanted = [NewTopic(topic, partitions, 1) for topic in topics]
    for future in admin.create_topics(wanted).values():
        future.result(TIMEOUT_S)


def producer(servers, name, **settings):
    """A transactional producer that is ready."""
    more = {key.replace("_", "."): value for key, value in settings.items()}
    made = Producer({**servers, "transactional.id": name, **more})
    made.init_transactions(TIMEOUT_S)
    return made


def reader(servers, group, *topics, committed=True):
    """A consumer that reads all partitions of ``topics`` from their beginning."""
    level = "read_committed" if committed else "read_uncommitted"
    made = Consumer(
        {
            **servers,
            "group.id": group,
            "isolation.level": level,
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
            "fetch.wait.max.ms": 50,
            "session.timeout.ms": 6_000,
        }
    )
    made.subscribe(list(topics))
    return made


def read(consumer, count):
    """The values of the next ``count`` messages."""
    values = []
    while len(values) < count:
        message = consumer.poll(TIMEOUT_S)
        assert message is not None, f"only {values} came"
        assert message.error() is None, message.error()
        values.append(message.value())
    return values


def rest(servers, topic, group):
    """All that a reader of committed records finds in a topic of one partition, up to its end."""
    consumer = reader(servers, group, topic)
    marker = producer(servers, f"{group}-end")
    marker.begin_transaction()
    marker.produce(topic, b"end")
    marker.commit_transaction(TIMEOUT_S)
    values = []
    while not values or values[-1] != b"end":
        values += read(consumer, 1)
    consumer.close()
    return values[:-1]


def test_only_committed_records_are_read(servers, unique):
    topic, name = unique("topic"), unique("tx")
    create(servers, topic)
    sender = producer(servers, name)
    for number in range(6):
        sender.begin_transaction()
        sender.produce(topic, b"%d" % number)
        if number % 3:
            sender.commit_transaction(TIMEOUT_S)
        else:
            sender.flush(TIMEOUT_S)  # so that there is something to abort
            sender.abort_transaction(TIMEOUT_S)
    assert rest(servers, topic, unique("g")) == [b"1", b"2", b"4", b"5"]
    everything = reader(servers, unique("g"), topic, committed=False)
    assert read(everything, 6) == [b"%d" % number for number in range(6)]
    everything.close()


def test_a_second_instance_fences_the_first(servers, unique):
    topic, name = unique("topic"), unique("tx")
    create(servers, topic)
    old = producer(servers, name)
    old.begin_transaction()
    old.produce(topic, b"zombie")
    old.flush(TIMEOUT_S)
    new = producer(servers, name)
    with pytest.raises(KafkaException) as failed:
        old.commit_transaction(TIMEOUT_S)
    assert failed.value.args[0].fatal()
    new.begin_transaction()
    new.produce(topic, b"new")
    new.commit_transaction(TIMEOUT_S)
    assert rest(servers, topic, unique("g")) == [b"new"]


def test_a_transaction_that_is_left_alone_times_out(servers, unique, engine):
    if engine == "kafka":
        pytest.skip("Kafka looks for such transactions every ten seconds")
    topic, name = unique("topic"), unique("tx")
    create(servers, topic)
    sender = producer(servers, name, transaction_timeout_ms=1_000)
    sender.begin_transaction()
    sender.produce(topic, b"late")
    sender.flush(TIMEOUT_S)
    assert rest(servers, topic, unique("g")) == []  # waits until the transaction is over
    with pytest.raises(KafkaException):
        sender.commit_transaction(TIMEOUT_S)


def copy(servers, source, target, group, name, *, count, crash_after=None):
    """Consume, transform, produce: one transaction for every two messages, some aborted first."""
    sender = producer(servers, name)
    consumer = reader(servers, group, source)
    copied = 0
    while copied < count:
        messages = [message for message in consumer.consume(2, TIMEOUT_S) if not message.error()]
        sender.begin_transaction()
        for message in messages:
            sender.produce(target, message.value().upper())
        positions = consumer.position(consumer.assignment())
        metadata = consumer.consumer_group_metadata()
        sender.send_offsets_to_transaction(positions, metadata, TIMEOUT_S)
        if crash_after is not None and copied >= crash_after:
            break  # neither committed nor aborted: the next instance sees to that
        sender.commit_transaction(TIMEOUT_S)
        copied += len(messages)
    consumer.close()
    return sender


def test_what_is_consumed_and_produced_in_transactions_is_there_once(servers, unique):
    source, target = unique("source"), unique("target")
    create(servers, source, target)
    plain = Producer(servers)
    for number in range(10):
        plain.produce(source, b"message %d" % number)
    plain.flush(TIMEOUT_S)
    group, name = unique("g"), unique("tx")
    zombie = copy(servers, source, target, group, name, count=10, crash_after=4)
    copy(servers, source, target, group, name, count=6)
    assert rest(servers, target, unique("g")) == [b"MESSAGE %d" % number for number in range(10)]
    with pytest.raises(KafkaException):
        zombie.commit_transaction(TIMEOUT_S)


@pytest.mark.parametrize("how", ["stop", "kill"])
def test_a_transaction_survives_a_restart_of_the_broker(how, unique, tmp_path):
    topic, name = unique("topic"), unique("tx")
    with MqBroker.start(tmp_path) as broker:
        servers = {"bootstrap.servers": broker.bootstrap, "reconnect.backoff.max.ms": 200}
        create(servers, topic)
        sender = producer(servers, name)
        sender.begin_transaction()
        sender.produce(topic, b"before")
        sender.flush(TIMEOUT_S)
        getattr(broker, how)()
        broker.restart()
        sender.produce(topic, b"after")
        sender.commit_transaction(TIMEOUT_S)
        assert rest(servers, topic, unique("g")) == [b"before", b"after"]

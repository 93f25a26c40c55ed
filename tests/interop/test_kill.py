"""kill -9 of the broker under load: what it acknowledged is there, once and in order."""

from __future__ import annotations

import threading
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path

import pytest
from confluent_kafka import Consumer, KafkaError, Message, Producer
from confluent_kafka.admin import AdminClient, NewTopic

from tools.mq_broker import MqBroker

pytestmark = pytest.mark.slow

KILLS = 20
PRODUCERS = 3
PARTITIONS = 4
ACKS_BETWEEN_KILLS = 200  # of each producer: proof that it came through the restart
IN_FLIGHT_MAX = 500


class LoadingProducer(threading.Thread):
    """An idempotent producer that never pauses and keeps what was acknowledged, with where."""

    def __init__(self, name: str, bootstrap: str, topic: str, stop: threading.Event) -> None:
        super().__init__(name=name)
        self.acknowledged: dict[bytes, tuple[int, int]] = {}
        self.errors: list[KafkaError] = []
        self._topic = topic
        self._stop_asked = stop
        self._producer = Producer(
            {
                "bootstrap.servers": bootstrap,
                "enable.idempotence": True,
                "message.timeout.ms": 300_000,
                "reconnect.backoff.ms": 10,
                "reconnect.backoff.max.ms": 50,
                "retry.backoff.ms": 10,
                "retry.backoff.max.ms": 50,
                "linger.ms": 1,
                "log_level": 0,
            }
        )

    def run(self) -> None:
        number = 0
        while not self._stop_asked.is_set():
            if len(self._producer) >= IN_FLIGHT_MAX:
                self._producer.poll(0.01)
                continue
            value = f"{self.name}:{number}".encode()
            partition = number % PARTITIONS
            self._producer.produce(
                self._topic, value, partition=partition, on_delivery=self._delivered
            )
            number += 1
            self._producer.poll(0)
        self._producer.flush(60)

    def _delivered(self, error: KafkaError | None, message: Message) -> None:
        if error is not None:
            self.errors.append(error)
        else:
            self.acknowledged[message.value()] = (message.partition(), message.offset())


def check_history(producers: list[LoadingProducer], messages: list[Message]) -> None:
    """Every acknowledged record at its offset, none twice, each producer's in its order."""
    places = {m.value(): (m.partition(), m.offset()) for m in messages}
    doubled = {value: n for value, n in Counter(m.value() for m in messages).items() if n > 1}
    assert doubled == {}
    orders: dict[tuple[str, int], list[int]] = defaultdict(list)
    for message in messages:
        producer, _, number = message.value().decode().partition(":")
        orders[producer, message.partition()].append(int(number))
    for order in orders.values():
        assert order == sorted(order)
    for producer in producers:
        assert producer.errors == []
        kept = {value: places.get(value) for value in producer.acknowledged}
        assert kept == producer.acknowledged


@pytest.mark.parametrize("durability", ["sync", "os"])
def test_every_acknowledged_record_is_there_once_and_in_order(
    durability: str,
    tmp_path: Path,
    eventually: Callable[..., object],
    read_from: Callable[[str, str], list[Message]],
) -> None:
    """A killed process loses nothing that the kernel took, so both settings must hold here."""
    stop = threading.Event()
    kills = KILLS if durability == "sync" else KILLS // 4
    with MqBroker.start(tmp_path, durability=durability) as broker:
        admin = AdminClient({"bootstrap.servers": broker.bootstrap})
        admin.create_topics([NewTopic("load", PARTITIONS)])["load"].result(30)
        producers = [
            LoadingProducer(f"p{number}", broker.bootstrap, "load", stop)
            for number in range(PRODUCERS)
        ]
        for producer in producers:
            producer.start()
        try:
            for _ in range(kills):
                wanted = [len(p.acknowledged) + ACKS_BETWEEN_KILLS for p in producers]
                eventually(
                    lambda wanted=wanted: all(
                        len(p.acknowledged) >= n for p, n in zip(producers, wanted, strict=True)
                    ),
                    60,
                )
                broker.kill()
                broker.restart()
        finally:
            stop.set()
            for producer in producers:
                producer.join()
        check_history(producers, read_from(broker.bootstrap, "load"))
        assert all(len(p.acknowledged) >= kills * ACKS_BETWEEN_KILLS for p in producers)
        broker.kill()
        broker.restart()
        check_history(producers, read_from(broker.bootstrap, "load"))
        assert broker.stop() == 0


def test_a_group_goes_on_where_it_committed_before_the_kill(tmp_path: Path) -> None:
    with MqBroker.start(tmp_path) as broker:
        settings = {"bootstrap.servers": broker.bootstrap}
        admin = AdminClient(settings)
        admin.create_topics([NewTopic("work", 1)])["work"].result(30)
        producer = Producer(settings)
        for number in range(100):
            producer.produce("work", str(number), partition=0)
        assert producer.flush(30) == 0
        assert consume_and_commit(broker.bootstrap, 40) == [str(n).encode() for n in range(40)]
        broker.kill()
        broker.restart()
        assert consume_and_commit(broker.bootstrap, 60) == [str(n).encode() for n in range(40, 100)]


def consume_and_commit(bootstrap: str, count: int) -> list[bytes]:
    """The next `count` values of the group "workers", committed with its last breath."""
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": "workers",
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
        }
    )
    consumer.subscribe(["work"])
    messages: list[Message] = []
    while len(messages) < count:
        message = consumer.poll(30)
        assert message is not None
        assert message.error() is None
        messages.append(message)
    consumer.commit(messages[-1], asynchronous=False)
    consumer.close()
    return [message.value() for message in messages]

"""The clients of `tools.kill_loop`: they work without pause while their broker is killed.

Each is a thread that notes in a `History` what it asked for and what it was told. None of them ever
learns of a kill but by what its library tells it.
"""

from __future__ import annotations

import random
import threading
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer
from confluent_kafka import TopicPartition as Place

from mq.record import TopicPartition
from mq.testing.history import History

IN_FLIGHT_MAX = 200
KEYS = 50
TRANSACTION_RECORDS_MAX = 20
TIMEOUT_S = 120.0
CODECS = ("none", "gzip", "snappy", "lz4", "zstd")

QUICK = {  # back at once when the broker is
    "reconnect.backoff.ms": 10,
    "reconnect.backoff.max.ms": 50,
    "retry.backoff.ms": 10,
    "retry.backoff.max.ms": 50,
    "log_level": 0,
}


class Client(threading.Thread):
    """A thread with a name, a chance of its own, and an end.

    Attributes:
        progress: how much the broker has acknowledged.
        complaints: what must not have happened.
    """

    def __init__(self, name: str, bootstrap: str, history: History, chance: random.Random) -> None:
        super().__init__(name=name, daemon=True)
        self.progress = 0
        self.complaints: list[str] = []
        self.history = history
        self.chance = chance
        self.value_bytes_max = 1_000
        self.settings: dict[str, Any] = {"bootstrap.servers": bootstrap, **QUICK}
        self.ended = threading.Event()

    def run(self) -> None:
        try:
            self.work()
        except Exception as error:
            self.complaints.append(f"{self.name}: {error!r}")
            raise

    def work(self) -> None:
        raise NotImplementedError

    def value(self, number: int) -> bytes:
        """What is sent as the `number`-th, unlike anything else that is sent."""
        head = f"{self.name}:{number}:".encode()
        return head + self.chance.randbytes(self.chance.randrange(self.value_bytes_max))


class Sender(Client):
    """An idempotent producer to all partitions of a topic, in turn."""

    def __init__(self, name: str, topic: str, partitions: int, *rest: Any) -> None:
        super().__init__(name, *rest)
        self._topic = topic
        self._partitions = partitions
        self._producer = Producer(
            {
                **self.settings,
                "enable.idempotence": True,
                "message.timeout.ms": int(TIMEOUT_S * 1000),
                "compression.type": self.chance.choice(CODECS),
                "batch.num.messages": self.chance.choice((20, 100, 500)),
                "linger.ms": 1,
            }
        )

    def work(self) -> None:
        number = 0
        while not self.ended.is_set():
            if len(self._producer) >= IN_FLIGHT_MAX:
                self._producer.poll(0.01)
                continue
            value = self.value(number)
            self.history.sent(self.name, value)
            self._producer.produce(
                self._topic,
                value,
                key=f"key{number % KEYS}",
                partition=number % self._partitions,
                on_delivery=self._delivered,
            )
            self._producer.poll(0)
            number += 1
        if self._producer.flush(TIMEOUT_S):
            self.complaints.append(f"{self.name}: records were never acknowledged")

    def _delivered(self, error: KafkaError | None, message: Message) -> None:
        if error is not None:
            self.complaints.append(f"{self.name}: {error}")
            return
        self.history.acknowledge(message.value() or b"", *_where(message))
        self.progress += 1


class Transactor(Client):
    """A producer of transactions, some of which it aborts.

    Attributes:
        transactions: the values of each, whatever became of it: all are visible or none.
    """

    def __init__(self, name: str, topic: str, partitions: int, *rest: Any) -> None:
        super().__init__(name, *rest)
        self._topic = topic
        self._partitions = partitions
        self._delivered_at: dict[bytes, tuple[TopicPartition, int]] = {}
        self.transactions: list[list[bytes]] = []

    def work(self) -> None:
        producer = self._begin_anew()
        number = 0
        while not self.ended.is_set():
            values = [
                self.value(number + i)
                for i in range(1 + self.chance.randrange(TRANSACTION_RECORDS_MAX))
            ]
            number += len(values)
            self.transactions.append(values)
            try:
                self._transact(producer, values)
            except KafkaException as error:
                if not error.args[0].txn_requires_abort():
                    producer = self._begin_anew()
                    continue
                try:
                    producer.abort_transaction(TIMEOUT_S)
                except KafkaException:
                    producer = self._begin_anew()

    def _begin_anew(self) -> Producer:
        """Whoever had the transactional id before is fenced, its transaction aborted."""
        while True:
            producer = Producer({**self.settings, "transactional.id": self.name})
            try:
                producer.init_transactions(TIMEOUT_S)
            except KafkaException as error:
                if self.ended.is_set() or not error.args[0].retriable():
                    raise
            else:
                return producer

    def _transact(self, producer: Producer, values: list[bytes]) -> None:
        producer.begin_transaction()
        self._delivered_at = {}
        for value in values:
            self.history.sent(self.name, value)
            partition = self.chance.randrange(self._partitions)
            producer.produce(self._topic, value, partition=partition, on_delivery=self._delivered)
        if self.chance.random() < 0.3:
            producer.flush(TIMEOUT_S if self.chance.random() < 0.5 else 0)
            producer.abort_transaction(TIMEOUT_S)
            for value in values:
                self.history.refuse(value)
        else:
            producer.commit_transaction(TIMEOUT_S)
            for value in values:
                self.history.acknowledge(value, *self._delivered_at[value])
        self.progress += len(values)

    def _delivered(self, error: KafkaError | None, message: Message) -> None:
        if error is None:
            self._delivered_at[message.value() or b""] = _where(message)


class Committer(Client):
    """A member-less group that commits one offset after the other, each greater than the last."""

    def __init__(self, name: str, topic: str, *rest: Any) -> None:
        super().__init__(name, *rest)
        self._topic = topic

    def work(self) -> None:
        group = {"group.id": self.name, "enable.auto.commit": False}
        consumer = Consumer({**self.settings, **group})
        acknowledged = asked = -1
        while not self.ended.is_set():
            asked += 1
            try:
                consumer.commit(offsets=[Place(self._topic, 0, asked)], asynchronous=False)
            except KafkaException:
                found = self._committed(consumer)
                if found is not None and not acknowledged <= max(found, -1) <= asked:
                    self.complaints.append(f"{self.name}: {found} is committed, not {acknowledged}")
            else:
                acknowledged = asked
                self.progress += 1
        found = self._committed(consumer)
        if found is None or not acknowledged <= found <= asked:
            self.complaints.append(f"{self.name}: {found} is committed, not {acknowledged}")
        consumer.close()

    def _committed(self, consumer: Consumer) -> int | None:
        try:
            [found] = consumer.committed([Place(self._topic, 0)], TIMEOUT_S)
        except KafkaException:
            return None
        offset: int = found.offset
        return offset


class Reader(Client):
    """Reads topics from their starts while they grow, with the eyes of `isolation`.

    Attributes:
        starts: where partitions began when they had been read to their ends.
    """

    def __init__(self, name: str, places: list[TopicPartition], isolation: str, *rest: Any) -> None:
        super().__init__(name, *rest)
        self.starts: dict[TopicPartition, int] = {}
        self._places = places
        self._isolation = isolation

    def work(self) -> None:
        consumer = self._open()
        while not self.ended.is_set():
            message = consumer.poll(0.05)
            if message is not None and message.error() is None:
                self._note(message)
                self.progress += 1
        consumer.close()

    def read_to_the_end(self) -> None:
        """Read everything there is, from the start to where the topics end now."""
        consumer = self._open(**{"enable.partition.eof": True})
        missing, told = set(self._places), self.history.acknowledged_ends()
        while missing:
            message = consumer.poll(TIMEOUT_S)
            if message is None:
                raise TimeoutError(f"no more records came; {missing} have not ended")
            error = message.error()
            if error is None:
                self._note(message)
            elif error.code() == KafkaError._PARTITION_EOF:
                place, end = _where(message)
                missing.discard(place)
                self.history.read_to(place, max(end, told[place]))
        for place in self._places:
            self.starts[place], _ = consumer.get_watermark_offsets(Place(*place), TIMEOUT_S)
        consumer.close()

    def _note(self, message: Message) -> None:
        self.history.read(*_where(message), message.value() or b"")

    def _open(self, **more: Any) -> Consumer:
        settings = {"group.id": self.name, "enable.auto.commit": False, "check.crcs": True}
        settings |= {"auto.offset.reset": "earliest", "isolation.level": self._isolation}
        consumer = Consumer({**self.settings, **settings, **more})
        consumer.assign([Place(place.topic, place.partition, 0) for place in self._places])
        return consumer


def _place(message: Message) -> TopicPartition:
    topic, index = message.topic(), message.partition()
    assert topic is not None
    assert index is not None
    return TopicPartition(topic, index)


def _where(message: Message) -> tuple[TopicPartition, int]:
    offset = message.offset()
    assert offset is not None
    return _place(message), offset

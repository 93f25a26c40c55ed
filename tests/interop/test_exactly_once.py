"""Everything is copied once, however often the copier and the broker are killed.

`EXACTLY_ONCE_MESSAGES=100000` copies more than the few thousand of every day.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from confluent_kafka import Consumer, KafkaError, Producer
from confluent_kafka.admin import AdminClient, NewTopic

from tools.mq_broker import MqBroker

pytestmark = pytest.mark.slow

TIMEOUT_S = 60.0
MESSAGES = int(os.environ.get("EXACTLY_ONCE_MESSAGES", "6000"))
PARTITIONS = 4
COPIER = Path(__file__).with_name("copier.py")


class Copiers:
    """Processes that copy, each with an id of its own that its successor keeps."""

    def __init__(self, bootstrap: str, log: Path) -> None:
        self._command = [sys.executable, str(COPIER), bootstrap, "source", "target"]
        self._log = log
        self.running: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str) -> None:
        with self._log.open("ab") as log:
            self.running[name] = subprocess.Popen([*self._command, name], stderr=log)

    def kill(self, name: str) -> None:
        process = self.running.pop(name)
        process.kill()
        process.wait()


def committed(bootstrap: str, *, until: int = 0) -> list[list[bytes]]:
    """The committed messages of the target by partition; waits for ``until`` messages."""
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": "judge",
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
            "isolation.level": "read_committed",
            "enable.partition.eof": True,
        }
    )
    consumer.subscribe(["target"])
    values: list[list[bytes]] = [[] for _ in range(PARTITIONS)]
    ended: set[int] = set()
    deadline = time.monotonic() + TIMEOUT_S
    while len(ended) < PARTITIONS or sum(map(len, values)) < until:
        assert time.monotonic() < deadline, f"only {sum(map(len, values))} messages came"
        message = consumer.poll(1.0)
        if message is None:
            continue
        if message.error() is None:
            values[message.partition()].append(message.value())
        elif message.error().code() == KafkaError._PARTITION_EOF:
            ended.add(message.partition())
    consumer.close()
    return values


def test_a_copy_is_exact_through_kills_of_copier_and_broker(
    tmp_path: Path, eventually: Callable[..., None]
) -> None:
    chance = random.Random(MESSAGES)
    with MqBroker.start(tmp_path / "broker") as broker:
        admin = AdminClient({"bootstrap.servers": broker.bootstrap})
        topics = [NewTopic("source", PARTITIONS, 1), NewTopic("target", PARTITIONS, 1)]
        for created in admin.create_topics(topics).values():
            created.result(TIMEOUT_S)
        copiers = Copiers(broker.bootstrap, tmp_path / "copier.log")
        copiers.start("copier")
        producer = Producer(
            {
                "bootstrap.servers": broker.bootstrap,
                "enable.idempotence": True,
                "reconnect.backoff.max.ms": 200,
            }
        )
        rounds = 6
        try:
            for round_ in range(rounds):
                for number in range(round_ * MESSAGES // rounds, (round_ + 1) * MESSAGES // rounds):
                    producer.produce("source", b"%d" % number, partition=number % PARTITIONS)
                producer.poll(chance.random())
                if round_ % 2:
                    copiers.kill("copier")
                    copiers.start("copier")
                producer.poll(chance.random())
                broker.kill()
                broker.restart()
            assert producer.flush(TIMEOUT_S) == 0
            values = committed(broker.bootstrap, until=MESSAGES)
        finally:
            for name in list(copiers.running):
                copiers.kill(name)
        for index, copied in enumerate(values):
            assert list(map(int, copied)) == list(range(index, MESSAGES, PARTITIONS))

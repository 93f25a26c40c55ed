"""kill -9 of the broker under load: what it acknowledged is there, once and in order."""

from __future__ import annotations

from pathlib import Path

import pytest
from confluent_kafka import Consumer, Message, Producer
from confluent_kafka.admin import AdminClient, NewTopic

from tools.kill_loop import run_round
from tools.mq_broker import MqBroker

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(("durability", "kills"), [("sync", 40), ("os", 10)])
def test_nothing_acknowledged_is_lost_doubled_or_reordered(
    durability: str, kills: int, tmp_path: Path
) -> None:
    """A killed process loses nothing that the kernel took, so both settings must hold here."""
    done = run_round(tmp_path, durability, kills, durability)
    assert done.complaints == []
    assert done.kills >= kills
    assert done.acknowledged > kills


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

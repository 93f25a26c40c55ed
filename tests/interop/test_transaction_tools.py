"""Kafka's own programs in transactions with our broker, and over what these leave on the disk."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import pytest
from confluent_kafka import Consumer, KafkaError, Producer
from confluent_kafka.admin import AdminClient, NewTopic

from tools.apache_kafka import tool
from tools.dump_log import dump, faults
from tools.mq_broker import MqBroker

pytestmark = pytest.mark.slow

TOOLS = "org.apache.kafka.tools"
TIMEOUT_S = 30.0
MESSAGES = 2_000


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MqBroker]:
    with MqBroker.start(tmp_path_factory.mktemp("transactions")) as running:
        yield running


@pytest.fixture(scope="module")
def copied(broker: MqBroker) -> str:
    """A topic into which Java's copier has copied another, in transactions that often abort."""
    admin = AdminClient({"bootstrap.servers": broker.bootstrap})
    topics = [NewTopic("source", 1), NewTopic("target", 2)]
    for created in admin.create_topics(topics).values():
        created.result(TIMEOUT_S)
    producer = Producer({"bootstrap.servers": broker.bootstrap})
    for number in range(MESSAGES):
        producer.produce("source", b"%d" % number)
    assert producer.flush(TIMEOUT_S) == 0
    done = tool(
        f"{TOOLS}.TransactionalMessageCopier",
        *("--broker-list", broker.bootstrap, "--transactional-id", "copier"),
        *("--input-topic", "source", "--input-partition", "0", "--output-topic", "target"),
        *("--consumer-group", "copiers", "--transaction-size", "100"),
        *("--max-messages", str(MESSAGES), "--enable-random-aborts"),
    )
    last = json.loads(done.stdout.splitlines()[-1])
    assert last["remaining"] == 0
    return "target"


def read_committed(bootstrap: str, topic: str) -> list[bytes]:
    """Every committed message of a topic."""
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": "reader",
            "auto.offset.reset": "earliest",
            "isolation.level": "read_committed",
            "enable.partition.eof": True,
        }
    )
    consumer.subscribe([topic])
    values: list[bytes] = []
    ended: set[int] = set()
    while len(ended) < 2:
        message = consumer.poll(TIMEOUT_S)
        assert message is not None
        if message.error() is None:
            values.append(message.value())
        else:
            assert message.error().code() == KafkaError._PARTITION_EOF
            ended.add(message.partition())
    consumer.close()
    return values


def test_java_copies_exactly_once_through_aborts(broker: MqBroker, copied: str) -> None:
    values = read_committed(broker.bootstrap, copied)
    assert sorted(map(int, values)) == list(range(MESSAGES))


def test_javas_command_sees_transactions_and_none_that_hangs(broker: MqBroker, copied: str) -> None:
    def ask(*arguments: str) -> str:
        return tool(
            f"{TOOLS}.TransactionsCommand", "--bootstrap-server", broker.bootstrap, *arguments
        ).stdout

    assert re.search(r"copier\s+1\s+\d+\s+Complete\w+", ask("list"))
    described = ask("describe", "--transactional-id", "copier")
    assert re.search(r"\scopier\s+\d+\s+\d+\s+Complete\w+", described)
    producers = ask("describe-producers", "--topic", copied, "--partition", "0")
    assert re.search(r"\d+\s+\d+\s+\d+\s+-?\d+\s+\d+\s+None", producers)
    hanging = ask("find-hanging", "--broker-id", "1", "--max-transaction-timeout", "0")
    assert len(hanging.splitlines()) <= 1  # nothing but the header


def test_kafkas_tool_reads_all_that_transactions_leave(broker: MqBroker, copied: str) -> None:
    assert broker.stop() == 0
    assert faults(broker.data) == []
    [log] = (broker.data / "__transaction_state-0").glob("*.log")
    printed = dump([log], "--transaction-log-decoder")
    assert "Could not" not in printed
    assert printed.count("copier") > 3 * MESSAGES // 100
    aborted = dump(sorted(broker.data.glob(f"{copied}-*/*.txnindex")))
    assert re.search(r"version: 0 producerId: \d+ firstOffset: \d+", aborted)

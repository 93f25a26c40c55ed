"""What the tests with other people's clients share.

They run against our broker; `--engine kafka` runs them against Apache Kafka, which shows that a
test asks for nothing that Kafka itself does not do.
"""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Callable, Iterator

import pytest
from confluent_kafka import Consumer, Message, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from mq.wire.fields import Request, Response
from mq.wire.framing import FrameReader, decode_response, encode_request
from tools.apache_kafka import ApacheKafka

TIMEOUT_S = 60.0


@pytest.fixture(scope="session")
def kafka() -> Iterator[ApacheKafka]:
    """Apache Kafka, to be compared with; all tests of a process share it."""
    with ApacheKafka.start() as kafka:
        yield kafka


@pytest.fixture(scope="session")
def ask() -> Callable[[str, Request, int], Response]:
    """`ask(address, request, version)`: the answer of a broker to a request that we write."""

    def ask_on_a_new_connection(address: str, request: Request, version: int) -> Response:
        host, _, port = address.rpartition(":")
        with socket.create_connection((host, int(port)), TIMEOUT_S) as connection:
            connection.sendall(encode_request(1, "interop", request, version))
            reader, frames = FrameReader(), []
            while not frames:
                data = connection.recv(65536)
                assert data, "the broker closed the connection"
                frames = reader.feed(data)
        return decode_response(frames[0], type(request), version)[1]

    return ask_on_a_new_connection


@pytest.fixture
def create_topic(bootstrap: str, unique: Callable[[str], str]) -> Callable[..., str]:
    """`create_topic(partitions=4)` creates a topic nobody else uses and returns its name."""

    def create(partitions: int = 4, config: dict[str, str] | None = None) -> str:
        name = unique("topic")
        admin = AdminClient({"bootstrap.servers": bootstrap})
        wanted = NewTopic(name, num_partitions=partitions, config=config or {})
        admin.create_topics([wanted])[name].result(TIMEOUT_S)
        return name

    return create


@pytest.fixture
def read_all(bootstrap: str) -> Callable[[str], list[Message]]:
    """`read_all(topic)`: every message from its start to the end that it has now."""
    return lambda topic: _read(bootstrap, topic)


@pytest.fixture
def read_from() -> Callable[[str, str], list[Message]]:
    """`read_from(address, topic)`: as `read_all`, from a broker that the test itself started."""
    return _read


def _read(bootstrap: str, topic: str) -> list[Message]:
    settings = {"bootstrap.servers": bootstrap, "group.id": "unused", "enable.auto.commit": False}
    consumer = Consumer(settings)
    try:
        ends = {}
        for index in consumer.list_topics(topic, TIMEOUT_S).topics[topic].partitions:
            start, end = consumer.get_watermark_offsets(TopicPartition(topic, index), TIMEOUT_S)
            if end > start:
                ends[index] = end
        consumer.assign([TopicPartition(topic, index, 0) for index in ends])
        messages = []
        while ends:
            message = consumer.poll(TIMEOUT_S)
            assert message is not None, f"no more records of {topic}; still waiting for {ends}"
            assert message.error() is None, message.error()
            messages.append(message)
            if message.offset() + 1 >= ends.get(message.partition(), 0):
                ends.pop(message.partition(), None)
        return messages
    finally:
        consumer.close()


@pytest.fixture
def run() -> Callable[..., str]:
    """`run("kcat", "-L", stdin="")` runs a program and returns what it printed."""

    def run_to_its_end(*command: str, stdin: str = "") -> str:
        done = subprocess.run(
            command, input=stdin, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
        )
        told = f"{command[0]} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}"
        assert done.returncode == 0, told
        return done.stdout

    return run_to_its_end

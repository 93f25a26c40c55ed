"""Running applications in tests, and looking at topics from outside."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import anyio
import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from mq import App, Limits
from mq.record import Record

PATIENCE_S = 30.0
"""How long a test waits for what should come soon. It never decides a passing test."""

LIMITS = Limits(drain_s=10.0, revoke_s=5.0)


@pytest.fixture
def anyio_backend() -> str:
    """asyncio, unless a test asks for both."""
    return "asyncio"


@pytest.fixture
def make_app(bootstrap: str, unique: Callable[..., str]) -> Callable[..., App]:
    """An application with a group of its own."""

    def make(name: str | None = None, **options: Any) -> App:
        options.setdefault("limits", LIMITS)
        return App(name or unique("app"), bootstrap=bootstrap, **options)

    return make


@pytest.fixture
def running() -> Callable[[App], AbstractAsyncContextManager[App]]:
    """``async with running(app):`` the application runs; at the end it is stopped and drained."""

    @asynccontextmanager
    async def run(app: App) -> AsyncIterator[App]:
        async with anyio.create_task_group() as tasks, app:
            ended = anyio.Event()

            async def serve() -> None:
                await app.run()
                ended.set()

            tasks.start_soon(serve)
            try:
                with anyio.fail_after(PATIENCE_S):
                    yield app
            finally:
                app.stop()
            with anyio.fail_after(PATIENCE_S):
                await ended.wait()

    return run


@pytest.fixture
def read(bootstrap: str) -> Callable[..., list[Record]]:
    """``read(topic, count)`` gives the first so many records of a topic, of whatever partition."""

    def records(topic: str, count: int) -> list[Record]:
        settings = {"bootstrap.servers": bootstrap, "group.id": "reader", "log_level": 0}
        consumer = Consumer({**settings, "auto.offset.reset": "earliest"})
        found: list[Record] = []
        deadline = time.monotonic() + PATIENCE_S
        try:
            while not (
                partitions := consumer.list_topics(topic, timeout=10).topics[topic].partitions
            ):
                assert time.monotonic() < deadline, f"{topic} does not appear"
            consumer.assign([TopicPartition(topic, number, 0) for number in partitions])
            while len(found) < count:
                assert time.monotonic() < deadline, f"{len(found)} of {count} records in {topic}"
                messages = consumer.consume(count - len(found), 0.1)
                found += [_record(message) for message in messages if message.error() is None]
        finally:
            consumer.close()
        return found

    return records


def _record(message: Any) -> Record:
    return Record(
        message.topic(),
        message.partition(),
        message.offset(),
        message.timestamp()[1],
        message.key(),
        message.value(),
        tuple(message.headers() or ()),
    )


@pytest.fixture
def count_records(bootstrap: str) -> Callable[[str], int]:
    """How many records a topic holds."""

    def count(topic: str) -> int:
        settings = {"bootstrap.servers": bootstrap, "group.id": "counter", "log_level": 0}
        consumer = Consumer(settings)
        try:
            partitions = consumer.list_topics(topic, timeout=10).topics[topic].partitions
            edges = (
                consumer.get_watermark_offsets(TopicPartition(topic, number), timeout=10)
                for number in partitions
            )
            return sum(high - low for low, high in edges)
        finally:
            consumer.close()

    return count


@pytest.fixture
def committed(bootstrap: str) -> Callable[[str, str], int]:
    """``committed(group, topic)`` is the sum of the committed offsets."""

    def offsets(group: str, topic: str) -> int:
        settings = {"bootstrap.servers": bootstrap, "group.id": group, "log_level": 0}
        consumer = Consumer(settings)
        try:
            partitions = consumer.list_topics(topic, timeout=10).topics[topic].partitions
            asked = [TopicPartition(topic, number) for number in partitions]
            return sum(max(each.offset, 0) for each in consumer.committed(asked, timeout=10))
        finally:
            consumer.close()

    return offsets


@pytest.fixture
def produce(bootstrap: str) -> Callable[..., None]:
    """Write records as a program without mq would: ``produce(topic, value, key=, headers=)``."""

    def send(topic: str, *values: bytes | None, **options: Any) -> None:
        producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 0})
        for value in values:
            producer.produce(topic, value, **options)
        assert producer.flush(PATIENCE_S) == 0

    return send


@pytest.fixture
def admin(bootstrap: str) -> AdminClient:
    return AdminClient({"bootstrap.servers": bootstrap, "log_level": 0})

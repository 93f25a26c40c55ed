"""Retry topics: waits survive restarts, hop on, grow, and are never early."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import anyio
import anyio.abc
import anyio.from_thread
import anyio.lowlevel
import anyio.to_thread
import pytest
from confluent_kafka.admin import NewPartitions, NewTopic
from tenacity import stop_after_attempt, wait_fixed

from mq import (
    App,
    KafkaError,
    Message,
    RetryPolicy,
)

pytestmark = pytest.mark.anyio


async def test_a_retry_that_waits_survives_a_restart_and_is_not_early(
    make_app: Callable[..., App], topic: str, running: Any
) -> None:
    app, attempts, failed, done = make_app(), [], anyio.Event(), anyio.Event()
    policy = RetryPolicy(wait=wait_fixed(2), stop=stop_after_attempt(2), tiers=["2s"])

    @app.handler(topic, retry=policy)
    async def handle(message: Message) -> None:
        attempts.append((message.attempt, time.time()))
        if message.attempt == 1:
            failed.set()
            raise ConnectionError
        done.set()

    async with running(app):
        await app.publish(topic, 1)
        await failed.wait()
    async with running(app):
        await done.wait()
    assert [attempt for attempt, _ in attempts] == [1, 2]
    assert attempts[1][1] - attempts[0][1] >= 1.999


async def test_a_rest_in_place_is_cut_short_by_the_end_without_losing_the_attempt(
    make_app: Callable[..., App], topic: str, running: Any
) -> None:
    app, attempts, failed, done = make_app(), [], anyio.Event(), anyio.Event()
    policy = RetryPolicy(wait=wait_fixed(3), stop=stop_after_attempt(2), in_place=10, tiers=["5s"])

    @app.handler(topic, retry=policy)
    async def handle(message: Message) -> None:
        attempts.append(message.attempt)
        if message.attempt == 1:
            failed.set()
            raise ConnectionError
        done.set()

    async with running(app):
        await app.publish(topic, 1)
        await failed.wait()
    async with running(app):
        await done.wait()
    assert attempts == [1, 2]


async def test_a_record_hops_again_where_its_tier_is_shorter_than_its_delay(
    make_app: Callable[..., App], topic: str, running: Any, count_records: Any
) -> None:
    app, attempts, done = make_app(), [], anyio.Event()
    policy = RetryPolicy(
        wait=wait_fixed(2), stop=stop_after_attempt(2), in_place=0, tiers=["300ms", "100ms"]
    )

    @app.handler(topic, retry=policy)
    async def handle(message: Message) -> None:
        attempts.append((message.attempt, time.time()))
        if message.attempt == 1:
            raise ConnectionError
        done.set()

    async with running(app):
        await app.publish(topic, 1)
        await done.wait()
    assert [attempt for attempt, _ in attempts] == [1, 2]
    assert attempts[1][1] - attempts[0][1] >= 1.999
    assert count_records(f"retry.{app.name}.{topic}.300ms") >= 2


async def test_tiers_of_an_earlier_policy_are_read_until_they_are_empty(
    make_app: Callable[..., App], topic: str, running: Any, unique: Callable[..., str]
) -> None:
    name, failed, done = unique("app"), anyio.Event(), anyio.Event()
    before, after = make_app(name), make_app(name)

    @before.handler(topic, retry=RetryPolicy(wait=wait_fixed(1.5), tiers=["1500ms"]))
    async def fail() -> None:
        failed.set()
        raise ConnectionError

    @after.handler(topic, retry=RetryPolicy(tiers=["1m"]))
    async def handle(message: Message) -> None:
        assert message.attempt == 2
        done.set()

    async with running(before):
        await before.publish(topic, 1)
        await failed.wait()
    async with running(after):
        await done.wait()


async def test_a_growing_source_grows_its_retry_topics_while_it_is_read(
    make_app: Callable[..., App], running: Any, topic: str, admin: Any
) -> None:
    admin.create_topics([NewTopic(topic, 1)])[topic].result()
    app, done = make_app(librdkafka={"topic.metadata.refresh.interval.ms": 200}), anyio.Event()
    policy = RetryPolicy(wait=wait_fixed(0.05), in_place=0, tiers=["100ms"])

    @app.handler(topic, retry=policy)
    async def handle(message: Message) -> None:
        if message.attempt == 1:
            raise ConnectionError
        done.set()

    async with running(app):
        await app.publish(topic, 0)
        await done.wait()
        done = anyio.Event()
        admin.create_partitions([NewPartitions(topic, 3)])[topic].result()
        while True:
            try:
                await app.publish(topic, 0, partition=2)
                break
            except KafkaError:  # the producer has not heard of it yet
                await anyio.sleep(0.1)
        await done.wait()
    known = admin.list_topics(timeout=10).topics
    assert len(known[f"retry.{app.name}.{topic}.100ms"].partitions) == 3

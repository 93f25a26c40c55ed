"""What handlers send: part of their record, in the name of their message."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import Any

import anyio
import msgspec
import pytest
from tenacity import stop_after_attempt, wait_fixed

from mq import App, Message, RetryPolicy, Send, Tombstone
from mq.record import Record

pytestmark = pytest.mark.anyio


AT_ONCE = RetryPolicy(wait=wait_fixed(0.01), stop=stop_after_attempt(3), tiers=["1s"])
NEVER = None


class Payment(msgspec.Struct, tag=True):
    order: int


def headers(record: Record) -> dict[str, str]:
    return {name: (value or b"").decode() for name, value in record.headers}


async def test_what_a_handler_returns_is_sent_with_the_key_of_its_record(
    make_app: Callable[..., App], running: Any, unique: Callable[..., str], read: Any
) -> None:
    app, source, target, other = make_app(), unique(), unique(), unique()

    @app.handler(source, sends=target)
    async def handle(kind: str) -> Any:
        return {
            "value": Payment(1),
            "none": None,
            "tombstone": Tombstone(),
            "send": Send(Payment(2), key="other", topic=other, headers={"h": "1"}),
        }[kind]

    async with running(app):
        for kind in ("value", "none", "tombstone", "send"):
            await app.publish(source, kind, key="k")
        sent = await anyio.to_thread.run_sync(read, target, 2)
        (elsewhere,) = await anyio.to_thread.run_sync(read, other, 1)
    assert [(record.key, record.value is None) for record in sent] == [(b"k", False), (b"k", True)]
    assert msgspec.msgpack.decode(sent[0].value or b"", type=Payment) == Payment(1)
    assert (elsewhere.key, headers(elsewhere)["h"]) == (b"other", "1")


async def test_a_message_that_a_handler_sends_is_named_the_same_when_it_runs_again(
    make_app: Callable[..., App], running: Any, unique: Callable[..., str], read: Any
) -> None:
    app, source, target = make_app(), unique(), unique()

    @app.handler(source, sends=target, retry=AT_ONCE)
    async def handle(number: int, message: Message) -> int:
        await app.publish(target, "first")
        if message.attempt == 1:
            raise ConnectionError("after the first send")
        return number

    async with running(app):
        await app.publish(source, 1, key="k")
        sent = await anyio.to_thread.run_sync(read, target, 3)
    names: dict[Any, set[str]] = defaultdict(set)
    for record in sent:
        names[msgspec.msgpack.decode(record.value or b"")].add(headers(record)["mq-id"])
    assert {value: len(ids) for value, ids in names.items()} == {"first": 1, 1: 1}


async def test_a_record_is_finished_only_when_its_sends_are_acknowledged(
    make_app: Callable[..., App], running: Any, unique: Callable[..., str], admin: Any, read: Any
) -> None:
    """A send that is refused fails the attempt, though nobody awaited it."""
    from confluent_kafka.admin import NewTopic

    app, source, narrow = make_app(), unique(), unique()
    small = NewTopic(narrow, 1, config={"max.message.bytes": "2000"})
    admin.create_topics([small])[narrow].result()

    @app.handler(source, retry=NEVER)
    async def handle(size: int) -> None:
        app.publish_nowait(narrow, b"x" * size)

    async with running(app):
        await app.publish(source, 100)
        (sent,) = await anyio.to_thread.run_sync(read, narrow, 1)
        await app.publish(source, 10_000)
        (dead,) = await anyio.to_thread.run_sync(read, f"dlq.{app.name}.{source}", 1)
    assert len(sent.value or b"") == 100
    assert headers(dead)["mq-error-type"] == "mq.errors.KafkaError"


async def test_a_result_that_cannot_be_written_fails_the_attempt(
    make_app: Callable[..., App], running: Any, unique: Callable[..., str], read: Any
) -> None:
    app, source = make_app(), unique()

    @app.handler(source, sends=unique(), retry=NEVER)
    async def handle() -> object:
        return object()

    async with running(app):
        await app.publish(source, 1)
        (dead,) = await anyio.to_thread.run_sync(read, f"dlq.{app.name}.{source}", 1)
    assert headers(dead)["mq-error-type"] == "mq.EncodeError"

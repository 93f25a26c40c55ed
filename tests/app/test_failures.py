"""Failures end to end: tried again, dead with their provenance, found and replayed."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import anyio
import google_crc32c
import pytest
from tenacity import stop_after_attempt, wait_fixed

from mq import App, Dead, Drop, Lanes, Message, RetryIn, RetryPolicy, Send
from mq.app.dead_letters import DeadLetter, replay
from mq.record import Record
from mq.wire.batch import BatchRecord, encode_batch
from mq.wire.framing import FrameReader, decode_response, encode_request
from mq.wire.messages.produce import (
    PartitionProduceData,
    ProduceRequest,
    ProduceResponse,
    TopicProduceData,
)

pytestmark = pytest.mark.anyio

BOTH = pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])

AT_ONCE = RetryPolicy(wait=wait_fixed(0.01), stop=stop_after_attempt(3), tiers=["1s"])
NEVER = None


@dataclass
class Order:
    id: int
    customer: str = "anna"


def headers(record: Record) -> dict[str, str]:
    return {name: (value or b"").decode() for name, value in record.headers}


async def test_a_record_that_keeps_failing_is_dead_with_all_its_provenance(
    make_app: Callable[..., App], running: Any, topic: str, read: Any, produce: Any
) -> None:
    app = make_app()

    @app.handler(topic, retry=AT_ONCE)
    async def handle(order: Order) -> None:
        raise LookupError(f"no customer {order.customer}")

    async with running(app):
        await app.publish(topic, Order(1), key="k")
        (dead,) = await anyio.to_thread.run_sync(read, f"dlq.{app.name}.{topic}", 1)
    letter = DeadLetter.from_record(dead)
    (origin,) = read(topic, 1)
    assert (dead.key, dead.value) == (origin.key, origin.value)
    assert letter.headers == origin.headers
    assert (letter.topic, letter.partition, letter.offset) == (topic, origin.partition, 0)
    assert (letter.group, letter.attempt, letter.replays) == (app.name, 3, 0)
    assert (letter.handler or "").endswith("provenance.<locals>.handle")
    assert (letter.error_type, letter.error_message) == ("LookupError", "no customer anna")
    assert "raise LookupError" in (letter.error_traceback or "")
    assert origin.timestamp == letter.timestamp
    assert (letter.first_failed_at or 0) <= (letter.failed_at or 0) <= dead.timestamp
    assert headers(dead)["__dlq.errors.topic"] == topic


@pytest.mark.parametrize(
    ("value", "content_type", "error"),
    [
        (b"{not json", None, "mq.UndecodableError"),
        (b"\xc1", b"application/msgpack", "mq.UndecodableError"),
        (b'{"id": "seven"}', None, "mq.InvalidPayloadError"),
        (None, None, "mq.InvalidPayloadError"),
        (b"x", b"application/avro", "mq.UndecodableError"),
    ],
)
async def test_a_value_that_cannot_be_read_is_dead_at_once_and_disturbs_nobody(
    make_app: Callable[..., App],
    running: Any,
    topic: str,
    read: Any,
    produce: Any,
    value: bytes | None,
    content_type: bytes | None,
    error: str,
) -> None:
    app, done = make_app(), anyio.Event()

    @app.handler(topic)
    async def handle(order: Order) -> None:
        assert order == Order(2)
        done.set()

    async with running(app):
        named = [("content-type", content_type)] if content_type else []
        produce(topic, value, key=b"k", headers=named)
        produce(topic, b'{"id": 2}', key=b"k")
        await done.wait()
        (dead,) = await anyio.to_thread.run_sync(read, f"dlq.{app.name}.{topic}", 1)
    assert dead.value == value
    assert headers(dead)["mq-error-type"] == error
    assert headers(dead)["mq-attempt"] == "1"
    assert headers(dead)["mq-id"].endswith(f"/{topic}/{dead.partition}/0")


@BOTH
async def test_a_handler_that_hangs_is_cancelled_tried_again_and_dead(
    make_app: Callable[..., App], running: Any, topic: str, read: Any
) -> None:
    app, attempts, cancelled = make_app(), 0, 0

    @app.handler(topic, retry=AT_ONCE, lanes=Lanes(timeout=0.1))
    async def handle() -> None:
        nonlocal attempts, cancelled
        attempts += 1
        try:
            await anyio.sleep_forever()
        except anyio.get_cancelled_exc_class():
            cancelled += 1
            raise

    async with running(app):
        await app.publish(topic, 1)
        (dead,) = await anyio.to_thread.run_sync(read, f"dlq.{app.name}.{topic}", 1)
    assert attempts == cancelled == 3
    assert headers(dead)["mq-error-type"] == "TimeoutError"


async def test_a_cancellation_of_the_handlers_own_making_is_a_failure_like_any_other(
    make_app: Callable[..., App], running: Any, topic: str, read: Any
) -> None:
    import asyncio

    app = make_app()

    @app.handler(topic, retry=NEVER)
    async def handle() -> None:
        task = asyncio.get_running_loop().create_task(asyncio.sleep(10))
        task.cancel()
        await task

    async with running(app):
        await app.publish(topic, 1)
        (dead,) = await anyio.to_thread.run_sync(read, f"dlq.{app.name}.{topic}", 1)
    assert headers(dead)["mq-error-type"].endswith("CancelledError")


@pytest.mark.parametrize("kind", [SystemExit, MemoryError, RecursionError])
async def test_no_error_of_a_handler_ends_the_application(
    make_app: Callable[..., App], running: Any, topic: str, read: Any, kind: Any
) -> None:
    app, done = make_app(), anyio.Event()

    @app.handler(topic, retry=NEVER)
    async def handle(number: int) -> None:
        if number == 0:
            raise kind("bad")
        done.set()

    async with running(app):
        await app.publish(topic, 0, key="k")
        await app.publish(topic, 1, key="k")
        await done.wait()
        (dead,) = await anyio.to_thread.run_sync(read, f"dlq.{app.name}.{topic}", 1)
    assert headers(dead)["mq-error-type"] == kind.__name__


async def test_verdicts_say_dead_drop_or_later(
    make_app: Callable[..., App], running: Any, topic: str, read: Any, count_records: Any
) -> None:
    app, seen, done = make_app(), [], anyio.Event()

    @app.handler(topic, retry=RetryPolicy(wait=wait_fixed(3600), stop=stop_after_attempt(2)))
    async def handle(verdict: str, message: Message) -> None:
        seen.append((verdict, message.attempt))
        if verdict == "dead":
            raise Dead("no such customer")
        if verdict == "drop":
            raise Drop("a test order")
        if message.attempt == 1:
            raise RetryIn(0.05)
        done.set()

    async with running(app):
        for verdict in ("dead", "drop", "later"):
            await app.publish(topic, verdict, key="k")
        await done.wait()
        (dead,) = await anyio.to_thread.run_sync(read, f"dlq.{app.name}.{topic}", 1)
    assert seen == [("dead", 1), ("drop", 1), ("later", 1), ("later", 2)]
    assert headers(dead)["mq-error-type"] == "mq.Dead"
    assert count_records(f"dlq.{app.name}.{topic}") == 1


async def test_a_dead_letter_of_the_largest_record_fits(
    make_app: Callable[..., App], running: Any, topic: str, admin: Any, read: Any
) -> None:
    from confluent_kafka.admin import NewTopic

    app = make_app()
    narrow = NewTopic(topic, 1, config={"max.message.bytes": "5000"})
    grave = NewTopic(f"dlq.{app.name}.{topic}", 1, config={"max.message.bytes": "6000"})
    for made in admin.create_topics([narrow, grave]).values():
        made.result()

    @app.handler(topic, retry=NEVER)
    async def handle() -> None:
        raise ValueError("m" * 100_000)

    async with running(app):
        await app.publish(topic, b"x" * 4700)
        (dead,) = await anyio.to_thread.run_sync(read, f"dlq.{app.name}.{topic}", 1)
    assert dead.value == b"x" * 4700
    assert "mq-error-traceback" not in headers(dead)
    assert headers(dead)["mq-error-type"] == "ValueError"


async def test_a_redrive_reaches_only_the_group_that_failed(
    make_app: Callable[..., App],
    running: Any,
    topic: str,
    unique: Callable[..., str],
    read: Any,
    admin: Any,
    produce: Any,
) -> None:
    app, fixed, others, done = make_app(), False, [], anyio.Event()
    policy = RetryPolicy(stop=stop_after_attempt(1), tiers=["1s"])
    attempts = []

    @app.handler(topic, retry=policy)
    async def handle(message: Message) -> None:
        attempts.append((message.attempt, message.id))
        if not fixed:
            raise ValueError("a bug")
        done.set()

    @app.handler(topic, group=unique("other"))
    async def other() -> None:
        others.append(1)

    async with running(app):
        receipt = await app.publish(topic, 1, key="k", headers={"user": "x"})
        (dead,) = await anyio.to_thread.run_sync(read, f"dlq.{app.name}.{topic}", 1)
        topics = list(admin.list_topics(timeout=10).topics)
        plan = replay(DeadLetter.from_record(dead), topics=topics, now_ms=int(time.time() * 1000))
        fixed = True
        produce(
            plan.topic,
            plan.value,
            key=plan.key,
            headers=list(plan.headers),
            partition=plan.partition,
        )
        await done.wait()
    assert attempts == [(1, receipt.id), (1, receipt.id)]
    assert others == [1]


class Unsendable:
    """Nothing that a codec knows."""


@pytest.mark.parametrize(
    "result",
    [
        Send(1, headers={"n": 1}),  # type: ignore[dict-item]  # that is the mistake
        Send(1, key="\ud800"),
        Unsendable(),
    ],
    ids=["a header that is a number", "a key that is not text", "an object without a codec"],
)
async def test_a_result_that_cannot_be_sent_fails_the_attempt_and_nobody_else(
    make_app: Callable[..., App],
    running: Any,
    unique: Callable[..., str],
    read: Any,
    result: object,
) -> None:
    app, topic = make_app(), unique()
    fine = anyio.Event()

    @app.handler(topic, sends=unique(), retry=NEVER)
    async def handle(number: int) -> object:
        if number == 1:
            return result
        fine.set()
        return None

    async with running(app):
        await app.publish(topic, 1)
        await app.publish(topic, 2)
        (dead,) = await anyio.to_thread.run_sync(read, f"dlq.{app.name}.{topic}", 1)
        await fine.wait()
    assert DeadLetter.from_record(dead).attempt == 1


async def test_a_plain_function_that_returns_a_coroutine_has_not_done_its_work(
    make_app: Callable[..., App], running: Any, topic: str, read: Any
) -> None:
    app = make_app()

    async def work(number: int) -> None: ...

    @app.handler(topic, retry=NEVER)
    def handle(number: int) -> Any:
        return work(number)

    async with running(app):
        await app.publish(topic, 1)
        (dead,) = await anyio.to_thread.run_sync(read, f"dlq.{app.name}.{topic}", 1)
    assert "make it an async function" in (DeadLetter.from_record(dead).error_message or "")


async def test_a_header_name_that_is_not_text_makes_a_dead_letter_and_kills_nobody(
    make_app: Callable[..., App], running: Any, topic: str, read: Any, bootstrap: str
) -> None:
    app = make_app()
    fine = anyio.Event()

    @app.handler(topic, retry=AT_ONCE)
    async def handle(number: int) -> None:
        fine.set()

    async with running(app):
        await app.publish(topic, 2)
        await fine.wait()
        await anyio.to_thread.run_sync(produce_with_a_bad_header, bootstrap, topic)
        (dead,) = await anyio.to_thread.run_sync(read, f"dlq.{app.name}.{topic}", 1)
    assert "the name of a header is not UTF-8" in (DeadLetter.from_record(dead).error_message or "")
    assert dead.value == b"1"


def produce_with_a_bad_header(bootstrap: str, topic: str) -> None:
    """librdkafka cannot send one, so the batch is written by hand."""
    batch = bytearray(encode_batch([BatchRecord(None, b"1", (("name", b"x"),), timestamp=1)]))
    place = batch.index(b"name")
    batch[place : place + 4] = b"n\xff\xfee"
    batch[17:21] = google_crc32c.value(bytes(batch[21:])).to_bytes(4, "big")
    data = TopicProduceData(
        name=topic, partition_data=[PartitionProduceData(index=0, records=bytes(batch))]
    )
    request = ProduceRequest(acks=-1, timeout_ms=1000, topic_data=[data])
    host, _, port = bootstrap.rpartition(":")
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(encode_request(1, "test", request, 9))
        frames = FrameReader()
        while not (found := frames.feed(connection.recv(65_536))):
            pass
    _, answer = decode_response(found[0], ProduceRequest, 9)
    assert isinstance(answer, ProduceResponse)
    assert answer.responses[0].partition_responses[0].error_code == 0

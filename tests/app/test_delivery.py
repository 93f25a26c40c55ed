"""Records through handlers, end to end: typed, in order, tried again, dead, never lost."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import anyio
import msgspec
import pytest
from tenacity import stop_after_attempt, wait_fixed

from mq import App, Dead, Drop, Lanes, Message, RetryIn, RetryPolicy, Send, Tombstone
from mq.app.dead_letters import DeadLetter, replay
from mq.record import Record

pytestmark = pytest.mark.anyio

BOTH = pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])

AT_ONCE = RetryPolicy(wait=wait_fixed(0.01), stop=stop_after_attempt(3), tiers=["1s"])
BY_TIER = RetryPolicy(wait=wait_fixed(0.3), stop=stop_after_attempt(3), in_place=0, tiers=["400ms"])
NEVER = None


@dataclass
class Order:
    id: int
    customer: str = "anna"


class Payment(msgspec.Struct, tag=True):
    order: int


class Refund(msgspec.Struct, tag=True):
    order: int


def headers(record: Record) -> dict[str, str]:
    return {name: (value or b"").decode() for name, value in record.headers}


@BOTH
async def test_a_published_value_arrives_as_the_type_that_the_handler_asks_for(
    make_app: Callable[..., App], running: Any, topic: str
) -> None:
    app, got, done = make_app(), [], anyio.Event()

    @app.handler(topic)
    async def handle(order: Order, message: Message) -> None:
        got.append((order, message))
        done.set()

    async with running(app):
        receipt = await app.publish(topic, Order(7), key="k", headers={"a": "b"})
        await done.wait()
    ((order, message),) = got
    assert order == Order(7)
    assert (message.topic, message.partition, message.offset) == receipt[:3]
    assert (message.key, message.attempt, message.id) == (b"k", 1, receipt.id)
    assert message.timestamp == receipt.timestamp
    assert message.header("a") == b"b"
    assert message.group == app.name


async def test_values_of_any_supported_kind_arrive(
    make_app: Callable[..., App], running: Any, produce: Any, unique: Callable[..., str]
) -> None:
    app, got = make_app(), {}
    topics = {name: unique(name) for name in ("union", "json", "null", "raw", "text", "none")}
    all_there = anyio.Event()

    def note(name: str, value: Any) -> None:
        got[name] = value
        if len(got) == len(topics):
            all_there.set()

    @app.handler(topics["union"])
    async def union(event: Payment | Refund) -> None:
        note("union", event)

    @app.handler(topics["json"])
    async def from_json(order: Order) -> None:
        note("json", order)

    @app.handler(topics["null"])
    async def nullable(order: Order | None) -> None:
        note("null", order)

    @app.handler(topics["raw"])
    async def raw(data: bytes) -> None:
        note("raw", data)

    @app.handler(topics["text"], codec="text")
    async def text(line: str) -> None:
        note("text", line)

    @app.handler(topics["none"])
    async def none() -> None:
        note("none", None)

    async with running(app):
        await app.publish(topics["union"], Refund(3))
        await app.publish(topics["null"], None, key="gone")
        await app.publish(topics["raw"], b"\x00\xff")
        await app.publish(topics["none"], {"any": "thing"})
        produce(topics["json"], b'{"id": 9, "unknown": true}')
        produce(topics["text"], "grüße".encode())
        await all_there.wait()
    assert got == {
        "union": Refund(3),
        "json": Order(9),
        "null": None,
        "raw": b"\x00\xff",
        "text": "grüße",
        "none": None,
    }


@BOTH
async def test_records_of_a_key_run_in_order_and_keys_side_by_side(
    make_app: Callable[..., App], running: Any, topic: str
) -> None:
    app, done = make_app(), anyio.Event()
    started: dict[bytes, list[int]] = defaultdict(list)
    inside: dict[bytes, int] = defaultdict(int)
    most_at_once = 0

    @app.handler(topic, lanes=Lanes(concurrency=8))
    async def handle(number: int, message: Message) -> None:
        nonlocal most_at_once
        key = message.key or b""
        started[key].append(number)
        inside[key] += 1
        assert inside[key] == 1
        most_at_once = max(most_at_once, sum(inside.values()))
        await anyio.sleep(0.001)
        inside[key] -= 1
        if sum(map(len, started.values())) == 200:
            done.set()

    async with running(app):
        for number in range(200):
            app.publish_nowait(topic, number, key=f"k{number % 10}")
        await done.wait()
    assert all(numbers == sorted(numbers) for numbers in started.values())
    assert 1 < most_at_once <= 8


@pytest.mark.parametrize(("order", "most"), [("partition", 1), ("none", 4)])
async def test_order_partition_runs_one_at_a_time_and_none_as_many_as_allowed(
    make_app: Callable[..., App], running: Any, topic: str, order: Any, most: int
) -> None:
    app, done, inside, most_inside, seen = make_app(), anyio.Event(), 0, 0, []

    @app.handler(topic, lanes=Lanes(order=order, concurrency=4))
    async def handle(number: int) -> None:
        nonlocal inside, most_inside
        inside += 1
        most_inside = max(most_inside, inside)
        await anyio.sleep(0.002)
        inside -= 1
        seen.append(number)
        if len(seen) == 40:
            done.set()

    async with running(app):
        for number in range(40):
            app.publish_nowait(topic, number, key=str(number), partition=0)
        await done.wait()
    assert most_inside == most
    assert sorted(seen) == list(range(40))
    assert order == "none" or seen == sorted(seen)


@BOTH
async def test_a_short_retry_stays_in_the_lane_and_keeps_the_order(
    make_app: Callable[..., App], running: Any, topic: str
) -> None:
    app, done, seen = make_app(), anyio.Event(), []

    @app.handler(topic, retry=AT_ONCE)
    async def handle(number: int, message: Message) -> None:
        seen.append((number, message.attempt))
        if number == 0 and message.attempt < 3:
            raise ConnectionError("not yet")
        if number == 1:
            done.set()

    async with running(app):
        await app.publish(topic, 0, key="k")
        await app.publish(topic, 1, key="k")
        await done.wait()
    assert seen == [(0, 1), (0, 2), (0, 3), (1, 1)]


@BOTH
async def test_a_long_retry_goes_through_its_topic_lets_others_pass_and_is_never_early(
    make_app: Callable[..., App], running: Any, topic: str, read: Any
) -> None:
    app, done, seen = make_app(), anyio.Event(), []

    @app.handler(topic, retry=BY_TIER)
    async def handle(number: int, message: Message) -> None:
        seen.append((number, message.attempt, time.monotonic(), message.offset))
        if number == 0 and message.attempt == 1:
            raise ConnectionError("not yet")
        if message.attempt == 2:
            done.set()

    async with running(app):
        first = await app.publish(topic, 0, key="k", headers=[("x", "1"), ("x", "2")])
        await app.publish(topic, 1, key="k")
        await done.wait()
    assert [(number, attempt) for number, attempt, *_ in seen] == [(0, 1), (1, 1), (0, 2)]
    assert seen[2][2] - seen[0][2] >= 0.3
    assert seen[2][3] == first.offset, "it is the same message"
    (hop,) = read(f"retry.{app.name}.{topic}.400ms", 1)
    assert hop.partition == first.partition
    assert hop.key == b"k"
    assert hop.headers[:2] == (("x", b"1"), ("x", b"2"))
    assert headers(hop)["mq-attempt"] == "1"
    assert headers(hop)["mq-id"] == first.id


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
        await anyio.to_thread.run_sync(read, f"dlq.{app.name}.{topic}", 1)


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
    assert {value: len(ids) for value, ids in names.items()} == {"first": 2, 1: 1}


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


async def test_topics_beside_a_source_are_made_with_their_settings(
    make_app: Callable[..., App], running: Any, topic: str, admin: Any
) -> None:
    from confluent_kafka.admin import ConfigResource, ResourceType

    app, done = make_app(), anyio.Event()

    @app.handler(topic)
    async def handle() -> None:
        done.set()

    async with running(app):
        await app.publish(topic, 1)
        await done.wait()
    known = admin.list_topics(timeout=10).topics
    count = len(known[topic].partitions)
    for tier in ("10s", "1m", "10m", "1h"):
        assert len(known[f"retry.{app.name}.{topic}.{tier}"].partitions) == count
    grave = f"dlq.{app.name}.{topic}"
    assert len(known[grave].partitions) == count
    asked = [ConfigResource(ResourceType.TOPIC, name) for name in (grave, topic)]
    settings = {r.name: f.result() for r, f in admin.describe_configs(asked).items()}
    assert settings[grave]["retention.ms"].value == "-1"
    assert settings[grave]["cleanup.policy"].value == "delete"
    largest = int(settings[topic]["max.message.bytes"].value)
    assert int(settings[grave]["max.message.bytes"].value) == largest + 65_536


async def test_handlers_share_a_topic_if_their_matches_exclude_each_other(
    make_app: Callable[..., App], running: Any, topic: str, read: Any
) -> None:
    app, got, done = make_app(), [], anyio.Event()

    def note(name: str, number: int) -> None:
        got.append((name, number))
        if len(got) == 2:
            done.set()

    @app.handler(topic, match="order.placed")
    async def placed(number: int) -> None:
        note("placed", number)

    @app.handler(topic, match={"ce_type": "order.cancelled"})
    async def cancelled(number: int) -> None:
        note("cancelled", number)

    async with running(app):
        await app.publish(topic, 1, headers={"ce_type": "order.placed"})
        await app.publish(topic, 2, headers={"ce_type": "order.cancelled"})
        await app.publish(topic, 3, headers={"ce_type": "order.lost"})
        await done.wait()
        (dead,) = await anyio.to_thread.run_sync(read, f"dlq.{app.name}.{topic}", 1)
    assert sorted(got) == [("cancelled", 2), ("placed", 1)]
    assert headers(dead)["mq-error-type"].endswith("UnmatchedError")


async def test_unmatched_records_can_be_dropped(
    make_app: Callable[..., App], running: Any, topic: str, committed: Any, aeventually: Any
) -> None:
    app, done = make_app(), anyio.Event()

    @app.handler(topic, match={"kind": "a"}, unmatched="drop")
    async def handle(number: int) -> None:
        assert number == 2
        done.set()

    async with running(app):
        await app.publish(topic, 1, headers={"kind": "b"}, partition=0)
        await app.publish(topic, 2, headers={"kind": "a"}, partition=0)
        await done.wait()
    assert committed(app.name, topic) == 2


async def test_each_group_gets_every_record(
    make_app: Callable[..., App], running: Any, topic: str, unique: Callable[..., str]
) -> None:
    app, got, done = make_app(), [], anyio.Event()

    def note(name: str) -> None:
        got.append(name)
        if len(got) == 2:
            done.set()

    @app.handler(topic)
    async def one() -> None:
        note("one")

    @app.handler(topic, group=unique("other"))
    async def other() -> None:
        note("other")

    async with running(app):
        await app.publish(topic, 1)
        await done.wait()
    assert sorted(got) == ["one", "other"]


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

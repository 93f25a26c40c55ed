"""Records through handlers, end to end: typed, matched, in order, tried again."""

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

from mq import App, Lanes, Message, RetryPolicy
from mq.record import Record

pytestmark = pytest.mark.anyio

BOTH = pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])

AT_ONCE = RetryPolicy(wait=wait_fixed(0.01), stop=stop_after_attempt(3), tiers=["1s"])
BY_TIER = RetryPolicy(wait=wait_fixed(0.3), stop=stop_after_attempt(3), in_place=0, tiers=["400ms"])


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

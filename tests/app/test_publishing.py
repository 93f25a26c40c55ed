"""Publishing: from programs with and without an event loop, to where Java would."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import anyio.abc
import anyio.from_thread
import anyio.lowlevel
import anyio.to_thread
import pytest
from confluent_kafka.admin import NewTopic

from mq import (
    App,
    BrokerUnreachable,
    ConfigurationError,
    KafkaError,
    Limits,
    QueueFull,
    RetryPolicy,
)

pytestmark = pytest.mark.anyio

BOTH = pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])

ONE_TIER = RetryPolicy(tiers=["1s"])


# Kafka's own test vectors for its hash (UtilsTest.testMurmur2)
VECTORS = {
    "21": -973932308,
    "foobar": -790332482,
    "a-little-bit-long-string": -985981536,
    "a-little-bit-longer-string": -1486304829,
    "lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
    "abc": 479470107,
}


async def test_a_sync_program_publishes_too(
    make_app: Callable[..., App], topic: str, read: Any
) -> None:
    def program() -> list[Any]:
        with make_app().sync() as client:
            waited = client.publish(topic, {"id": 1}, key="k")
            pending = client.publish_nowait(topic, {"id": 2}, key="k")
            return [waited, pending.wait(10)]

    receipts = await anyio.to_thread.run_sync(program)
    found = read(topic, 2)
    assert [(r.partition, r.offset) for r in receipts] == [(r.partition, r.offset) for r in found]
    assert [receipt.id.encode() for receipt in receipts] == [r.header("mq-id") for r in found]


@BOTH
async def test_publishing_without_waiting_says_when_the_queue_is_full(
    make_app: Callable[..., App], topic: str
) -> None:
    app = make_app(librdkafka={"queue.buffering.max.messages": 10, "linger.ms": 100})
    async with app:
        await app.publish(topic, 0)
        pending = [app.publish_nowait(topic, number) for number in range(10)]
        with pytest.raises(QueueFull, match=topic):
            app.publish_nowait(topic, 10)
        with anyio.fail_after(30):
            await app.publish(topic, "waits for room")
            receipts = [await each for each in pending]
    assert len(receipts) == 10


async def test_a_record_that_is_refused_raises_where_it_was_published(
    make_app: Callable[..., App], topic: str, admin: Any
) -> None:
    narrow = NewTopic(topic, 1, config={"max.message.bytes": "1000"})
    admin.create_topics([narrow])[topic].result()
    async with make_app() as app:
        with pytest.raises(KafkaError, match=topic):
            await app.publish(topic, b"x" * 5000)
        with pytest.raises(KafkaError, match=topic):
            await app.publish(topic, b"x" * 5_000_000)
        assert (await app.publish(topic, b"x")).offset == 0


async def test_a_key_goes_to_the_partition_that_java_would_choose(
    make_app: Callable[..., App], topic: str, admin: Any
) -> None:
    admin.create_topics([NewTopic(topic, 7)])[topic].result()
    async with make_app() as app:
        for key, digest in VECTORS.items():
            receipt = await app.publish(topic, 1, key=key)
            assert receipt.partition == (digest & 0x7FFFFFFF) % 7


async def test_publishing_needs_the_app_to_be_in_use() -> None:
    with pytest.raises(ConfigurationError, match="async with"):
        await App("idle").publish("t", 1)


async def test_a_setting_that_librdkafka_refuses_is_a_configuration_error(
    make_app: Callable[..., App],
) -> None:
    with pytest.raises(ConfigurationError, match=r"no\.such\.setting"):
        await make_app(librdkafka={"no.such.setting": 1}).__aenter__()


async def test_an_unreachable_broker_is_told_within_a_bounded_time() -> None:
    app = App("nobody", bootstrap="127.0.0.1:1", limits=Limits(connect_s=0.5))

    @app.handler("t")
    async def handle() -> None: ...

    for use in (app.run, app.__aenter__):
        with anyio.fail_after(10), pytest.raises(BrokerUnreachable, match=r"127\.0\.0\.1:1"):
            await use()
    with pytest.raises(BrokerUnreachable), app.sync():
        pass
    assert BrokerUnreachable.exit_code == 3


async def test_without_an_address_the_broker_of_the_directory_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MQ_LINGER", "0.1")
    for name in ("MQ_BOOTSTRAP", "MQ_DATA", "MQ_ENV", "KUBERNETES_SERVICE_HOST"):
        monkeypatch.delenv(name, raising=False)
    app, done = App("local"), anyio.Event()

    @app.handler("greetings", retry=ONE_TIER)
    async def handle(text: str) -> None:
        assert text == "hello"
        done.set()

    with anyio.fail_after(60):
        async with app, anyio.create_task_group() as tasks:
            await app.publish("greetings", "hello")
            tasks.start_soon(app.run)
            await done.wait()
            app.stop()
    assert (tmp_path / ".mq" / "broker.json").exists()


@BOTH
async def test_an_app_can_be_taken_into_use_by_many_at_once(
    make_app: Callable[..., App], topic: str
) -> None:
    app, receipts = make_app(), []

    async def use() -> None:
        async with app:
            receipts.append(await app.publish(topic, 1))

    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            for _ in range(5):
                tasks.start_soon(use)
        async with app:
            receipts.append(await app.publish(topic, 1))
    assert len(receipts) == 6

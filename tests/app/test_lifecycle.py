"""Starting, stopping, rebalancing, restarting: nothing lost, little repeated, no one blocked."""

from __future__ import annotations

import threading
import time
from collections import Counter
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
    BrokerUnreachable,
    ConfigurationError,
    KafkaError,
    Lanes,
    Limits,
    Message,
    QueueFull,
    RetryPolicy,
)
from mq.client.connection import has_consumer_protocol, leave_group

pytestmark = pytest.mark.anyio

BOTH = pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])

ONE_TIER = RetryPolicy(tiers=["1s"])


async def start(app: App, tasks: anyio.abc.TaskGroup) -> None:
    """Run an app; return once it is a member of its group."""
    joined = anyio.Event()

    async def run() -> None:
        await app.run(on_member=lambda _group, _member: joined.set())

    tasks.start_soon(run)
    await joined.wait()


@BOTH
async def test_stopping_lets_what_runs_finish_and_starts_nothing_more(
    make_app: Callable[..., App], topic: str, committed: Any
) -> None:
    app, started, release = make_app(), anyio.Event(), anyio.Event()
    finished = []

    @app.handler(topic, retry=ONE_TIER, lanes=Lanes(order="partition"))
    async def handle(number: int) -> None:
        started.set()
        await release.wait()
        finished.append(number)

    with anyio.fail_after(30):
        async with app, anyio.create_task_group() as tasks:
            for number in range(3):
                await app.publish(topic, number, partition=0)
            tasks.start_soon(app.run)
            await started.wait()
            app.stop()
            await anyio.wait_all_tasks_blocked()
            release.set()
    assert finished == [0]
    assert committed(app.name, topic) == 1


async def test_a_restart_goes_on_where_the_last_run_ended(
    make_app: Callable[..., App], running: Any, topic: str
) -> None:
    app, seen, enough = make_app(), [], anyio.Event()

    @app.handler(topic, retry=ONE_TIER)
    async def handle(number: int) -> None:
        seen.append(number)
        if len(seen) % 50 == 0:
            enough.set()

    for _ in range(2):
        enough = anyio.Event()
        async with running(app):
            for number in range(50):
                app.publish_nowait(topic, number)
            await enough.wait()
    assert Counter(seen) == Counter([*range(50), *range(50)])


async def test_what_was_cut_off_by_cancellation_runs_again(
    make_app: Callable[..., App], running: Any, topic: str
) -> None:
    app, calls = make_app(), Counter[int]()
    waiting, done = anyio.Event(), anyio.Event()

    @app.handler(topic, retry=ONE_TIER)
    async def handle(number: int) -> None:
        calls[number] += 1
        if number == 0 and calls[0] == 1:
            waiting.set()
            await anyio.sleep_forever()
        if number == 0:
            done.set()

    async with app:
        await app.publish(topic, 0)
        with anyio.fail_after(30):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(app.run)
                await waiting.wait()
                tasks.cancel_scope.cancel()
        async with running(app):
            await done.wait()
    assert calls[0] == 2


@pytest.mark.parametrize("kind", ["async", "sync"])
async def test_a_rebalance_loses_nothing_and_repeats_nothing(
    make_app: Callable[..., App],
    topic: str,
    unique: Callable[..., str],
    aeventually: Any,
    kind: str,
) -> None:
    """Partitions move from one app to another and back while both work."""
    name, seen, done = unique("group"), Counter[int](), anyio.Event()
    total, apps = 400, [make_app(name), make_app(name)]
    loop_token = anyio.lowlevel.current_token()

    def note(number: int) -> None:
        seen[number] += 1
        if len(seen) == total:
            done.set()

    def declare(app: App) -> None:
        if kind == "async":

            @app.handler(topic, retry=ONE_TIER)
            async def handle(number: int) -> None:
                await anyio.sleep(0.01)
                note(number)

        else:

            @app.handler(topic, retry=ONE_TIER)
            def handle_in_thread(number: int) -> None:
                threading.Event().wait(0.01)
                anyio.from_thread.run_sync(note, number, token=loop_token)

    for app in apps:
        declare(app)
    with anyio.fail_after(60):
        async with apps[0], anyio.create_task_group() as tasks:
            await start(apps[0], tasks)
            for number in range(total // 2):
                apps[0].publish_nowait(topic, number, key=str(number))
            await start(apps[1], tasks)
            for number in range(total // 2, total):
                apps[0].publish_nowait(topic, number, key=str(number))
            await aeventually(lambda: len(seen) >= total // 2, timeout=30)
            apps[1].stop()
            await done.wait()
            apps[0].stop()
    assert seen == Counter(range(total))


async def test_a_revocation_waits_for_what_runs_and_the_rest_goes_on(
    make_app: Callable[..., App], topic: str, unique: Callable[..., str], admin: Any
) -> None:
    """A handler that outlives the wait is not counted; its record runs again elsewhere."""
    admin.create_topics([NewTopic(topic, 1)])[topic].result()
    name, calls = unique("group"), []
    first = make_app(name, limits=Limits(revoke_s=0.2, drain_s=0.2))
    second = make_app(name)
    holding, release, again = anyio.Event(), anyio.Event(), anyio.Event()

    @first.handler(topic, retry=ONE_TIER)
    async def hold() -> None:
        calls.append("first")
        holding.set()
        await release.wait()

    @second.handler(topic, retry=ONE_TIER)
    async def handle() -> None:
        calls.append("second")
        again.set()

    with anyio.fail_after(60):
        async with first, anyio.create_task_group() as tasks:
            await first.publish(topic, 1)
            tasks.start_soon(first.run)
            await holding.wait()
            first.stop()
            tasks.start_soon(second.run)
            await again.wait()
            second.stop()
    assert calls == ["first", "second"]


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


async def test_start_latest_leaves_out_what_was_there_before_and_nothing_that_came_after(
    make_app: Callable[..., App], topic: str, admin: Any
) -> None:
    admin.create_topics([NewTopic(topic, 1)])[topic].result()
    app, seen, done = make_app(), [], anyio.Event()

    @app.handler(topic, retry=ONE_TIER, start="latest")
    async def handle(number: int) -> None:
        seen.append(number)
        if number == 3:
            done.set()

    with anyio.fail_after(30):
        async with app:
            await app.publish(topic, 1)
            while 2 not in seen:  # published until the group is there to see it
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(app.run)
                    while 2 not in seen:
                        await app.publish(topic, 2)
                        await anyio.sleep(0.05)
                    app.stop()
            await app.publish(topic, 3)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(app.run)
                await done.wait()
                app.stop()
    assert 1 not in seen
    assert seen.count(3) == 1


async def test_synchronous_handlers_run_in_threads_side_by_side(
    make_app: Callable[..., App], running: Any, topic: str, unique: Callable[..., str], read: Any
) -> None:
    app, target = make_app(), unique()
    meet = threading.Barrier(3, timeout=20)

    @app.handler(topic, sends=target, retry=ONE_TIER)
    def handle(number: int) -> int:
        assert threading.current_thread() is not threading.main_thread()
        meet.wait()
        app.publish_nowait(target, number + 100)
        return number

    async with running(app):
        for number in range(3):
            await app.publish(topic, number, key=str(number))
        sent = await anyio.to_thread.run_sync(read, target, 6)
    assert len({dict(record.headers)["mq-id"] for record in sent}) == 6


async def test_a_failing_thread_is_retried_and_a_hanging_one_closes_only_its_lane(
    make_app: Callable[..., App],
    topic: str,
    read: Any,
    caplog: pytest.LogCaptureFixture,
    aeventually: Any,
) -> None:
    app = make_app(limits=Limits(drain_s=0.1, revoke_s=0.1))
    release, done = threading.Event(), anyio.Event()
    policy = RetryPolicy(wait=wait_fixed(0.01), stop=stop_after_attempt(2), tiers=["1s"])
    token = anyio.lowlevel.current_token()

    @app.handler(topic, retry=policy, lanes=Lanes(timeout=0.05))
    def handle(kind: str) -> None:
        if kind == "hang":
            release.wait(20)
        elif kind == "fail":
            raise SystemExit(1)
        else:
            anyio.from_thread.run_sync(done.set, token=token)

    with anyio.fail_after(30):
        async with app, anyio.create_task_group() as tasks:
            tasks.start_soon(app.run)
            await app.publish(topic, "hang", key="a")
            await app.publish(topic, "fail", key="b")
            await anyio.to_thread.run_sync(read, f"dlq.{app.name}.{topic}", 1)
            await app.publish(topic, "fine", key="c")
            await done.wait()
            await aeventually(lambda: "its lane stays closed" in caplog.text)
            app.stop()
    release.set()


async def test_a_handler_that_blocks_the_event_loop_does_not_cost_the_membership(
    make_app: Callable[..., App], running: Any, topic: str
) -> None:
    app, seen, done = make_app(), [], anyio.Event()

    @app.handler(topic, retry=ONE_TIER)
    async def handle(number: int) -> None:
        if number == 0:
            threading.Event().wait(1.5)
        seen.append(number)
        if number == 1:
            done.set()

    async with running(app):
        await app.publish(topic, 0)
        await app.publish(topic, 1)
        await done.wait()
    assert sorted(seen) == [0, 1]


async def test_more_records_than_may_be_in_flight_all_arrive_and_the_limit_holds(
    make_app: Callable[..., App], running: Any, topic: str
) -> None:
    """Fetching is put off, partitions are paused and resumed: nothing is lost on the way."""
    app = make_app(limits=Limits(records_in_flight=20))
    seen, done, inside, most = Counter[int](), anyio.Event(), 0, 0

    @app.handler(topic, retry=ONE_TIER, lanes=Lanes(order="none", concurrency=100_000))
    async def handle(number: int) -> None:
        nonlocal inside, most
        inside += 1
        most = max(most, inside)
        await anyio.sleep(1.2 if number < 40 else 0)
        inside -= 1
        seen[number] += 1
        if len(seen) == 3000:
            done.set()

    async with running(app):
        for number in range(3000):
            app.publish_nowait(topic, number, partition=number % 4)
        await done.wait()
    assert seen == Counter(range(3000))
    assert most <= 20 + 1000, "one batch may exceed the limit"


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


async def test_a_member_that_was_taken_out_of_its_group_joins_again_and_goes_on(
    make_app: Callable[..., App], topic: str, bootstrap: str, aeventually: Any
) -> None:
    app, members, seen = make_app(), [], []

    @app.handler(topic, retry=ONE_TIER)
    async def handle(number: int) -> None:
        seen.append(number)

    with anyio.fail_after(60):
        async with app, anyio.create_task_group() as tasks:
            tasks.start_soon(lambda: app.run(on_member=lambda *member: members.append(member)))
            await app.publish(topic, 1)
            await aeventually(lambda: seen == [1], timeout=30)
            ((group, member_id),) = members
            await leave_group(bootstrap, group, member_id)
            await leave_group(bootstrap, group, member_id)  # gone already: no error
            await app.publish(topic, 2)
            await aeventually(lambda: 2 in seen, timeout=30)
            app.stop()
    assert group == app.name


async def test_the_group_protocol_is_the_newest_that_the_brokers_have(
    bootstrap: str, engine: str
) -> None:
    assert await has_consumer_protocol(bootstrap) == (engine == "kafka")


async def test_run_ends_at_once_if_it_was_stopped_before(
    make_app: Callable[..., App], topic: str
) -> None:
    app = make_app()

    @app.handler(topic)
    async def handle() -> None:
        raise AssertionError("never runs")

    app.stop()
    with anyio.fail_after(20):
        await app.run()


async def test_two_handlers_of_one_group_for_one_topic_do_not_start(
    make_app: Callable[..., App], topic: str
) -> None:
    app = make_app()

    @app.handler(topic)
    async def one() -> None: ...

    @app.handler(topic)
    async def two() -> None: ...

    with pytest.raises(ConfigurationError, match=f"one and .*two both handle {topic}"):
        await app.run()


async def test_lifespan_surrounds_the_handlers(
    make_app: Callable[..., App], running: Any, topic: str
) -> None:
    from collections.abc import AsyncIterator
    from contextlib import asynccontextmanager

    story: list[str] = []

    @asynccontextmanager
    async def lifespan(app: App) -> AsyncIterator[None]:
        story.append("up")
        await app.publish(topic, 1)
        yield
        story.append("down")

    app, done = make_app(lifespan=lifespan), anyio.Event()

    @app.handler(topic, retry=ONE_TIER)
    async def handle() -> None:
        story.append("handled")
        done.set()

    async with running(app):
        await done.wait()
    assert story == ["up", "handled", "down"]


# publishing


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


# Kafka's own test vectors for its hash (UtilsTest.testMurmur2)
VECTORS = {
    "21": -973932308,
    "foobar": -790332482,
    "a-little-bit-long-string": -985981536,
    "a-little-bit-longer-string": -1486304829,
    "lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
    "abc": 479470107,
}


async def test_a_key_goes_to_the_partition_that_java_would_choose(
    make_app: Callable[..., App], topic: str, admin: Any
) -> None:
    admin.create_topics([NewTopic(topic, 7)])[topic].result()
    async with make_app() as app:
        for key, digest in VECTORS.items():
            receipt = await app.publish(topic, 1, key=key)
            assert receipt.partition == (digest & 0x7FFFFFFF) % 7


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


async def test_publishing_needs_the_app_to_be_in_use() -> None:
    with pytest.raises(ConfigurationError, match="async with"):
        await App("idle").publish("t", 1)


async def test_a_setting_that_librdkafka_refuses_is_a_configuration_error(
    make_app: Callable[..., App],
) -> None:
    with pytest.raises(ConfigurationError, match=r"no\.such\.setting"):
        await make_app(librdkafka={"no.such.setting": 1}).__aenter__()

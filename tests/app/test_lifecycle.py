"""Starting, stopping, rebalancing, restarting: nothing lost, no one blocked."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
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
    ConfigurationError,
    Lanes,
    Limits,
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


async def test_a_handler_that_blocks_the_event_loop_does_not_cost_the_membership(
    make_app: Callable[..., App], running: Any, topic: str
) -> None:
    app, seen, done = make_app(), [], anyio.Event()

    @app.handler(topic, retry=ONE_TIER)
    async def handle(number: int) -> None:
        if number == 0:
            threading.Event().wait(1.5)
        seen.append(number)
        if len(seen) == 2:
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


async def test_the_group_protocol_is_the_newest_that_the_brokers_have(bootstrap: str) -> None:
    assert await has_consumer_protocol(bootstrap)


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


def consumer_of(app: App) -> Any:
    """The consumer of an app's one group."""
    return app._engine._groups[0]._membership.consumer  # type: ignore[union-attr]


async def test_a_partition_that_was_paused_when_it_was_given_up_is_read_when_it_comes_back(
    make_app: Callable[..., App], topic: str, aeventually: Any
) -> None:
    """librdkafka remembers that a partition is paused, through any number of assignments."""
    seen: set[int] = set()
    release, all_seen = anyio.Event(), anyio.Event()
    total = 160

    def member() -> App:
        app = make_app(topic, limits=Limits(records_in_flight=16, revoke_s=0.2, drain_s=10.0))

        @app.handler(topic, retry=ONE_TIER, lanes=Lanes(order="none", concurrency=4))
        async def handle(number: int) -> None:
            await release.wait()
            seen.add(number)
            if len(seen) == total:
                all_seen.set()

        return app

    first, second = member(), member()
    with anyio.fail_after(60):
        async with first, second, anyio.create_task_group() as tasks:
            for number in range(total // 2):
                await first.publish(topic, number, partition=number % 8)
            await start(first, tasks)
            await aeventually(lambda: len(consumer_of(first)._paused) == 8)
            await start(second, tasks)
            await aeventually(lambda: len(consumer_of(second)._assigned) >= 4, timeout=30)
            second.stop()
            release.set()
            for number in range(total // 2, total):
                await first.publish(topic, number, partition=number % 8)
            await all_seen.wait()
            first.stop()


async def test_a_member_that_stops_while_it_joins_does_not_hold_up_its_group(
    make_app: Callable[..., App], topic: str, aeventually: Any
) -> None:
    """librdkafka does not leave a group that it is joining; the others would wait for 45 s."""
    all_seen, seen = anyio.Event(), set[int]()

    def member() -> App:
        app = make_app(topic)

        @app.handler(topic, retry=ONE_TIER)
        async def handle(number: int) -> None:
            seen.add(number)
            if len(seen) == 16:
                all_seen.set()

        return app

    first, second = member(), member()
    with anyio.fail_after(30):
        async with first, second, anyio.create_task_group() as tasks:
            await start(first, tasks)
            await start(second, tasks)
            await aeventually(lambda: len(consumer_of(first)._assigned) < 8, timeout=30)
            second.stop()
            for number in range(16):
                await first.publish(topic, number, partition=number % 8)
            await all_seen.wait()
            first.stop()

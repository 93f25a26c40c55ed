"""Synchronous handlers: threads side by side, retried, and not to be killed."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import anyio
import anyio.abc
import anyio.from_thread
import anyio.lowlevel
import anyio.to_thread
import pytest
from tenacity import stop_after_attempt, wait_fixed

from mq import (
    App,
    Lanes,
    Limits,
    RetryPolicy,
)

pytestmark = pytest.mark.anyio

ONE_TIER = RetryPolicy(tiers=["1s"])


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

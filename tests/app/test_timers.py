"""Timers: in order of their time, never early, forgotten when cancelled."""

from __future__ import annotations

import time

import anyio
import anyio.lowlevel
import pytest

from mq.app.timers import Timers

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"]),
]


async def test_calls_are_made_in_order_of_their_time_and_never_early() -> None:
    timers, made, done = Timers(), [], anyio.Event()

    def note(delay: float) -> None:
        made.append((delay, time.monotonic()))
        if len(made) == 4:
            done.set()

    started = time.monotonic()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(timers.run)
        for delay in (0.06, 0.02, 0.04, 0.0):
            timers.after(delay, lambda delay=delay: note(delay))  # type: ignore[misc]
            await anyio.lowlevel.checkpoint()
        with anyio.fail_after(10):
            await done.wait()
        tasks.cancel_scope.cancel()
    assert [delay for delay, _ in made] == [0.0, 0.02, 0.04, 0.06]
    assert all(at - started >= delay for delay, at in made)


async def test_a_cancelled_call_is_never_made() -> None:
    timers, made, done = Timers(), [], anyio.Event()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(timers.run)
        timers.after(0.01, lambda: made.append("cancelled")).cancel()
        timers.after(0.02, done.set)
        with anyio.fail_after(10):
            await done.wait()
        tasks.cancel_scope.cancel()
    assert made == []

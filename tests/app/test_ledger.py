"""The one law: every record ends handled, dropped or dead, whatever happens on the way."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from typing import Any

import anyio
import anyio.to_thread
import msgspec
import pytest
from tenacity import stop_after_attempt, wait_chain, wait_fixed

from mq import App, Dead, Drop, Lanes, Message, RetryPolicy
from mq.app.dead_letters import DeadLetter
from mq.record import Record

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

POLICY = RetryPolicy(
    wait=wait_chain(wait_fixed(0.02), wait_fixed(0.3), wait_fixed(0.02)),
    stop=stop_after_attempt(4),
    in_place=0.1,
    tiers=["200ms", "400ms"],
)
FATES = ("fine", "fine", "fine", "once", "thrice", "always", "drop", "dead", "hang")
RECORDS = 300


def value_of(record: Record) -> int:
    return msgspec.msgpack.decode(record.value or b"", type=int)


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
async def test_every_record_ends_while_members_come_and_go(
    make_app: Callable[..., App],
    topic: str,
    unique: Callable[..., str],
    read: Any,
    count_records: Any,
    aeventually: Any,
    seed: int,
) -> None:
    chance = random.Random(seed)
    fates = [chance.choice(FATES) for _ in range(RECORDS)]
    name, output = unique("group"), unique("output")
    handled: Counter[int] = Counter()
    dropped: Counter[int] = Counter()
    attempts: Counter[int] = Counter()

    def declare(app: App) -> App:
        @app.handler(topic, sends=output, retry=POLICY, lanes=Lanes(concurrency=20, timeout=0.3))
        async def handle(number: int, message: Message) -> int:
            attempts[number] += 1
            fate = fates[number]
            await anyio.sleep(chance.random() * 0.005)
            if fate == "always" or (fate == "once" and message.attempt < 2):
                raise ConnectionError(fate)
            if fate == "thrice" and message.attempt < 4:
                raise ConnectionError(fate)
            if fate == "hang" and message.attempt < 2:
                await anyio.sleep_forever()
            if fate == "dead":
                raise Dead(fate)
            if fate == "drop":
                dropped[number] += 1
                raise Drop(fate)
            handled[number] += 1
            return number

        return app

    apps = [declare(make_app(name)) for _ in range(2)]
    doomed = {number for number, fate in enumerate(fates) if fate in ("always", "dead")}
    living = set(range(RECORDS)) - doomed

    def everything(where: str) -> list[Record]:
        return list(read(where, count_records(where)))

    def buried() -> set[int]:
        return {value_of(letter) for letter in everything(f"dlq.{name}.{topic}")}

    async def all_doomed_are_dead() -> bool:
        return await anyio.to_thread.run_sync(buried) == doomed

    async def come_and_go(app: App, times: int) -> None:
        for _ in range(times):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(app.run)
                await anyio.sleep(chance.uniform(0.2, 0.8))
                app.stop()

    with anyio.fail_after(100):
        async with apps[0]:
            for number in range(RECORDS):
                apps[0].publish_nowait(topic, number, key=str(number % 17))
            async with anyio.create_task_group() as tasks:
                for app in apps:
                    tasks.start_soon(come_and_go, app, 3)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(apps[0].run)
                await aeventually(lambda: {*handled, *dropped} >= living, timeout=60)
                await aeventually(all_doomed_are_dead, timeout=60)
                apps[0].stop()
    sent = await anyio.to_thread.run_sync(everything, output)
    letters = await anyio.to_thread.run_sync(everything, f"dlq.{name}.{topic}")
    dead = [DeadLetter.from_record(letter) for letter in letters]
    assert {*handled, *dropped} == living
    assert {value_of(record) for record in sent} == {*handled}
    assert all(letter.attempt == 4 for letter in dead if letter.error_type != "mq.Dead")
    assert all(attempts[n] >= 4 for n, fate in enumerate(fates) if fate in ("always", "thrice"))

"""The mailbox: calls from threads run on the event loop, in order, whatever one of them raises."""

from __future__ import annotations

import threading

import anyio
import anyio.to_thread
import pytest

from mq.client.mailbox import Mailbox

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"]),
]


async def test_calls_run_on_the_event_loop_in_the_order_of_their_thread() -> None:
    got: list[tuple[int, int]] = []
    done, errors = anyio.Event(), []
    home = threading.current_thread()
    mailbox = Mailbox(errors.append)

    def note(sender: int, number: int) -> None:
        assert threading.current_thread() is home
        got.append((sender, number))
        if len(got) == 4_000:
            done.set()

    def send(sender: int) -> None:
        for number in range(1_000):
            mailbox.post(note, sender, number)

    threads = [threading.Thread(target=send, args=(sender,)) for sender in range(4)]
    for thread in threads:
        thread.start()
    with anyio.fail_after(20):
        await done.wait()
    for thread in threads:
        thread.join()
    assert errors == []
    for sender in range(4):
        assert [number for who, number in got if who == sender] == list(range(1_000))


async def test_a_call_that_raises_is_reported_and_stops_no_other() -> None:
    errors: list[BaseException] = []
    done = anyio.Event()
    mailbox = Mailbox(errors.append)
    mailbox.post(lambda: 1 / 0)
    mailbox.post(done.set)
    with anyio.fail_after(10):
        await done.wait()
    assert [type(error) for error in errors] == [ZeroDivisionError]


async def test_posting_to_a_loop_that_has_ended_is_no_error() -> None:
    mailboxes: list[Mailbox] = []

    def elsewhere() -> None:
        async def make() -> None:
            mailboxes.append(Mailbox(lambda _: None))

        anyio.run(make)

    await anyio.to_thread.run_sync(elsewhere)
    mailboxes[0].post(pytest.fail, "the loop is over")
    assert len(mailboxes) == 1

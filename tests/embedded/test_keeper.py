"""The broker's side of a lease, driven through real sockets on one event loop."""

from __future__ import annotations

import asyncio
import json
import select
import socket
import threading

import pytest

from mq.embedded import LeaseKeeper
from mq.embedded import keeper as keeper_module
from mq.embedded.directory import Announcement, split
from mq.errors import ConfigurationError


class Starter:
    """The end of the socket pair that a starter holds."""

    def __init__(self) -> None:
        self.ours, self.theirs = socket.socketpair()
        self.ours.settimeout(10)

    def answer(self) -> dict[str, object]:
        return json.loads(self.ours.makefile("rb").readline())


async def join(data, token=None):
    announced = Announcement.read(data)
    host, port = split(announced.lease)
    reader, writer = await asyncio.open_connection(host, port)
    writer.write((token or announced.token).encode() + b"\n")
    return await reader.readline(), writer


async def released(keeper):
    async with asyncio.timeout(10):
        await keeper.wait_released()


@pytest.fixture
def starter():
    starter = Starter()
    yield starter
    starter.ours.close()
    starter.theirs.close()


def test_the_starter_is_told_the_address_once_it_is_served(tmp_path, starter):
    async def scenario():
        keeper = LeaseKeeper(tmp_path, starter.theirs)
        await keeper.announce("127.0.0.1:9")
        assert await asyncio.to_thread(starter.answer) == {
            "address": "127.0.0.1:9",
            "embedded": True,
        }
        starter.ours.close()
        await released(keeper)

    asyncio.run(scenario())


def test_a_starter_that_died_before_the_broker_was_ready_ends_it(tmp_path, starter):
    async def scenario():
        starter.ours.close()
        keeper = LeaseKeeper(tmp_path, starter.theirs)
        await keeper.announce("127.0.0.1:9")
        await released(keeper)

    asyncio.run(scenario())


def test_a_broker_that_cannot_start_tells_its_starter_why(tmp_path, starter):
    keeper = LeaseKeeper(tmp_path, starter.theirs)
    keeper.refuse(ConfigurationError("no room on the disk"))
    assert starter.answer() == {"error": "no room on the disk", "exit_code": 2}
    starter.theirs.close()


def test_a_lease_taken_while_the_broker_lingers_keeps_it(tmp_path, starter, monkeypatch):
    monkeypatch.setenv("MQ_LINGER", "3600")

    async def scenario():
        keeper = LeaseKeeper(tmp_path, starter.theirs)
        await keeper.announce("127.0.0.1:9")
        starter.ours.close()
        answer, writer = await join(tmp_path)
        assert json.loads(answer)["address"] == "127.0.0.1:9"
        keeper.hurry()
        writer.close()
        await released(keeper)

    asyncio.run(scenario())


def test_after_the_release_no_lease_is_granted(tmp_path, starter, monkeypatch):
    monkeypatch.setenv("MQ_LINGER", "0")

    async def scenario():
        keeper = LeaseKeeper(tmp_path, starter.theirs)
        await keeper.announce("127.0.0.1:9")
        starter.ours.close()
        await released(keeper)
        with pytest.raises(ConnectionRefusedError):
            await join(tmp_path)

    asyncio.run(scenario())


def test_a_wrong_token_is_no_lease(tmp_path, starter):
    async def scenario():
        keeper = LeaseKeeper(tmp_path, starter.theirs)
        await keeper.announce("127.0.0.1:9")
        for token in ("wrong", "x" * 5000, "\0"):
            answer, writer = await join(tmp_path, token)
            assert answer == b""
            writer.close()
        keeper.close()

    asyncio.run(scenario())


def test_a_broker_started_by_hand_can_be_leased_and_outlives_its_leases(tmp_path, monkeypatch):
    monkeypatch.setenv("MQ_LINGER", "0")

    async def scenario():
        keeper = LeaseKeeper(tmp_path)
        await keeper.announce("127.0.0.1:9")
        answer, writer = await join(tmp_path)
        assert json.loads(answer) == {"address": "127.0.0.1:9", "embedded": False}
        writer.close()
        await writer.wait_closed()
        again, writer = await join(tmp_path)
        assert again == answer
        writer.close()
        keeper.close()

    asyncio.run(scenario())


def test_a_linger_that_is_no_number_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("MQ_LINGER", "soon")
    with pytest.raises(ConfigurationError, match="MQ_LINGER"):
        LeaseKeeper(tmp_path)


def test_a_start_that_works_says_so_until_it_is_done(tmp_path, starter, monkeypatch):
    monkeypatch.setattr(keeper_module, "PROGRESS_S", 0.001)
    lines = starter.ours.makefile("rb")
    with LeaseKeeper(tmp_path, starter.theirs).starting():
        worked = []
        while len(worked) < 3:
            select.select([starter.ours], [], [], 0)  # some work, for there has to be some
            if select.select([starter.ours], [], [], 0)[0]:
                worked.append(json.loads(lines.readline())["progress_s"])
    assert worked == sorted(set(worked))


def test_a_start_that_hangs_says_nothing(tmp_path, starter, monkeypatch):
    monkeypatch.setattr(keeper_module, "PROGRESS_S", 0.001)
    monkeypatch.setattr(keeper_module.time, "process_time", lambda: 1.0)
    reports = threading.Event()
    real = keeper_module.threading.Event.wait
    waits = []

    def wait(event, seconds=None):
        waits.append(seconds)
        if len(waits) > 5:
            reports.set()
        return real(event, seconds)

    monkeypatch.setattr(keeper_module.threading.Event, "wait", wait)
    with LeaseKeeper(tmp_path, starter.theirs).starting():
        assert real(reports, 10)
    starter.ours.setblocking(False)
    with pytest.raises(BlockingIOError):
        starter.ours.recv(1)


def test_a_starter_that_was_killed_does_not_stop_the_start(tmp_path, starter, monkeypatch):
    monkeypatch.setattr(keeper_module, "PROGRESS_S", 0.0)
    monkeypatch.setattr(keeper_module, "PROGRESS_CPU_S", 0.0)
    starter.ours.close()
    with LeaseKeeper(tmp_path, starter.theirs).starting():
        pass
    assert "mq-progress" not in {thread.name for thread in threading.enumerate()}

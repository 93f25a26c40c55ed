"""Replies through real sockets that take them in small pieces."""

from __future__ import annotations

import asyncio
import random
import socket
from pathlib import Path

import pytest

from mq.broker.outbound import Outbound, Waits
from mq.broker.page_cache import PageCache
from mq.log.files import Files
from mq.log.slices import Slice

WAYS = [
    {"sendfile": True},
    {"sendfile": False},
    {"sendfile": True, "tells": False, "reads_nowait": False},
    {"sendfile": False, "tells": False, "reads_nowait": False},
]


@pytest.fixture
def content() -> bytes:
    return random.Random(1).randbytes(3_000_000)


@pytest.fixture
def file(tmp_path: Path, content: bytes):
    return Files().write(tmp_path / "a.log", content)


def piece(file, position, size, *, hot=False):
    return Slice(file.fd, position, size, hot, file)


async def received(outbound, warmed, theirs):
    """All that comes out at the other end, read a little at a time."""
    data = bytearray()
    while (waits := outbound.flush()) is not Waits.FOR_NOTHING:
        if waits is Waits.FOR_DISK:
            await warmed.wait()
            warmed.clear()
        else:
            data += theirs.recv(50_000)
    while outbound.queued or data_left(theirs):
        data += theirs.recv(50_000)
    return bytes(data)


def data_left(theirs):
    try:
        return theirs.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except BlockingIOError:
        return b""


def run(scenario, **way):
    """Run ``scenario(outbound, warmed, other end)`` on a loop, with a socket that takes little."""

    async def main():
        loop = asyncio.get_running_loop()
        sendfile = way.pop("sendfile")
        cache = PageCache(loop, **way)
        ours, theirs = socket.socketpair()
        with ours, theirs:
            ours.setblocking(False)
            ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 20_000)
            warmed = asyncio.Event()
            await scenario(Outbound(ours, cache, warmed.set, sendfile=sendfile), warmed, theirs)
        cache.close()

    asyncio.run(main())


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("seed", range(5))
def test_whatever_the_socket_takes_at_a_time_all_bytes_arrive_in_order(way, seed, file, content):
    chance = random.Random(seed)
    chunks, expected = [], bytearray()
    for _ in range(200):
        size = chance.choice([0, 1, 100, 8_192, 8_193, 60_000])
        position = chance.randrange(len(content) - size)
        part = content[position : position + size]
        expected += part
        as_slice = size and chance.random() < 0.5
        hot = chance.random() < 0.5
        chunks.append(piece(file, position, size, hot=hot) if as_slice else part)

    async def scenario(outbound, warmed, theirs):
        outbound.push(chunks)
        assert outbound.queued == len(expected)
        assert await received(outbound, warmed, theirs) == expected
        assert outbound.queued == 0

    run(scenario, **way)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("size", [100, 100_000])
def test_a_slice_of_a_deleted_file_is_sent(way, size, file, content):
    file.path.unlink()

    async def scenario(outbound, warmed, theirs):
        outbound.push([b"head", piece(file, 5, size), b"tail"])
        expected = b"head" + content[5 : 5 + size] + b"tail"
        assert await received(outbound, warmed, theirs) == expected

    run(scenario, **way)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("size", [100, 100_000])
def test_a_file_that_ends_before_its_slice_is_an_error(way, size, file, content):
    async def scenario(outbound, warmed, theirs):
        outbound.push([piece(file, len(content) - 50, size)])
        with pytest.raises(OSError, match="ends before its slice"):
            await received(outbound, warmed, theirs)

    run(scenario, **way)


def test_one_connection_does_not_keep_the_turn(file, content):
    """A socket that takes all is left after 4 MiB, for the others' sake."""

    class Greedy:
        def send(self, data, flags=0):
            return len(data)

    async def main():
        cache = PageCache(asyncio.get_running_loop())
        outbound = Outbound(Greedy(), cache, lambda: None, sendfile=False)
        outbound.push([piece(file, 0, len(content))] * 3)
        assert outbound.flush() is Waits.FOR_SOCKET
        assert 4_500_000 < outbound.queued < 5_000_000
        assert outbound.flush() is Waits.FOR_SOCKET
        assert outbound.flush() is Waits.FOR_NOTHING
        cache.close()

    asyncio.run(main())

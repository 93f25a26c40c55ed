"""Requests of our own: which protocol the brokers have, and leaving on behalf of the dead."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import anyio
import anyio.to_thread
import pytest
from confluent_kafka.admin import AdminClient, NewTopic

from mq.client.connection import has_consumer_protocol, leave_group
from mq.errors import BrokerUnreachable, PeerError

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"]),
]

MEMBER = """
import sys
from confluent_kafka import Consumer
bootstrap, group, topic, protocol = sys.argv[1:]
settings = {"bootstrap.servers": bootstrap, "group.id": group, "group.protocol": protocol}
consumer = Consumer(settings)
joined = lambda consumer, partitions: print(consumer.memberid(), flush=True)
consumer.subscribe([topic], on_assign=joined)
while True:
    consumer.poll(0.1)
"""


@contextmanager
def member(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A process that is a member of a group, and its member id."""
    command = [sys.executable, "-c", MEMBER, *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield process, process.stdout.readline().strip()
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


async def test_the_members_of_a_group_are_fewer_once_a_dead_one_has_left(
    bootstrap: str, engine: str, unique: Callable[..., str], aeventually: Any, anyio_backend: str
) -> None:
    topic, group = unique(), unique("group")
    admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0})
    admin.create_topics([NewTopic(topic, 1)])[topic].result()
    protocols = ["classic", "consumer"] if await has_consumer_protocol(bootstrap) else ["classic"]
    for protocol in protocols:
        name = f"{group}-{protocol}"

        def members(name: str = name) -> int:
            return len(admin.describe_consumer_groups([name])[name].result().members)

        with member(bootstrap, name, topic, protocol) as (process, member_id):
            assert members() == 1
            process.kill()
            with anyio.fail_after(20):
                await leave_group(bootstrap, name, member_id)
            await aeventually(lambda members=members: members() == 0)


async def test_leaving_for_somebody_who_is_not_there_is_no_error(
    bootstrap: str, unique: Callable[..., str], anyio_backend: str
) -> None:
    with anyio.fail_after(20):
        await leave_group(bootstrap, unique("group"), "nobody")
    assert await has_consumer_protocol(bootstrap) in (True, False)


async def test_nobody_there_is_an_error_of_its_own(anyio_backend: str) -> None:
    for address in ("127.0.0.1:1", "127.0.0.1:1,127.0.0.1:2", "no port", ""):
        with anyio.fail_after(10), pytest.raises(BrokerUnreachable):
            await has_consumer_protocol(address)


async def test_the_second_address_is_tried_if_the_first_is_dead(
    bootstrap: str, anyio_backend: str
) -> None:
    with anyio.fail_after(10):
        known = await has_consumer_protocol(bootstrap)
        assert await has_consumer_protocol(f"127.0.0.1:1, {bootstrap}") == known


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (b"", BrokerUnreachable),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", PeerError),
        (b"\x00\x00\x00\x06\x00\x00\x00\x63\x00\x00", PeerError),
    ],
)
async def test_something_that_is_no_kafka_is_noticed(
    answer: bytes, error: type[Exception], anyio_backend: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def reply() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(1000)
                connection.sendall(answer)

        thread = threading.Thread(target=reply)
        thread.start()
        with anyio.fail_after(10), pytest.raises(error):
            await has_consumer_protocol(f"127.0.0.1:{server.getsockname()[1]}")
        await anyio.to_thread.run_sync(thread.join)

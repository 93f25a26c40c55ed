"""Order, back-pressure, limits, and bytes that are no requests."""

from __future__ import annotations

import errno
import random
import resource
import socket
import struct

import pytest

from mq.broker.server import Limits
from mq.broker.settings import Settings
from mq.wire.messages.api_versions import ApiVersionsRequest
from mq.wire.messages.metadata import MetadataRequest

NOISE = {
    "random bytes": random.Random(1).randbytes(4096),
    "a web browser": b"GET / HTTP/1.1\r\nHost: here\r\n\r\n",
    "a length of 2**31 - 1": struct.pack(">i", 2**31 - 1) + b"x",
    "a negative length": struct.pack(">i", -5),
    "an empty frame": struct.pack(">i", 0),
    "half a header": struct.pack(">i", 3) + b"abc",
    "an array without end": struct.pack(">ihhihi", 14, 3, 1, 1, -1, 2**31 - 1),
}


@pytest.mark.parametrize("noise", NOISE.values(), ids=NOISE.keys())
def test_noise_ends_its_own_connection_and_no_other(broker, connect, client, noise):
    noisy = connect(broker)
    noisy.socket.sendall(noise)
    assert noisy.is_closed()
    assert client.ask(ApiVersionsRequest(), 0).error_code == 0


def test_a_bug_in_a_handler_ends_one_connection(broker, connect, client, monkeypatch, caplog):
    def broken(frame, slot):
        raise ZeroDivisionError("a bug")

    other = connect(broker)
    assert other.ask(ApiVersionsRequest(), 0).error_code == 0
    monkeypatch.setattr(broker.server, "serve", broken)
    client.send(ApiVersionsRequest(), 0)
    assert client.is_closed()
    assert "a bug" in caplog.text
    monkeypatch.undo()
    assert other.ask(ApiVersionsRequest(), 0).error_code == 0


def test_requests_that_arrive_byte_by_byte_are_answered(client):
    request = bytearray()

    class Recorder:
        sendall = request.extend

    real, client.socket = client.socket, Recorder()
    client.send(ApiVersionsRequest(), 2)
    client.socket = real
    for byte in request:
        real.sendall(bytes([byte]))
    assert client.receive().error_code == 0


def test_answers_come_in_the_order_of_requests(broker, client, wire):
    """A fetch that waits holds back the answers behind it, though these are ready."""
    client.create("t")
    client.send(wire.fetch_request("t", max_wait_ms=60_000), 12)
    client.send(wire.produce_request("t", wire.batch(b"a")), 9)
    client.send(ApiVersionsRequest(), 0)
    fetched = client.receive().responses[0].partitions[0]
    assert wire.values_in(fetched.records) == [b"a"]
    assert client.receive().responses[0].partition_responses[0].error_code == 0
    assert client.receive().error_code == 0


def test_a_hundred_pipelined_batches_keep_their_order(client, wire):
    client.create("t")
    for number in range(100):
        client.send(wire.produce_request("t", wire.batch(b"%d" % number)), 9)
    offsets = [client.receive().responses[0].partition_responses[0].base_offset for _ in range(100)]
    assert offsets == list(range(100))
    assert wire.values_in(client.fetch("t").records) == [b"%d" % n for n in range(100)]


def test_a_client_that_does_not_read_is_not_read_from(start_broker, connect, wire, eventually):
    broker = start_broker(limits=Limits(unsent_bytes=100_000, unanswered=10))
    client, other = connect(broker), connect(broker)
    client.create("t")
    client.produce("t", bytes(500_000))
    for _ in range(200):
        client.send(wire.fetch_request("t"), 12)
    assert other.ask(ApiVersionsRequest(), 0).error_code == 0

    def state():
        connections = broker.server._connections
        return max((c._outbound.queued, len(c._slots), c._reading) for c in connections)

    queued, unanswered, reading = eventually(
        lambda: told if (told := broker.call(state))[0] > 100_000 else None
    )
    assert queued < 1_000_000
    assert unanswered <= 10
    assert not reading
    for _ in range(200):
        assert len(client.receive().responses[0].partitions[0].records) > 500_000


def test_a_request_longer_than_the_limit_is_refused(start_broker, connect):
    broker = start_broker(limits=Limits(frame_bytes=10_000))
    client = connect(broker)
    client.socket.sendall(struct.pack(">i", 10_001) + bytes(100))
    assert client.is_closed()


def test_unfinished_requests_may_not_eat_the_memory(start_broker, connect):
    limits = Limits(frame_bytes=1 << 20, unfinished_bytes=1 << 20)
    broker = start_broker(limits=limits)
    hoarders = [connect(broker) for _ in range(4)]
    for hoarder in hoarders[:-1]:
        hoarder.socket.sendall(struct.pack(">i", 1 << 20) + bytes(300_000))
        assert broker.call(lambda: broker.server._unfinished_bytes) <= 1 << 20
    last = hoarders[-1]
    try:
        last.socket.sendall(struct.pack(">i", 1 << 20) + bytes(1_000_000))
    except ConnectionError:
        pass  # cut in the middle of it
    assert any(hoarder.is_closed() for hoarder in reversed(hoarders))
    assert connect(broker).ask(ApiVersionsRequest(), 0).error_code == 0


def test_connections_beyond_the_limit_are_closed(start_broker, connect):
    broker = start_broker(limits=Limits(connections=2))
    first, second = connect(broker), connect(broker)
    assert first.ask(ApiVersionsRequest(), 0).error_code == 0
    assert second.ask(ApiVersionsRequest(), 0).error_code == 0
    assert connect(broker).is_closed()


def test_idle_and_stalled_connections_are_cut(start_broker, connect, wire, eventually):
    broker = start_broker(limits=Limits(idle_s=0.0, frame_s=0.0))
    idle, stalled, waiting = (connect(broker) for _ in range(3))
    for client in (idle, stalled, waiting):
        assert client.ask(ApiVersionsRequest(), 0).error_code == 0
    waiting.create("t")
    waiting.send(wire.fetch_request("t", max_wait_ms=60_000), 12)
    stalled.socket.sendall(b"\x00")
    eventually(lambda: broker.call(lambda: len(broker.broker.fetches)) == 1)
    eventually(
        lambda: broker.call(
            lambda: any(c.frame_since is not None for c in broker.server._connections)
        )
    )
    broker.call(broker.server._sweep)
    assert idle.is_closed()
    assert stalled.is_closed()
    assert waiting.is_silent()


def test_a_fetch_of_a_client_that_left_is_forgotten(broker, client, wire, eventually):
    client.create("t")
    client.send(wire.fetch_request("t", max_wait_ms=600_000), 12)
    eventually(lambda: broker.call(lambda: len(broker.broker.fetches)) == 1)
    client.close()
    eventually(lambda: broker.call(lambda: len(broker.broker.fetches)) == 0)


def test_accepting_goes_on_after_file_descriptors_run_out(broker, connect, monkeypatch):
    real = socket.socket.accept
    refusals = iter([OSError(errno.EMFILE, "Too many open files")])

    def accept(listener):
        for error in refusals:
            raise error
        return real(listener)

    monkeypatch.setattr(socket.socket, "accept", accept)
    assert connect(broker).ask(ApiVersionsRequest(), 0).error_code == 0


def test_the_address_that_was_dialled_is_advertised(broker, client):
    (node,) = client.ask(MetadataRequest(topics=[]), 9).brokers
    assert (node.host, node.port) == tuple(broker.address)


def test_a_client_that_takes_no_answers_is_cut(start_broker, connect, wire, eventually):
    broker = start_broker(limits=Limits(idle_s=0.0, unsent_bytes=1000))
    client = connect(broker)
    client.create("t")
    client.produce("t", bytes(900_000))
    for _ in range(20):
        client.send(wire.fetch_request("t"), 12)
    (connection,) = broker.server._connections
    eventually(lambda: broker.call(lambda: connection._writing))
    broker.call(broker.server._sweep)
    assert connection.closed


def test_connections_leave_descriptors_for_the_files(monkeypatch):
    def limited(soft):
        monkeypatch.setattr(resource, "getrlimit", lambda _: (soft, soft))
        return Limits().connections

    assert limited(1024) == 512
    assert limited(1 << 20) == 10_000
    assert limited(resource.RLIM_INFINITY) == 10_000


def test_requests_may_be_as_long_as_kafkas():
    assert Limits().frame_bytes == Settings().socket_request_max_bytes == 104_857_600
    assert Settings().described()["socket.request.max.bytes"] == "104857600"

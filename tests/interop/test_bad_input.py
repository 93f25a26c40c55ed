"""Bytes that no client of Kafka's sends: refused at once, at no cost to memory or neighbours."""

from __future__ import annotations

import random
import socket
import struct
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import Producer

from tools.apache_kafka import answers
from tools.mq_broker import MqBroker

pytestmark = pytest.mark.slow

MIB = 1024 * 1024
GROWTH_MAX = 16 * MIB
TIMEOUT_S = 20.0


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MqBroker]:
    with MqBroker.start(tmp_path_factory.mktemp("bad-input"), durability="os") as broker:
        yield broker


def memory(broker: MqBroker) -> int:
    """The broker's resident bytes."""
    pages = int(Path(f"/proc/{broker.pid}/statm").read_text().split()[1])
    return pages * 4096


def connect(broker: MqBroker) -> socket.socket:
    host, _, port = broker.bootstrap.rpartition(":")
    return socket.create_connection((host, int(port)), timeout=TIMEOUT_S)


def is_closed(connection: socket.socket) -> bool:
    """Whether the broker ends the connection without having said anything."""
    try:
        return connection.recv(1) == b""
    except ConnectionResetError:
        return True


def request(api_key: int, version: int, body: bytes = b"", correlation_id: int = 7) -> bytes:
    frame = struct.pack(">hhih", api_key, version, correlation_id, -1) + body
    return struct.pack(">i", len(frame)) + frame


REFUSED = {
    "a length of 2**31 - 1": struct.pack(">i", 2**31 - 1) + b"x" * 100,
    "a negative length": struct.pack(">i", -1),
    "a length of 0": struct.pack(">i", 0),
    "a length too short for a header": struct.pack(">i", 3) + b"abc",
    "an unknown API key": request(999, 0),
    "a negative API key": request(-1, 0),
    "a version never offered": request(0, 99),
    "the greeting of the web": b"GET / HTTP/1.1\r\nHost: broker\r\n\r\n",
    "the greeting of TLS": bytes.fromhex("16030100c8010000c40303") + bytes(200),
    "an array of 2**31 - 1 entries": request(3, 1, struct.pack(">i", 2**31 - 1)),
    "an array longer than its frame": request(3, 1, struct.pack(">i", 1_000) + b"\x00\x01a"),
    "a string longer than its frame": request(3, 1, struct.pack(">ih", 1, 30_000) + b"a"),
    "a varint without an end": request(3, 12, b"\x00" + b"\xff" * 20),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_no_client_sends_closes_the_connection(case: str, broker: MqBroker) -> None:
    with connect(broker) as connection:
        connection.sendall(REFUSED[case])
        assert is_closed(connection)
    assert answers(broker.bootstrap)


def test_a_corrupt_batch_gets_its_error_code_and_nothing_is_appended(broker: MqBroker) -> None:
    topic = "corrupt"
    producer = Producer({"bootstrap.servers": broker.bootstrap})
    producer.produce(topic, b"a good record", partition=0)
    assert producer.flush(30) == 0
    with connect(broker) as connection:
        batch = bytearray(61) + b"garbage"
        struct.pack_into(">qiib", batch, 0, 0, len(batch) - 12, 0, 2)
        struct.pack_into(">i", batch, 57, 1)
        connection.sendall(produce_request(topic, bytes(batch)))
        error, base_offset = produce_answer(connection, topic)
    corrupt_message, unset = 2, -1
    assert (error, base_offset) == (corrupt_message, unset)
    producer.produce(
        topic, b"the next", partition=0, on_delivery=lambda _, m: at.append(m.offset())
    )
    at: list[int] = []
    assert producer.flush(30) == 0
    assert at == [1]


def produce_request(topic: str, records: bytes) -> bytes:
    """Produce version 3, written by hand: no transaction, acks=all, one partition."""
    name = topic.encode()
    body = struct.pack(">hhii", -1, -1, 10_000, 1) + struct.pack(">h", len(name)) + name
    return request(0, 3, body + struct.pack(">iii", 1, 0, len(records)) + records)


def produce_answer(connection: socket.socket, topic: str) -> tuple[int, int]:
    """The error code and base offset of the one partition in a Produce answer of version 3."""
    with connection.makefile("rb") as stream:
        (size,) = struct.unpack(">i", stream.read(4))
        answer = stream.read(size)
    place = 4 + 4 + 2 + len(topic) + 4  # correlation id, topics, name, partitions
    _, error, base_offset = struct.unpack_from(">ihq", answer, place)
    return error, base_offset


def test_a_thousand_bad_connections_leave_memory_flat_and_neighbours_alone(
    broker: MqBroker,
) -> None:
    neighbour = Neighbour(broker.bootstrap)
    neighbour.start()
    chance = random.Random(3)
    send_garbage(broker, chance, 100)  # whatever is made at first use is made before we measure
    before = memory(broker)
    send_garbage(broker, chance, 1_000)
    growth = memory(broker) - before
    neighbour.stop.set()
    neighbour.join()
    assert neighbour.failures == []
    assert neighbour.acknowledged > 0
    assert growth < GROWTH_MAX, f"the broker grew by {growth / MIB:.1f} MiB"
    assert "Traceback" not in broker.log.read_text()


def send_garbage(broker: MqBroker, chance: random.Random, count: int) -> None:
    """Connect `count` times with random bytes, or with a true header and a random body."""
    for number in range(count):
        with connect(broker) as connection:
            noise = chance.randbytes(chance.randrange(1, 2_000))
            if number % 2:
                noise = request(chance.randrange(0, 93), chance.randrange(0, 20), noise)
            try:
                connection.sendall(noise)
                connection.shutdown(socket.SHUT_WR)
                while connection.recv(65536):
                    pass
            except OSError:
                continue  # closed while we were still talking: refused, as it should be


def test_promised_but_unsent_frames_cost_no_memory(broker: MqBroker) -> None:
    """Three hundred clients announce 16 MiB each and stop talking."""
    before = memory(broker)
    waiting = []
    try:
        for _ in range(300):
            connection = connect(broker)
            waiting.append(connection)
            connection.sendall(struct.pack(">i", 16 * MIB) + b"\x00\x00\x00\x09")
        assert answers(broker.bootstrap)
        assert memory(broker) - before < GROWTH_MAX
    finally:
        for connection in waiting:
            connection.close()


class Neighbour(threading.Thread):
    """A well-behaved producer that notes every failure."""

    def __init__(self, bootstrap: str) -> None:
        super().__init__()
        self.stop = threading.Event()
        self.failures: list[str] = []
        self.acknowledged = 0
        self._producer = Producer({"bootstrap.servers": bootstrap})

    def run(self) -> None:
        while not self.stop.is_set():
            self._producer.produce("neighbour", b"x", on_delivery=self._delivered)
            if self._producer.flush(TIMEOUT_S):
                self.failures.append("an acknowledgement did not come")

    def _delivered(self, error: object, _: object) -> None:
        if error is not None:
            self.failures.append(str(error))
        self.acknowledged += 1

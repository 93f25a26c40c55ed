"""Kafka's protocol by hand: requests of exact sizes, answers that nobody looks into.

Where a figure is about a broker's cost for requests of one size, a real client would blur it: it
chooses its own sizes. Here requests are encoded before the clock runs, and an answer is read into
one buffer. Versions are fixed ones that both engines speak.
"""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Iterator, Sequence
from typing import Final, TypeVar

from mq.wire.batch import BatchRecord, encode_batch
from mq.wire.fields import Request, Response
from mq.wire.framing import decode_response, encode_request
from mq.wire.messages.fetch import FetchPartition, FetchRequest, FetchTopic
from mq.wire.messages.list_offsets import (
    ListOffsetsPartition,
    ListOffsetsPartitionResponse,
    ListOffsetsRequest,
    ListOffsetsResponse,
    ListOffsetsTopic,
)
from mq.wire.messages.produce import (
    PartitionProduceData,
    ProduceRequest,
    TopicProduceData,
)

KIB = 2**10
TIMEOUT_S = 120.0
VERSIONS: Final = {0: 9, 1: 12, 2: 7, 3: 12, 8: 8, 9: 8}  # all name topics, none needs their ids

_BUFFER_BYTES = 8 * 2**20
_SIZE: Final = struct.Struct(">i")
_TIMEOUT: Final = struct.pack("ll", int(TIMEOUT_S), 0)  # a timeval

R = TypeVar("R", bound=Response)


class Connection:
    """A blocking connection to a broker."""

    def __init__(self, bootstrap: str) -> None:
        host, _, port = bootstrap.rpartition(":")
        self._socket = socket.create_connection((host, int(port)), timeout=TIMEOUT_S)
        self._socket.settimeout(None)  # or MSG_WAITALL does not wait; the kernel minds the time
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, _TIMEOUT)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._buffer = memoryview(bytearray(_BUFFER_BYTES))

    def send(self, request: bytes) -> None:
        """Send a request that was encoded before."""
        self._socket.sendall(request)

    def skip(self) -> int:
        """Receive one answer and forget it; returns its size."""
        (size,) = _SIZE.unpack(self._receive(4))
        self._receive(size)
        return int(size)

    def ask(self, request: Request, kind: type[R]) -> R:
        """Send a request and return its answer."""
        version = VERSIONS[request.API_KEY]
        self.send(encoded(request))
        (size,) = _SIZE.unpack(self._receive(4))
        _, answer = decode_response(bytes(self._receive(size)), type(request), version)
        assert isinstance(answer, kind)
        return answer

    def pipeline(self, requests: Iterator[bytes], depth: int) -> int:
        """Send all requests, so many of them ahead of the answers; returns the answers' bytes."""
        waiting = received = 0
        for request in requests:
            if waiting == depth:
                received += self.skip()
                waiting -= 1
            self.send(request)
            waiting += 1
        return received + sum(self.skip() for _ in range(waiting))

    def rate(self, requests: Iterator[bytes], depth: int) -> float:
        """Do that; returns the requests per second."""
        count, started = 0, time.perf_counter()

        def counted() -> Iterator[bytes]:
            nonlocal count
            for count, request in enumerate(requests, start=1):  # noqa: B007
                yield request

        self.pipeline(counted(), depth)
        return count / (time.perf_counter() - started)

    def _receive(self, size: int) -> memoryview:
        into = self._buffer[:size]
        assert len(into) == size, f"an answer of {size} bytes"
        if size and self._socket.recv_into(into, size, socket.MSG_WAITALL) != size:
            raise ConnectionError("the broker closed the connection")
        return into

    def close(self) -> None:
        """Hang up."""
        self._socket.close()

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def encoded(request: Request) -> bytes:
    """A request as it is sent."""
    return encode_request(1, "bench", request, VERSIONS[request.API_KEY])


def batch_of(size: int, record_size: int, timestamp_ms: int | None = None) -> tuple[bytes, int]:
    """A batch of exactly `size` bytes and how many records it has, all of one time: now if none.

    The last record is a little longer than the others, to fill it up.
    """
    if timestamp_ms is None:  # what is older than a week would be deleted while it is read
        timestamp_ms = time.time_ns() // 1_000_000
    record = BatchRecord(None, bytes(record_size), (), timestamp_ms)
    one, two = (len(encode_batch([record] * count)) for count in (1, 2))
    count = max(1, (size - one) // (two - one + 2))  # 2: later offsets are longer
    length = record_size
    for _ in range(8):  # a longer length may itself need one byte more
        last = BatchRecord(None, bytes(length), (), timestamp_ms)
        batch = encode_batch([*[record] * (count - 1), last])
        if len(batch) == size:
            return batch, count
        length += size - len(batch)
    raise ValueError(f"no batch of such records has {size} bytes")


def produce(topic: str, batches: dict[int, bytes]) -> ProduceRequest:
    """A batch for each of these partitions, with acks=all."""
    data = [PartitionProduceData(index, batch) for index, batch in batches.items()]
    return ProduceRequest(
        acks=-1, timeout_ms=30_000, topic_data=[TopicProduceData(topic, partition_data=data)]
    )


def fetch(topic: str, partition: int, offset: int, bytes_max: int) -> FetchRequest:
    """So many bytes from one partition, without waiting for more."""
    wanted = FetchPartition(partition, -1, offset, partition_max_bytes=bytes_max)
    return FetchRequest(
        max_wait_ms=500,
        min_bytes=1,
        max_bytes=bytes_max,
        topics=[FetchTopic(topic, partitions=[wanted])],
    )


def records_in(connection: Connection, topic: str, partitions: int) -> int:
    """How many records a topic holds from which none were deleted; so one sees that requests whose
    answers were skipped did what they say."""
    found = _ends(connection, topic, partitions)
    assert not any(partition.error_code for partition in found)
    return sum(partition.offset for partition in found)


def wait_until_led(bootstrap: str, topic: str, partitions: int) -> None:
    """Return when a topic that was just created answers for all its partitions, which in Kafka is
    a little later than its creation."""
    deadline = time.monotonic() + TIMEOUT_S
    with Connection(bootstrap) as connection:
        while any(one.error_code for one in _ends(connection, topic, partitions)):
            assert time.monotonic() < deadline, f"{topic} has no leaders"
            time.sleep(0.01)


def _ends(
    connection: Connection, topic: str, partitions: int
) -> Sequence[ListOffsetsPartitionResponse]:
    wanted = [ListOffsetsPartition(index, timestamp=-1) for index in range(partitions)]
    request = ListOffsetsRequest(replica_id=-1, topics=[ListOffsetsTopic(topic, wanted)])
    return connection.ask(request, ListOffsetsResponse).topics[0].partitions


def offset_at(connection: Connection, topic: str, partition: int, timestamp_ms: int) -> int:
    """The first offset at or after a time."""
    wanted = ListOffsetsPartition(partition, timestamp=timestamp_ms)
    request = ListOffsetsRequest(replica_id=-1, topics=[ListOffsetsTopic(topic, [wanted])])
    found = connection.ask(request, ListOffsetsResponse).topics[0].partitions[0]
    assert not found.error_code, f"ListOffsets failed with {found.error_code}"
    return found.offset


def fill(
    connection: Connection, topic: str, partitions: int, batch: tuple[bytes, int], rounds: int
) -> int:
    """Append the same batch to each partition of an empty topic, that many times.

    Returns:
        How many records that is, in all partitions together.
    """
    data, records = batch
    requests = [encoded(produce(topic, {index: data})) for index in range(partitions)]
    connection.pipeline((request for _ in range(rounds) for request in requests), depth=4)
    found = records_in(connection, topic, partitions)
    assert found == records * rounds * partitions, f"only {found} records were appended"
    return found

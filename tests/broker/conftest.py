"""A broker in this process, on a loop of its own in another thread, and a client of raw frames.

The client speaks through our own codec, which is checked against others elsewhere; here it allows
what no library would: wrong versions, half frames, answers counted byte by byte.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
import time
import uuid

import pytest

from mq.broker.broker import Broker
from mq.broker.dispatcher import Dispatcher
from mq.broker.outbound import SENDFILE
from mq.broker.page_cache import PageCache
from mq.broker.server import Limits, Server
from mq.broker.settings import Settings
from mq.log.directory import DataDirectory
from mq.log.files import Files
from mq.wire.batch import NO_PRODUCER, BatchRecord, decode_batch, encode_batch, read_header
from mq.wire.framing import FrameReader, decode_response, encode_request
from mq.wire.messages.create_topics import CreatableTopic, CreateTopicsRequest
from mq.wire.messages.fetch import FetchPartition, FetchRequest, FetchTopic
from mq.wire.messages.produce import PartitionProduceData, ProduceRequest, TopicProduceData

TIMEOUT_S = 20.0


class GatedFiles(Files):
    """A disk whose syncs can be held up, or made to fail."""

    def __init__(self):
        super().__init__()
        self.gate = threading.Event()
        self.gate.set()
        self.error = None

    def sync(self, file):
        self._pass()
        super().sync(file)

    def write_through(self, file, buffers, position):
        self._pass()
        super().write_through(file, buffers, position)

    def _pass(self):
        assert self.gate.wait(TIMEOUT_S)
        if self.error is not None:
            raise self.error


class RunningBroker:
    """A broker that serves until :meth:`stop`."""

    def __init__(self, path, *, durability, sendfile, page_cache, new_loop, limits, settings):
        self.files = GatedFiles()
        self.failures = []
        self._path = path
        self._durability = durability
        self._sendfile = sendfile
        self._page_cache = page_cache
        self._new_loop = new_loop
        self._limits = limits
        self._settings = settings
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, name="broker", daemon=True)
        self._thread.start()
        assert self._ready.wait(TIMEOUT_S)

    def _run(self):
        with asyncio.Runner(loop_factory=self._new_loop) as runner:
            runner.run(self._serve())

    async def _serve(self):
        self.loop = asyncio.get_running_loop()
        self._ended = asyncio.Event()
        directory = DataDirectory.open(
            self._path,
            durability=self._durability,
            now_ms=time.time_ns() // 1_000_000,
            files=self.files,
        )
        self.broker = Broker(directory, self.loop, self._settings, self.failures.append)
        self.server = Server(
            Dispatcher(self.broker).serve,
            limits=self._limits,
            sendfile=self._sendfile,
            page_cache=PageCache(self.loop, **self._page_cache),
        )
        listener = socket.create_server(("127.0.0.1", 0))
        self.address = self.server.listen(listener)
        self._ready.set()
        await self._ended.wait()
        self.server.stop_listening()
        self.server.close()
        self.broker.close()
        if self._clean and not self.failures:
            directory.close()
        else:
            directory.abandon()

    def call(self, function):
        """Run a function on the broker's loop and return its result."""

        async def run():
            return function()

        return asyncio.run_coroutine_threadsafe(run(), self.loop).result(TIMEOUT_S)

    def stop(self, *, clean=True):
        if self._thread.is_alive():
            self._clean = clean
            self.loop.call_soon_threadsafe(self._ended.set)
            self._thread.join(TIMEOUT_S)
            assert not self._thread.is_alive()


class Client:
    """One connection of raw frames."""

    def __init__(self, address):
        self.socket = socket.create_connection(address, TIMEOUT_S)
        self._reader = FrameReader()
        self._frames = []
        self._asked = []
        self._last_id = 0

    def send(self, request, version):
        """Send a request without waiting for its answer."""
        self._last_id += 1
        self._asked.append((self._last_id, type(request), version))
        self.socket.sendall(encode_request(self._last_id, "test", request, version))

    def receive(self):
        """The answer to the oldest request that has none."""
        correlation_id, kind, version = self._asked.pop(0)
        answered, response = decode_response(self.frame(), kind, version)
        assert answered == correlation_id
        return response

    def ask(self, request, version):
        """Send a request and return its answer."""
        self.send(request, version)
        return self.receive()

    def frame(self):
        """The next frame, whatever it says."""
        while not self._frames:
            data = self.socket.recv(1 << 20)
            assert data, "the broker closed the connection"
            self._frames += self._reader.feed(data)
        return self._frames.pop(0)

    def is_closed(self):
        """Whether the broker has closed the connection without another word."""
        try:
            return self.socket.recv(1) == b""
        except ConnectionResetError:
            return True

    def is_silent(self, seconds=0.05):
        """Whether nothing comes. Only to show that something is held back by a closed gate."""
        self.socket.settimeout(seconds)
        try:
            return self.socket.recv(1, socket.MSG_PEEK) == b"" and False
        except TimeoutError:
            return True
        finally:
            self.socket.settimeout(TIMEOUT_S)

    # What nearly every test asks.

    def create(self, topic, partitions=1, **configs):
        """Create a topic; returns its id."""
        from mq.wire.messages.create_topics import CreatableTopicConfig

        wanted = CreatableTopic(
            name=topic,
            num_partitions=partitions,
            replication_factor=1,
            configs=[
                CreatableTopicConfig(name=name.replace("_", "."), value=value)
                for name, value in configs.items()
            ],
        )
        (result,) = self.ask(CreateTopicsRequest(topics=[wanted]), 7).topics
        assert result.error_code == 0, result
        return result.topic_id

    def produce(self, topic, *values, partition=0, **options):
        """Produce one batch; returns what the broker says of the partition."""
        request = produce_request(topic, batch(*values), partition=partition, **options)
        (told,) = self.ask(request, 9).responses
        return told.partition_responses[0]

    def fetch(self, topic, offset=0, *, partition=0, version=12, **options):
        """Fetch one partition; returns what the broker says of it."""
        self.send(fetch_request(topic, offset, partition=partition, **options), version)
        return self.receive().responses[0].partitions[0]

    def close(self):
        self.socket.close()


def batch(*values, producer=NO_PRODUCER, timestamp=None, attributes=0):
    """A batch of records with these values."""
    now = time.time_ns() // 1_000_000 if timestamp is None else timestamp
    records = [BatchRecord(None, value, timestamp=now) for value in values]
    return encode_batch(records, producer=producer, attributes=attributes)


def produce_request(topic, records, *, partition=0, acks=-1, transactional_id=None):
    data = PartitionProduceData(index=partition, records=records)
    named = (
        TopicProduceData(topic_id=topic, partition_data=[data])
        if isinstance(topic, uuid.UUID)
        else TopicProduceData(name=topic, partition_data=[data])
    )
    return ProduceRequest(
        acks=acks, timeout_ms=5000, topic_data=[named], transactional_id=transactional_id
    )


def fetch_request(
    topic, offset=0, *, partition=0, max_wait_ms=0, min_bytes=1, max_bytes=1 << 24, **options
):
    wanted = FetchPartition(partition=partition, fetch_offset=offset, partition_max_bytes=max_bytes)
    for name in ("current_leader_epoch", "last_fetched_epoch"):
        if name in options:
            setattr(wanted, name, options.pop(name))
    named = (
        FetchTopic(topic_id=topic, partitions=[wanted])
        if isinstance(topic, uuid.UUID)
        else FetchTopic(topic=topic, partitions=[wanted])
    )
    return FetchRequest(
        max_wait_ms=max_wait_ms, min_bytes=min_bytes, max_bytes=1 << 25, topics=[named], **options
    )


def values_in(records):
    """The values of all records in fetched bytes; what is cut off at the end is left out."""
    found = []
    position = 0
    while len(records) - position >= 61:
        header = read_header(records, position)
        if header.length > len(records) - position:
            break
        found += [record.value for record in decode_batch(records, position)]
        position += header.length
    return found


class Wire:
    """The functions above, for tests (which cannot import this file)."""

    batch = staticmethod(batch)
    produce_request = staticmethod(produce_request)
    fetch_request = staticmethod(fetch_request)
    values_in = staticmethod(values_in)

    @staticmethod
    def raw(api_key, version, body=b"", correlation_id=7):
        """A framed request of any bytes, with the header that old versions have."""
        frame = struct.pack(">hhih", api_key, version, correlation_id, -1) + body
        return struct.pack(">i", len(frame)) + frame


@pytest.fixture
def wire():
    return Wire


@pytest.fixture
def start_broker(tmp_path):
    """``start_broker(durability="sync", ...)`` starts a broker over this test's directory."""
    running = []

    def start(
        *,
        durability="sync",
        sendfile=SENDFILE,
        page_cache=None,
        new_loop=asyncio.new_event_loop,
        limits=None,
        settings=None,
        path=tmp_path / "data",
    ):
        broker = RunningBroker(
            path,
            durability=durability,
            sendfile=sendfile,
            page_cache=page_cache or {},
            new_loop=new_loop,
            limits=limits or Limits(),
            settings=settings or Settings(),
        )
        running.append(broker)
        return broker

    yield start
    for broker in running:
        broker.files.gate.set()
        broker.stop()


@pytest.fixture
def broker(start_broker):
    """A broker as a user starts it."""
    return start_broker()


@pytest.fixture
def connect():
    """``connect(broker)`` gives a raw client."""
    with contextlib.ExitStack() as stack:

        def connect_to(broker):
            client = Client(broker.address)
            stack.callback(client.close)
            return client

        yield connect_to


@pytest.fixture
def client(broker, connect):
    """A raw client of ``broker``."""
    return connect(broker)

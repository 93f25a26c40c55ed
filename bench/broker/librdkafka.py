"""librdkafka without a Python object for each record.

confluent-kafka spends 5 µs of Python on every record that it hands out, several times what a broker
does for it: a measurement through it shows the client. Here the very same library, the one that
confluent-kafka brings along, is called through ctypes for a thousand records at a time. Settings
are librdkafka's own and the same for every engine.
"""

from __future__ import annotations

import ctypes
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import confluent_kafka

MIB = 2**20
TIMEOUT_S = 120.0

PRODUCER_SETTINGS = {
    "acks": "all",
    "linger.ms": 5,
    "batch.size": MIB,
    "queue.buffering.max.messages": 10_000_000,
    "queue.buffering.max.kbytes": 2_000_000,
}
CONSUMER_SETTINGS = {
    "group.id": "bench",
    "enable.auto.commit": False,
    "fetch.max.bytes": 64 * MIB,
    "queued.max.messages.kbytes": 256 * 1024,
    # By default it pauses for a second whenever 100,000 records of a partition wait for us.
    "queued.min.messages": 10_000_000,
    "fetch.queue.backoff.ms": 1,
}
QUIET = {"log_level": 2}  # an engine that ends before its client is no news here

_PRODUCER, _CONSUMER = 0, 1
_ERROR_BYTES = 512
_BLOCK = 10_000  # records that one call may enqueue


class _Message(ctypes.Structure):
    """`rd_kafka_message_t`."""

    _fields_ = (
        ("err", ctypes.c_int),
        ("rkt", ctypes.c_void_p),
        ("partition", ctypes.c_int32),
        ("payload", ctypes.c_void_p),
        ("len", ctypes.c_size_t),
        ("key", ctypes.c_void_p),
        ("key_len", ctypes.c_size_t),
        ("offset", ctypes.c_int64),
        ("_private", ctypes.c_void_p),
    )


class _Partition(ctypes.Structure):
    """`rd_kafka_topic_partition_t`."""

    _fields_ = (
        ("topic", ctypes.c_char_p),
        ("partition", ctypes.c_int32),
        ("offset", ctypes.c_int64),
        ("metadata", ctypes.c_void_p),
        ("metadata_size", ctypes.c_size_t),
        ("opaque", ctypes.c_void_p),
        ("err", ctypes.c_int),
        ("_private", ctypes.c_void_p),
    )


_Delivered = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.POINTER(_Message), ctypes.c_void_p)


def _load() -> ctypes.CDLL:
    package = Path(confluent_kafka.__file__).parent
    bundled = sorted(package.with_name("confluent_kafka.libs").glob("librdkafka*.so*"))
    library = ctypes.CDLL(str(bundled[0]) if bundled else "librdkafka.so.1")
    for name in (
        "rd_kafka_conf_new",
        "rd_kafka_new",
        "rd_kafka_topic_new",
        "rd_kafka_queue_get_consumer",
        "rd_kafka_topic_partition_list_new",
        "rd_kafka_topic_partition_list_add",
    ):
        getattr(library, name).restype = ctypes.c_void_p
    return library


_library = _load()


def _client(kind: int, settings: Mapping[str, Any], delivered: Any = None) -> ctypes.c_void_p:
    """A handle of librdkafka; `delivered` hears of every record that failed."""
    configuration = ctypes.c_void_p(_library.rd_kafka_conf_new())
    error = ctypes.create_string_buffer(_ERROR_BYTES)
    for name, value in {**QUIET, **settings}.items():
        text = str(value).lower() if isinstance(value, bool) else str(value)
        if _library.rd_kafka_conf_set(
            configuration, name.encode(), text.encode(), error, _ERROR_BYTES
        ):
            raise ValueError(error.value.decode())
    if delivered is not None:
        _library.rd_kafka_conf_set_dr_msg_cb(configuration, delivered)
    handle = _library.rd_kafka_new(kind, configuration, error, _ERROR_BYTES)
    if not handle:
        raise ValueError(error.value.decode())
    return ctypes.c_void_p(handle)


class FastProducer:
    """Produces zeros; records of one size to one topic. A failed record fails the measurement."""

    def __init__(self, bootstrap: str, topic: str, record_size: int, **settings: Any) -> None:
        self.sent = 0
        self._failures = 0
        self._callback = _Delivered(self._failed)  # kept: librdkafka does not hold it
        wanted = {
            **PRODUCER_SETTINGS,
            **{name.replace("_", "."): value for name, value in settings.items()},
            "bootstrap.servers": bootstrap,
            "delivery.report.only.error": True,
        }
        self._handle = _client(_PRODUCER, wanted, self._callback)
        self._topic = ctypes.c_void_p(
            _library.rd_kafka_topic_new(self._handle, topic.encode(), None)
        )
        self._payload = ctypes.create_string_buffer(record_size)
        self._messages = (_Message * _BLOCK)()
        for message in self._messages:
            message.payload = ctypes.addressof(self._payload)
            message.len = record_size

    def _failed(self, _handle: Any, _message: Any, _opaque: Any) -> None:
        self._failures += 1

    @property
    def waiting(self) -> int:
        """How many records are not acknowledged yet."""
        count: int = _library.rd_kafka_outq_len(self._handle)
        return count

    @property
    def acknowledged(self) -> int:
        """How many are."""
        return self.sent - self.waiting

    def produce(self, partition: int, count: int) -> None:
        """Enqueue records to one partition."""
        done = _library.rd_kafka_produce_batch(self._topic, partition, 0, self._messages, count)
        assert done == count, "librdkafka's queue is full"
        self.sent += count

    def serve(self, seconds: float = 0.0) -> None:
        """Let librdkafka report failures, waiting so long for one."""
        _library.rd_kafka_poll(self._handle, int(1000 * seconds))
        assert not self._failures, f"{self._failures} records failed"

    def flush(self) -> None:
        """Wait until everything is acknowledged."""
        assert _library.rd_kafka_flush(self._handle, int(1000 * TIMEOUT_S)) == 0, "flush timed out"
        self.serve()

    def close(self) -> None:
        """Wait for what is on its way, so that nothing of it runs into the next measurement."""
        self.flush()
        _library.rd_kafka_topic_destroy(self._topic)
        _library.rd_kafka_destroy(self._handle)


class Load:
    """Producers that never run out of work: as many records on their way as `backlog` says.

    `block` records go to one partition, then as many to the next; each producer has partitions of
    its own.
    """

    def __init__(
        self, producers: Sequence[FastProducer], partitions: int, *, block: int, backlog: int
    ) -> None:
        assert block <= _BLOCK
        self._producers = producers
        self._block = block
        self._backlog = backlog
        count = len(producers)
        self._partitions = [range(number, partitions, count) for number in range(count)]
        self._turns = [0] * count

    def warm_up(self) -> None:
        """Bring a record to every partition, so that all connections and topics are known."""
        for producer, partitions in zip(self._producers, self._partitions, strict=True):
            for partition in partitions:
                producer.produce(partition, 1)
        for producer in self._producers:
            producer.flush()

    def run(self, seconds: float) -> float:
        """Keep them busy for so long, or until something is acknowledged on a machine that is
        very busy; returns the records acknowledged per second."""
        started, before = time.perf_counter(), self._acknowledged()
        while True:
            elapsed, done = time.perf_counter() - started, self._acknowledged() - before
            if elapsed >= seconds and done:
                return done / elapsed
            assert elapsed < TIMEOUT_S, "nothing is acknowledged"
            if not self._feed():
                self._producers[0].serve(0.001)

    def _acknowledged(self) -> int:
        return sum(producer.acknowledged for producer in self._producers)

    def _feed(self) -> bool:
        """Give a block to each producer that has room for it; whether there was one."""
        fed = False
        for number, producer in enumerate(self._producers):
            if producer.waiting <= self._backlog:
                partitions = self._partitions[number]
                producer.produce(partitions[self._turns[number] % len(partitions)], self._block)
                producer.serve()
                self._turns[number] += 1
                fed = True
        return fed


class FastConsumer:
    """Consumes a topic from the beginning and looks at nothing."""

    def __init__(self, bootstrap: str, topic: str, partitions: int, **settings: Any) -> None:
        wanted = {
            **CONSUMER_SETTINGS,
            **{name.replace("_", "."): value for name, value in settings.items()},
            "bootstrap.servers": bootstrap,
        }
        self._handle = _client(_CONSUMER, wanted)
        _library.rd_kafka_poll_set_consumer(self._handle)
        self._queue = ctypes.c_void_p(_library.rd_kafka_queue_get_consumer(self._handle))
        self._assigned = ctypes.c_void_p(_library.rd_kafka_topic_partition_list_new(partitions))
        self._partitions = [
            ctypes.cast(
                _library.rd_kafka_topic_partition_list_add(self._assigned, topic.encode(), number),
                ctypes.POINTER(_Partition),
            ).contents
            for number in range(partitions)
        ]
        # What librdkafka calls with each record is a function of its own that reads one field.
        self._ignore = ctypes.cast(_library.rd_kafka_message_leader_epoch, ctypes.c_void_p)

    def rate(self, records: int) -> float:
        """Consume all `records` of the topic; how many came per second after the first ones."""
        for partition in self._partitions:
            partition.offset = 0
        _library.rd_kafka_assign(self._handle, self._assigned)
        self._consume()
        started, first = time.perf_counter(), self._position()
        seen = first
        while seen < records:
            seen += self._consume()
            if seen >= records:  # what is consumed need not be a record: ask
                seen = self._position()
        return (seen - first) / (time.perf_counter() - started)

    def _position(self) -> int:
        """How many records were consumed, as the offsets say that come next."""
        _library.rd_kafka_position(self._handle, self._assigned)
        return sum(max(0, partition.offset) for partition in self._partitions)

    def _consume(self) -> int:
        count: int = _library.rd_kafka_consume_callback_queue(
            self._queue, int(1000 * TIMEOUT_S), self._ignore, None
        )
        assert count > 0, "no more records"
        return count

    def close(self) -> None:
        """Let go of the client."""
        _library.rd_kafka_consumer_close(self._handle)
        _library.rd_kafka_topic_partition_list_destroy(self._assigned)
        _library.rd_kafka_queue_destroy(self._queue)
        _library.rd_kafka_destroy(self._handle)

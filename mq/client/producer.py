"""Sending records: librdkafka's producer and the thread that hears of deliveries.

Records go to the partition that Java's default partitioner would choose (murmur2), are acknowledged
by all in-sync replicas and are idempotent: a record is stored once although it may be sent twice.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable
from typing import Final

from confluent_kafka import KafkaError as RawError
from confluent_kafka import KafkaException
from confluent_kafka import Message as RawMessage
from confluent_kafka import Producer as RawProducer

from mq.client.endpoint import Endpoint
from mq.client.faults import ClientError, translate, translate_exception
from mq.errors import ConfigurationError, MqError

__all__ = ["Producer", "QueueFull", "Sending"]

logger = logging.getLogger("mq.client")

POLL_S: Final = 0.1
QUEUE_KBYTES_MAX: Final = 131_072
"""What may wait to be sent, beside librdkafka's limit of 100,000 records."""


class QueueFull(MqError):
    """So much waits to be sent that no more fits. Wait for acknowledgements, or send less."""


class Sending:
    """A record on its way. Subclass it to remember what else belongs to it.

    ``settled`` is called on the producer's thread once the outcome is known: ``error`` is None and
    ``partition``, ``offset`` and ``timestamp`` are set, or ``error`` tells why not.
    """

    __slots__ = ("error", "offset", "partition", "timestamp", "topic")

    def __init__(self, topic: str) -> None:
        self.topic = topic
        self.error: MqError | None = None
        self.partition = self.offset = self.timestamp = -1

    def settled(self) -> None:
        """The outcome is known. Called on the producer's thread; must not block."""
        raise NotImplementedError

    def delivered(self, error: RawError | None, message: RawMessage) -> None:
        """librdkafka's delivery report."""
        if error is None:
            self.partition = message.partition() or 0
            self.offset = message.offset() or 0
            self.timestamp = message.timestamp()[1]
        else:
            self.error = translate(error, f"a record for {self.topic} was not accepted")
        self.settled()


class Producer:
    """A producer for a whole process; safe to use from any thread.

    A record larger than ``message_bytes_max`` is refused here, before it can spoil the batch that
    it would share: brokers refuse whole batches.
    ``after_deliveries`` is called on the producer's thread after each burst of settled sendings,
    ``on_fatal`` when nothing can be sent any more.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        message_bytes_max: int,
        after_deliveries: Callable[[], object],
        on_fatal: Callable[[MqError], object],
    ) -> None:
        self._after_deliveries = after_deliveries
        self._on_fatal = on_fatal
        configuration = endpoint.configuration(
            self._error,
            {
                "acks": "all",
                "enable.idempotence": True,
                "partitioner": "murmur2_random",
                "linger.ms": 1,
                "message.timeout.ms": 120_000,
                "message.max.bytes": message_bytes_max,
                "queue.buffering.max.kbytes": QUEUE_KBYTES_MAX,
            },
        )
        try:
            self._raw = RawProducer(configuration)
        except KafkaException as error:
            raise ConfigurationError(f"no producer can be made: {error.args[0].str()}") from error
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._poll, name="mq-producer", daemon=True)
        self._thread.start()

    def send(
        self,
        sending: Sending,
        value: bytes | None,
        key: bytes | None = None,
        headers: Iterable[tuple[str, bytes | None]] = (),
        partition: int | None = None,
        timestamp: int = 0,
    ) -> None:
        """Hand a record over. ``sending`` hears of the outcome, unless this raises.

        ``timestamp`` is in milliseconds since the epoch; 0 means now.

        Raises:
            QueueFull: too much is waiting.
            MqError: the record can never be sent.
        """
        try:
            self._raw.produce(
                sending.topic,
                value,
                key,
                -1 if partition is None else partition,
                sending.delivered,
                timestamp=timestamp,
                headers=list(headers),
            )
        except BufferError as error:
            raise QueueFull(f"too much waits to be sent, at {sending.topic}") from error
        except KafkaException as error:
            raise translate_exception(error, f"a record for {sending.topic}") from error
        except (TypeError, ValueError) as error:
            raise ClientError(f"a record for {sending.topic} cannot be sent: {error}") from error

    def __len__(self) -> int:
        """How many records are not settled yet."""
        return len(self._raw)

    def close(self, timeout: float) -> int:
        """Send what waits, for at most ``timeout`` seconds. Blocks.

        Returns how many records were given up; each of them was settled with an error.
        """
        left = self._raw.flush(timeout)
        if left:
            self._raw.purge()
            self._raw.flush(1.0)
        self._closing.set()
        self._thread.join(timeout=1.0 + POLL_S)
        self._after_deliveries()
        return left

    def _poll(self) -> None:
        while not self._closing.is_set():
            if self._raw.poll(POLL_S):
                self._after_deliveries()

    def _error(self, error: RawError) -> None:
        if error.fatal():
            self._on_fatal(translate(error, "the producer cannot go on"))
        else:
            logger.warning("producer: %s", error.str())

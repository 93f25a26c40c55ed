"""Reads given stretches of partitions, once or for ever, and joins no group while doing so.

Offsets are resolved before the first record, so a reader that has an end reaches it however fast
others write. Control records and records of aborted transactions are not shown.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import Any, Final, NamedTuple, Self

from confluent_kafka import Consumer, KafkaException, Message
from confluent_kafka import KafkaError as ClientError
from confluent_kafka import TopicPartition as ClientPartition

from mq.cli.cluster import translated
from mq.record import Record, TopicPartition

__all__ = ["Reader", "Stretch"]

BATCH: Final = 1_000
WAIT_S: Final = 0.2
"""How often a reader looks up from waiting, so that Ctrl-C is heard."""


class Stretch(NamedTuple):
    """From ``begin`` up to and not including ``end``; None is without end."""

    begin: int
    end: int | None


class Reader:
    """Iterate to read; a context manager, since it holds connections."""

    def __init__(self, bootstrap: str, stretches: Mapping[TopicPartition, Stretch]) -> None:
        self._left = {
            partition: stretch
            for partition, stretch in stretches.items()
            if stretch.end is None or stretch.begin < stretch.end
        }
        self._consumer = Consumer(
            {
                "bootstrap.servers": bootstrap,
                "client.id": "mq-cli",
                "group.id": "mq-cli",  # required by the client; nothing is joined or committed
                "enable.auto.commit": False,
                "enable.partition.eof": True,
                "auto.offset.reset": "earliest",  # retention may overtake a slow reader
                "fetch.wait.max.ms": 50,  # a partition that is done must not hold up its neighbours
                "isolation.level": "read_committed",
                "allow.auto.create.topics": False,
                "log_level": 0,
            }
        )
        if self._left:
            with translated():
                self._consumer.assign(
                    [ClientPartition(*each, at.begin) for each, at in self._left.items()]
                )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._consumer.close()

    def __iter__(self) -> Iterator[Record]:
        while self._left:
            for message in self._arrived():
                partition = TopicPartition(str(message.topic()), int(message.partition() or 0))
                offset = int(message.offset() or 0)
                if error := message.error():
                    self._at_end_or_failed(error, partition, offset)
                elif self._wanted(partition, offset):
                    headers: Any = message.headers() or ()  # a list, whatever its annotation says
                    key, value = message.key(), message.value()
                    timestamp = message.timestamp()[1]
                    yield Record(*partition, offset, timestamp, key, value, tuple(headers))

    def _arrived(self) -> list[Message]:
        """What is there, or the first that comes: asked for more, the client would wait for all."""
        with translated():
            return self._consumer.consume(BATCH, 0) or self._consumer.consume(1, WAIT_S)

    def _wanted(self, partition: TopicPartition, offset: int) -> bool:
        stretch = self._left.get(partition)
        if stretch is None:
            return False
        if stretch.end is not None and offset + 1 >= stretch.end:
            self._finish(partition)
        return stretch.end is None or offset < stretch.end

    def _at_end_or_failed(self, error: ClientError, partition: TopicPartition, offset: int) -> None:
        if error.code() != ClientError._PARTITION_EOF:
            if not error.retriable():
                with translated(str(partition)):
                    raise KafkaException(error)
            return
        stretch = self._left.get(partition)
        if stretch and stretch.end is not None and offset >= stretch.end:
            self._finish(partition)  # its last offsets hold no records

    def _finish(self, partition: TopicPartition) -> None:
        del self._left[partition]
        self._consumer.incremental_unassign([ClientPartition(*partition)])

"""Looks on: an ordinary Kafka consumer that reads all their topics and keeps a tally per order.

It uses nothing of mq's on purpose. Whatever mq does (payloads, retries, dead letters) lies in
ordinary topics, and any Kafka client in any language can watch it.
"""

from __future__ import annotations

import threading
from collections import Counter
from types import TracebackType
from typing import Any, Self

import msgspec
from confluent_kafka import Consumer
from confluent_kafka import Message as Raw

from examples.orders.events import Payment

__all__ = ["Watcher"]

EVERYTHING = r"^((retry|dlq)\.)?(orders|payments|notifications|notices)\..*"


class Watcher:
    """What has happened so far. The thread of the watcher writes, anyone may read.

    Attributes:
        notices: how often each order's customer was told.
        payments: the payment of each order.
        hops: how many records took the way through a retry topic.
        dead: the error type of each dead order.
    """

    def __init__(self, bootstrap: str) -> None:
        self.seen: Counter[str] = Counter()
        self._places: set[tuple[str | None, int | None, int | None]] = set()
        self.notices: Counter[str] = Counter()
        self.payments: dict[str, Payment] = {}
        self.hops = 0
        self.dead: dict[str, str] = {}
        self._consumer = Consumer(
            {
                "bootstrap.servers": bootstrap,
                "group.id": "watcher",
                "auto.offset.reset": "earliest",
                "topic.metadata.refresh.interval.ms": 300,
                "enable.auto.commit": False,
            }
        )
        self._consumer.subscribe([EVERYTHING])
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._read, name="watcher")

    def _read(self) -> None:
        while not self._done.is_set():
            for record in self._consumer.consume(500, 0.1):
                if record.error() is None:
                    self._note(record)

    def _note(self, record: Raw) -> None:
        place = (record.topic(), record.partition(), record.offset())
        if place in self._places:  # topics appear one by one, and each makes it begin again
            return
        self._places.add(place)
        topic, key = str(record.topic()), (record.key() or b"").decode()
        family = topic.partition(".")[0] if topic.startswith(("retry.", "dlq.")) else topic
        self.seen[family] += 1
        match family:
            case "retry":
                self.hops += 1
            case "dlq":
                headers: dict[str, Any] = dict(record.headers() or ())
                self.dead[key] = headers["mq-error-type"].decode().rpartition(".")[2]
            case "payments.taken":
                self.payments[key] = msgspec.msgpack.decode(record.value() or b"", type=Payment)
            case "notices.sent":
                self.notices[key] += 1

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._done.set()
        self._thread.join()
        self._consumer.close()

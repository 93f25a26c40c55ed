"""Publishing: values become records, acknowledgements become receipts.

What is published while a handler runs belongs to the record that it handles: that record is done
only when all of it is acknowledged. The context variable :data:`current_sender` says whose turn it
is; it travels with the context into tasks and threads that the handler starts.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Mapping
from contextvars import ContextVar
from typing import Any, Final, NamedTuple, Protocol, TypeAlias
from uuid import UUID

import anyio
import anyio.lowlevel

from mq.app.codecs import CODECS, CONTENT_TYPE, Codec, EncodeError, codec_named, encode
from mq.app.identity import new_id
from mq.app.provenance import ID
from mq.app.topics import check_topic
from mq.client.endpoint import Endpoint
from mq.client.mailbox import Mailbox
from mq.client.producer import Producer, QueueFull, Sending
from mq.errors import BrokerUnreachable, MqError

__all__ = [
    "Arrival",
    "Content",
    "Headers",
    "PendingReceipt",
    "Publisher",
    "Receipt",
    "Sender",
    "as_headers",
    "as_key",
    "current_sender",
]

Headers: TypeAlias = (
    Mapping[str, str | bytes | None] | Iterable[tuple[str, str | bytes | None]] | None
)
"""How headers can be given: a mapping, or pairs where a name may occur more than once."""

_KNOWN_TOPICS_MAX: Final = 10_000


class Receipt(NamedTuple):
    """A record that is stored. ``timestamp`` is in milliseconds since the epoch."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    id: str


class Content(NamedTuple):
    """A record as it is sent."""

    value: bytes | None
    key: bytes | None
    headers: Iterable[tuple[str, bytes | None]]
    partition: int | None = None
    timestamp: int = 0


class Sender(Protocol):
    """The record on whose behalf something is sent."""

    def next_id(self) -> str:
        """The name for its next message."""

    def sends(self, receipt: PendingReceipt) -> None:
        """Something is on its way for it. From any thread."""

    def sent(self, receipt: PendingReceipt) -> None:
        """One of its sends is settled, for better or worse. Called on the event loop."""


current_sender: ContextVar[Sender | None] = ContextVar("mq_current_sender", default=None)


class Arrival(Sending):
    """A sending whose outcome comes home to the event loop, as a call of :meth:`arrive`."""

    __slots__ = ("is_alone", "publisher")

    def __init__(self, topic: str, publisher: Publisher) -> None:
        super().__init__(topic)
        self.is_alone = False  # nothing else of its topic is on the way
        self.publisher = publisher

    def settled(self) -> None:
        self.publisher.arrivals.append(self)

    def arrive(self) -> None:
        """The outcome is known."""
        raise NotImplementedError


class PendingReceipt(Arrival):
    """A receipt to come: ``await`` it, or :meth:`wait` for it in a thread."""

    __slots__ = ("_event", "_sender", "_thread_event", "id", "is_settled")

    def __init__(self, topic: str, publisher: Publisher, id: str, sender: Sender | None) -> None:  # noqa: A002
        super().__init__(topic, publisher)
        self.id = id
        self.is_settled = False
        self._sender = sender
        self._event: anyio.Event | None = None
        self._thread_event: threading.Event | None = None

    def __await__(self) -> Generator[Any, Any, Receipt]:
        return self._receive().__await__()

    async def _receive(self) -> Receipt:
        if self.is_settled:
            await anyio.lowlevel.checkpoint()
        else:
            self._event = self._event or anyio.Event()
            await self._event.wait()
        return self._receipt()

    def wait(self, timeout: float | None = None) -> Receipt:
        """Block this thread, which must not be the event loop's, until the record is stored.

        Raises:
            TimeoutError: nothing was heard within ``timeout`` seconds; it may still be stored.
            MqError: the record was not accepted.
        """
        event = self._thread_event = self._thread_event or threading.Event()
        if not self.is_settled and not event.wait(timeout):
            raise TimeoutError(f"no acknowledgement from {self.topic} within {timeout} s")
        return self._receipt()

    def started(self) -> None:
        """It is on its way: the record that sends it is not done before it has arrived."""
        if self._sender is not None:
            self._sender.sends(self)

    def disown(self) -> None:
        """Nobody's record waits for it any more."""
        self._sender = None

    def arrive(self) -> None:
        self.is_settled = True
        if self._event is not None:
            self._event.set()
        if self._thread_event is not None:
            self._thread_event.set()
        if self._sender is not None:
            self._sender.sent(self)

    def _receipt(self) -> Receipt:
        if self.error is not None:
            raise self.error
        return Receipt(self.topic, self.partition, self.offset, self.timestamp, self.id)


class Publisher:
    """The one producer of a process, and what is asked of it.

    Args:
        endpoint: where to publish.
        codec: for values that are published without naming one.
        message_bytes_max: the largest record that may be sent.
        mailbox: brings outcomes to the event loop; without one they stay on the producer's thread,
            which suits programs that have no loop.
        on_fatal: hears that nothing can be sent any more.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        codec: Codec,
        *,
        message_bytes_max: int,
        mailbox: Mailbox | None,
        on_fatal: Callable[[MqError], object] = lambda _: None,
    ) -> None:
        self.arrivals: deque[Arrival] = deque()
        self._codec = codec
        self._mailbox = mailbox
        self._known_topics: set[str] = set()
        self._room: anyio.Event | None = None
        self._waiting: deque[tuple[Arrival, Content]] = deque()
        self._bootstrap = endpoint.bootstrap
        self._alone: dict[str, deque[tuple[Arrival, Content]]] = {}
        self._producer = Producer(
            endpoint,
            message_bytes_max=message_bytes_max,
            after_deliveries=self._after_deliveries,
            on_fatal=on_fatal,
        )

    async def publish(self, topic: str, value: Any, **options: Any) -> Receipt:
        """As :meth:`publish_nowait`, but waits for room and for the acknowledgement."""
        pending, content = self._prepare(topic, value, **options)
        while True:
            try:
                self._start(pending, content)
            except QueueFull:
                self._room = self._room or anyio.Event()
                await self._room.wait()
            else:
                return await pending

    def publish_nowait(self, topic: str, value: Any, **options: Any) -> PendingReceipt:
        """Start to send; from any thread. See :meth:`mq.App.publish` for the arguments.

        Raises:
            QueueFull: too much waits to be sent.
            EncodeError: the value cannot be written.
            ConfigurationError: the topic's name is not legal.
        """
        pending, content = self._prepare(topic, value, **options)
        self._start(pending, content)
        return pending

    def _prepare(
        self,
        topic: str,
        value: Any,
        *,
        key: Any = None,
        headers: Headers = None,
        codec: str | Codec | None = None,
        partition: int | None = None,
        timestamp: int = 0,
    ) -> tuple[PendingReceipt, Content]:
        """The record with its name, which it keeps however often it has to be started."""
        data, given = self.write(topic, value, headers, codec)
        sender = current_sender.get()
        named = _named(given)
        identity = named or (new_id() if sender is None else sender.next_id())
        if named is None:
            given.append((ID, identity.encode()))
        pending = PendingReceipt(topic, self, identity, sender)
        return pending, Content(data, as_key(key), given, partition, timestamp)

    def _start(self, pending: PendingReceipt, content: Content) -> None:
        self._producer.send(pending, *content)
        pending.started()

    def write(
        self, topic: str, value: Any, headers: Headers, codec: str | Codec | None
    ) -> tuple[bytes | None, list[tuple[str, bytes | None]]]:
        """The bytes of a value, and the headers with the content type among them.

        Raises:
            EncodeError, ConfigurationError: as :meth:`publish_nowait`.
        """
        if topic not in self._known_topics:
            check_topic(topic)
            if len(self._known_topics) < _KNOWN_TOPICS_MAX:
                self._known_topics.add(topic)
        given = as_headers(headers)
        if value is None:
            return None, given
        if codec is not None:
            chosen = codec_named(codec)
        elif isinstance(value, bytes):
            chosen = CODECS["raw"]
        else:
            chosen = self._codec
        data = encode(chosen, value)
        if not any(name == CONTENT_TYPE for name, _ in given):
            given.append((CONTENT_TYPE, chosen.content_type.encode()))
        return data, given

    def post(self, arrival: Arrival, content: Content, *, alone: bool = False) -> None:
        """Send what must be sent: waits in a queue of its own if there is no room.

        A record that can never be sent arrives with an error, like one that was refused.
        ``alone`` sends a record in a batch of its own: brokers refuse batches that are too large as
        a whole, and only alone does a record learn whether it is itself too large. Until all such
        records of a topic have arrived, the others that are posted to it queue up behind them.
        """
        queue = self._alone.get(arrival.topic)
        if queue is not None:
            queue.append((arrival, content))
            return
        if alone:
            self._alone[arrival.topic] = deque()
            arrival.is_alone = True
        if self._waiting:
            self._waiting.append((arrival, content))
        else:
            self._post(arrival, content)

    def _after_alone(self, topic: str) -> None:
        """The next of those that are sent one at a time."""
        queue = self._alone.pop(topic)
        if queue:
            arrival, content = queue.popleft()
            self.post(arrival, content, alone=True)
            self._alone[topic].extend(queue)

    def _post(self, arrival: Arrival, content: Content) -> None:
        try:
            self._producer.send(
                arrival, content.value, content.key, content.headers, content.partition
            )
        except QueueFull:
            self._waiting.appendleft((arrival, content))
        except MqError as error:
            arrival.error = error
            arrival.settled()
            self._after_deliveries()

    def close(self, timeout: float) -> None:
        """Send what waits, for at most ``timeout`` seconds. Blocks.

        Raises:
            BrokerUnreachable: so many records could not be sent.
        """
        left = self._producer.close(timeout)
        if left:
            raise BrokerUnreachable(
                f"{left} records were not acknowledged by {self._bootstrap} within {timeout:g} s"
            )

    def _after_deliveries(self) -> None:
        if not self.arrivals:
            return
        if self._mailbox is not None:
            self._mailbox.post(self._bring_in)
        else:
            self._bring_in()

    def _bring_in(self) -> None:
        arrivals = self.arrivals
        while arrivals:
            arrival = arrivals.popleft()
            if arrival.is_alone:
                arrival.is_alone = False
                self._after_alone(arrival.topic)
            arrival.arrive()
        waiting = self._waiting
        for _ in range(len(waiting)):
            before = len(waiting)
            self._post(*waiting.popleft())
            if len(waiting) == before:
                break  # it came back: still no room
        if self._room is not None:
            self._room.set()
            self._room = None


def as_key(key: Any) -> bytes | None:
    """The bytes of a key: text in UTF-8, integers in decimal digits, UUIDs in their usual form.

    Raises:
        EncodeError: it is none of these.
    """
    if key is None or isinstance(key, bytes):
        return key
    if isinstance(key, str):
        return key.encode()
    if isinstance(key, int | UUID) and not isinstance(key, bool):
        return str(key).encode()
    raise EncodeError(f"a key is bytes, str, int or UUID, not {type(key).__qualname__}")


def as_headers(headers: Headers) -> list[tuple[str, bytes | None]]:
    """Headers as pairs of a name and bytes."""
    if headers is None:
        return []
    pairs = headers.items() if isinstance(headers, Mapping) else headers
    return [(name, v.encode() if isinstance(v, str) else v) for name, v in pairs]


def _named(headers: list[tuple[str, bytes | None]]) -> str | None:
    """The name that the caller gave the message, if he did."""
    for name, value in headers:
        if name == ID and value is not None:
            return value.decode(errors="replace")
    return None

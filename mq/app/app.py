"""The application: a name, handlers, and a connection while it is in use."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import (
    AbstractAsyncContextManager,
    AsyncExitStack,
    asynccontextmanager,
    contextmanager,
)
from dataclasses import replace
from types import TracebackType
from typing import Any, Final, NamedTuple, Self

import anyio
import anyio.to_thread

from mq.app.codecs import Codec, codec_named
from mq.app.declaration import Declaration
from mq.app.engine import Engine
from mq.app.limits import Limits
from mq.app.publishing import Headers, PendingReceipt, Publisher, Receipt
from mq.app.router import Router
from mq.app.session import Connected, connect
from mq.app.sync import SyncClient
from mq.app.topics import check_group
from mq.client.mailbox import Mailbox
from mq.errors import ConfigurationError

__all__ = ["App"]

FLUSH_S: Final = 30.0
"""How long the end of an application waits for acknowledgements."""


class _Open(NamedTuple):
    """What an application in use holds."""

    connected: Connected
    mailbox: Mailbox
    publisher: Publisher


class App(Router):
    """An application that handles topics and publishes to them.

        app = App("billing")

        @app.handler("orders.placed", sends="payments.taken")
        async def charge(order: Order) -> Payment: ...

    ``mq run billing.main:app`` runs it, or ``await app.run()`` inside another program. To publish
    without handling anything: ``async with app: await app.publish(...)``.

    Args:
        name: what the application is called; also the consumer group of its handlers.
        bootstrap: the address of a Kafka. Default: ``MQ_BOOTSTRAP``, ``mq.toml``, or else the
            broker embedded in the directory.
        codec: what published values are written in. Bytes are sent as they are.
        lifespan: a function of the app that returns an async context manager; entered before the
            first handler runs, left after the last one.
        limits: how much is in flight, and how long to wait for what.
        librdkafka: settings for librdkafka that mq has no opinion on, such as
            ``{"security.protocol": "SSL"}``.

    Raises:
        ConfigurationError: the name cannot be a consumer group.
    """

    def __init__(
        self,
        name: str,
        *,
        bootstrap: str | None = None,
        codec: str | Codec = "msgpack",
        lifespan: Callable[[App], AbstractAsyncContextManager[Any]] | None = None,
        limits: Limits | None = None,
        librdkafka: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.name = check_group(name)
        self.bootstrap = bootstrap
        self.limits = limits or Limits()
        self._codec = codec_named(codec)
        self._lifespan = lifespan
        self._librdkafka = dict(librdkafka or {})
        self._open: _Open | None = None
        self._users = 0
        self._opened: anyio.Event
        self._exit: AsyncExitStack | None = None
        self._engine: Engine | None = None
        self._stop_asked = threading.Event()

    @property
    def handlers(self) -> tuple[Declaration, ...]:
        """Everything declared, in order, also in included routers."""
        return tuple(
            declaration if declaration.options.group else replace(declaration, group=self.name)
            for declaration in self._all()
        )

    def _default_group(self) -> str:
        return self.name

    # publishing

    async def publish(
        self,
        topic: str,
        value: Any,
        *,
        key: Any = None,
        headers: Headers = None,
        codec: str | Codec | None = None,
        partition: int | None = None,
        timestamp: int = 0,
    ) -> Receipt:
        """Publish a value, and return when all in-sync replicas have it.

        Within a handler it also becomes part of the handler's record: that one is finished only
        when this one is acknowledged, and tried again if it is refused.

        Args:
            topic: where to.
            value: what; ``bytes`` are sent as they are, None as a null value.
            key: bytes, str, int or UUID. Records of one key go to one partition, the same one that
                Java's producer would choose.
            headers: names and values, as a mapping or as pairs.
            codec: what to write the value in, instead of the app's codec.
            partition: instead of the one that the key leads to.
            timestamp: in milliseconds since the epoch; 0 means now.

        Raises:
            KafkaError: the record was not accepted.
            EncodeError: the value or key cannot be written.
            ConfigurationError: the topic's name is not legal, or the app is not in use.
        """
        return await self._publisher.publish(
            topic,
            value,
            key=key,
            headers=headers,
            codec=codec,
            partition=partition,
            timestamp=timestamp,
        )

    def publish_nowait(
        self,
        topic: str,
        value: Any,
        *,
        key: Any = None,
        headers: Headers = None,
        codec: str | Codec | None = None,
        partition: int | None = None,
        timestamp: int = 0,
    ) -> PendingReceipt:
        """Start to publish a value: ``await`` the result for the receipt, or ``wait()`` for it in a
        thread. Arguments and errors as for :meth:`publish`; also from synchronous handlers.

        Raises:
            QueueFull: too much waits to be sent.
        """
        return self._publisher.publish_nowait(
            topic,
            value,
            key=key,
            headers=headers,
            codec=codec,
            partition=partition,
            timestamp=timestamp,
        )

    @contextmanager
    def sync(self) -> Iterator[SyncClient]:
        """A client for programs without an event loop: ``with app.sync() as client``.

        Raises:
            BrokerUnreachable: no broker answers, or at the end: not everything could be sent.
        """
        connected = self._connect()
        try:
            yield SyncClient(connected.publisher(self._codec, None))
        finally:
            connected.close(FLUSH_S)

    @property
    def _publisher(self) -> Publisher:
        if self._open is None:
            raise ConfigurationError(
                f"{self.name} is not in use: publish within `async with app`, or in a handler"
            )
        return self._open.publisher

    # in use

    async def __aenter__(self) -> Self:
        self._users += 1
        if self._users > 1:
            await self._opened.wait()
            if self._open is None:
                self._users -= 1
                raise ConfigurationError(f"{self.name} could not be taken into use")
            return self
        self._opened = anyio.Event()
        try:
            async with AsyncExitStack() as stack:
                self._open = await stack.enter_async_context(self._in_use())
                if self._lifespan is not None:
                    await stack.enter_async_context(self._lifespan(self))
                self._exit = stack.pop_all()
        except BaseException:
            self._users -= 1
            raise
        finally:
            self._opened.set()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._users -= 1
        if self._users == 0 and self._exit is not None:
            stack, self._exit = self._exit, None
            await stack.__aexit__(kind, error, trace)

    def _connect(self) -> Connected:
        topics = {topic for handler in self.handlers for topic in handler.topics}
        name = f"mq-{self.name}"
        return connect(self.bootstrap, name, self._librdkafka, self.limits.connect_s, topics)

    @asynccontextmanager
    async def _in_use(self) -> AsyncIterator[_Open]:
        connected = await anyio.to_thread.run_sync(self._connect)
        mailbox = Mailbox(self._fail)

        def fail(error: BaseException) -> None:
            mailbox.post(self._fail, error)

        try:
            yield _Open(connected, mailbox, connected.publisher(self._codec, mailbox, fail))
        finally:
            self._open = None
            with anyio.CancelScope(shield=True):
                await anyio.to_thread.run_sync(connected.close, FLUSH_S)

    def _fail(self, error: BaseException) -> None:
        """Something of ours broke on the event loop or in a thread."""
        if self._engine is not None:
            self._engine.fail(error)
        else:
            raise error

    # running

    async def run(self, *, on_member: Callable[[str, str], object] | None = None) -> None:
        """Handle records until :meth:`stop` is called; then finish what runs and leave the groups.

        If the task is cancelled, handlers are too: their records count as not handled.

        Args:
            on_member: hears, as group and member id, which groups this process is a member of.

        Raises:
            BrokerUnreachable: no broker answers.
            ConfigurationError: the handlers cannot work together, or there are none.
            MqError: the brokers refuse what the application needs.
        """
        if self._engine is not None:
            raise ConfigurationError(f"{self.name} is running already")
        if not self.handlers:
            raise ConfigurationError(f"{self.name} has no handlers to run")
        try:
            async with self:
                assert self._open is not None
                connected, mailbox, publisher = self._open
                self._engine = Engine(
                    self.handlers,
                    connected.endpoint,
                    publisher,
                    mailbox,
                    self.limits,
                    on_member or (lambda _group, _member: None),
                )
                if not self._stop_asked.is_set():
                    await self._engine.run()
        finally:
            self._engine = None
            self._stop_asked.clear()

    def stop(self) -> None:
        """Have :meth:`run` end: what runs may finish, nothing more starts.

        From any thread and from a signal handler. Before :meth:`run`, it will end at once.
        """
        self._stop_asked.set()
        engine = self._engine
        if engine is not None:
            engine.stop()

"""Listeners and the connections they accept, on one event loop.

Raw non-blocking sockets with ``add_reader`` and ``add_writer``: neither asyncio's transports nor
uvloop's let ``sendfile`` work next to ordinary writes. The server knows frames and sockets; what a
frame asks is the business of ``serve``, a callable it was given.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import resource
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from mq.broker.connection import Address, Connection, Slot
from mq.broker.outbound import SENDFILE
from mq.broker.page_cache import PageCache
from mq.broker.settings import Settings
from mq.errors import PeerError

__all__ = ["Limits", "Server"]

logger = logging.getLogger("mq.broker")

_SCRATCH_BYTES: Final = 256 * 1024
_ACCEPTS_PER_TURN: Final = 128
_ACCEPT_PAUSE_S: Final = 0.5
_SWEEP_S: Final = 5.0
_CONNECTIONS_MAX: Final = 10_000


def _connections_max() -> int:
    descriptors, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if descriptors == resource.RLIM_INFINITY:
        return _CONNECTIONS_MAX
    return min(_CONNECTIONS_MAX, descriptors // 2)


@dataclass(frozen=True, slots=True)
class Limits:
    """What one client, and all together, may ask of the broker's memory."""

    frame_bytes: int = Settings().socket_request_max_bytes
    """The longest request. It takes memory as it arrives, whatever length it claims."""

    unfinished_bytes: int = 256 * 1024 * 1024
    """Requests that have arrived in part, of all connections together."""

    unsent_bytes: int = 4 * 1024 * 1024
    """A connection that takes its answers slower than this much is not read from."""

    unanswered: int = 256
    """Pipelined requests of one connection; librdkafka would keep a million in flight if let."""

    connections: int = field(default_factory=_connections_max)
    """Open connections; the ones beyond are closed at once. They get half of the descriptors, the
    files of partitions the rest: a log that cannot open its files would look like a broken disk."""

    idle_s: float = 600.0
    """``connections.max.idle.ms``: a client that asks nothing, or takes nothing of what it asked
    for, is cut after so long."""

    frame_s: float = 120.0
    """A request has to arrive within this time of its first byte."""


class Server:
    """Accepts connections and gives their frames to ``serve(frame, slot)``."""

    def __init__(
        self,
        serve: Callable[[bytes, Slot], None],
        *,
        limits: Limits | None = None,
        sendfile: bool = SENDFILE,
        page_cache: PageCache | None = None,
    ) -> None:
        self.loop = asyncio.get_running_loop()
        self.serve = serve
        self.limits = limits or Limits()
        self.sendfile = sendfile
        self.page_cache = page_cache or PageCache(self.loop)
        self.scratch = memoryview(bytearray(_SCRATCH_BYTES))
        self.draining = False
        self._listeners: dict[socket.socket, Address | None] = {}
        self._connections: set[Connection] = set()
        self._due: dict[Connection, None] = {}
        self._unfinished_bytes = 0
        self._sweeping = self.loop.call_later(_SWEEP_S, self._sweep)

    # --- listening -------------------------------------------------------------------------------

    def listen(self, listener: socket.socket, advertised: Address | None = None) -> Address:
        """Accept from a bound socket; returns its address.

        Clients of this listener are told to come back to ``advertised``, or to whatever address
        they dialled.
        """
        listener.setblocking(False)
        self._listeners[listener] = advertised
        self.loop.add_reader(listener, self._accept, listener)
        return Address(*listener.getsockname()[:2])

    def _accept(self, listener: socket.socket) -> None:
        for _ in range(_ACCEPTS_PER_TURN):
            try:
                connection, peer = listener.accept()
            except (BlockingIOError, ConnectionAbortedError):
                return
            except OSError as error:
                self._rest(listener, error)
                return
            if len(self._connections) >= self.limits.connections:
                logger.warning("refused a connection: %d are open", len(self._connections))
                connection.close()
                continue
            self._adopt(connection, Address(*peer[:2]), self._listeners[listener])

    def _adopt(self, connection: socket.socket, peer: Address, advertised: Address | None) -> None:
        try:
            connection.setblocking(False)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        except OSError:  # the peer has left already
            connection.close()
            return
        self._connections.add(Connection(self, connection, peer, advertised))

    def _rest(self, listener: socket.socket, error: OSError) -> None:
        """Accepting failed, most likely for want of file descriptors: try again a little later."""
        if error.errno not in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM):
            logger.error("accepting failed", exc_info=error)
        else:
            logger.warning("cannot accept connections: %s", error.strerror)
        self.loop.remove_reader(listener)
        self.loop.call_later(_ACCEPT_PAUSE_S, self._accept_again, listener)

    def _accept_again(self, listener: socket.socket) -> None:
        if listener in self._listeners:
            self.loop.add_reader(listener, self._accept, listener)

    # --- for connections -------------------------------------------------------------------------

    def flush_soon(self, connection: Connection) -> None:
        """Send what ``connection`` has ready once everything due in this turn has been answered."""
        if not self._due:
            self.loop.call_soon(self._flush_due)
        self._due[connection] = None

    def _flush_due(self) -> None:
        due, self._due = self._due, {}
        for connection in due:
            connection.flush()

    def account(self, change: int) -> None:
        """The memory held by requests that are here in part has changed.

        Raises:
            PeerError: it is too much, and this connection asked for more.
        """
        self._unfinished_bytes += change
        if change > 0 and self._unfinished_bytes > self.limits.unfinished_bytes:
            raise PeerError("too many bytes of unfinished requests are held")

    def forget(self, connection: Connection, held: int) -> None:
        """``connection`` is closed; ``held`` bytes of an unfinished request go with it."""
        self._connections.discard(connection)
        self._due.pop(connection, None)
        self._unfinished_bytes -= held

    def _sweep(self) -> None:
        """Cut those who have long been silent, or long in the middle of a request."""
        self._sweeping = self.loop.call_later(_SWEEP_S, self._sweep)
        now = self.loop.time()
        for connection in list(self._connections):
            began = connection.frame_since
            if began is not None and now - began > self.limits.frame_s:
                connection.fail(PeerError("a request took too long to arrive"))
            elif connection.at_rest and now - connection.active_at > self.limits.idle_s:
                connection.close()

    # --- ending ----------------------------------------------------------------------------------

    def stop_listening(self) -> None:
        """Accept no more connections and read no more requests."""
        self.draining = True
        for listener in self._listeners:
            self.loop.remove_reader(listener)
            listener.close()
        self._listeners.clear()
        for connection in self._connections:
            connection.stop_reading()

    async def wait_flushed(self, seconds: float) -> None:
        """Return once every answer that is ready has left, or after so many seconds."""
        deadline = self.loop.time() + seconds
        while any(connection.unsent for connection in self._connections):
            if self.loop.time() > deadline:
                return
            await asyncio.sleep(0.01)

    def close(self) -> None:
        """Cut every connection."""
        self._sweeping.cancel()
        for connection in list(self._connections):
            connection.close()
        self.page_cache.close()

"""One client's connection: frames in, replies out in the order of their frames.

Every frame gets a :class:`Slot`, its place in that order. Whoever answers fills the slot, now or
later, and the bytes leave when all earlier slots are filled. A connection that has too much
unanswered or unsent is not read from until that changes: the client feels it as TCP back-pressure.

Whatever goes wrong here ends this connection and nothing else.
"""

from __future__ import annotations

import logging
import socket
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

from mq.broker.inbound import Inbound
from mq.broker.outbound import Chunk, Outbound, Waits
from mq.errors import PeerError

if TYPE_CHECKING:
    from mq.broker.server import Server

__all__ = ["Address", "Connection", "Slot"]

logger = logging.getLogger("mq.broker")

_PIECE_BYTES: Final = 1024 * 1024
"""How much of a long request is received at a time."""


class Address(NamedTuple):
    """A host and a port."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class Slot:
    """The place of one reply among the replies of its connection.

    ``abandoned`` may be set to something that should happen if the client leaves before the answer.
    """

    __slots__ = ("_chunks", "abandoned", "connection")

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.abandoned: Callable[[], None] | None = None
        self._chunks: Sequence[Chunk] | None = None

    @property
    def filled(self) -> bool:
        return self._chunks is not None

    def fill(self, chunks: Sequence[Chunk], *, at_once: bool = False) -> None:
        """Answer, in turn. No chunks: the request gets no answer, as with acks=0."""
        if not self.connection.closed:
            self._chunks = chunks
            self.abandoned = None
            self.connection.settled(at_once=at_once)

    def take(self) -> Sequence[Chunk]:
        """The chunks of a filled slot."""
        assert self._chunks is not None
        return self._chunks


class Connection:
    """A client's socket. ``advertised`` is where this client should find the broker again."""

    def __init__(
        self, server: Server, connection: socket.socket, peer: Address, advertised: Address | None
    ) -> None:
        self.server = server
        self.peer = peer
        self.closed = False
        self.active_at = server.loop.time()
        self._socket = connection
        self._advertised = advertised
        self._inbound = Inbound(server.scratch, server.limits.frame_bytes)
        self._outbound = Outbound(
            connection, server.page_cache, self._warmed, sendfile=server.sendfile
        )
        self._slots: deque[Slot] = deque()
        self._backlog: deque[bytes] = deque()  # frames that wait for room
        self._held = 0
        self._frame_since: float | None = None
        self._reading = False
        self._writing = False
        self._serving = False
        self._resume()

    @property
    def advertised(self) -> Address:
        """What was configured for the listener, else the address that the client dialled."""
        if self._advertised is None:
            self._advertised = Address(*self._socket.getsockname()[:2])
        return self._advertised

    @property
    def at_rest(self) -> bool:
        """Whether the next move is the client's: to ask, or to take what it was sent."""
        return bool(self._outbound.queued) or not (self._slots or self._backlog)

    @property
    def unsent(self) -> bool:
        """Whether an answer is ready that has not left."""
        return bool(self._outbound.queued) or bool(self._slots and self._slots[0].filled)

    @property
    def frame_since(self) -> float | None:
        """When the frame began that is here only in part; None if there is none."""
        return self._frame_since

    def close(self) -> None:
        """Cut the connection; those who would still answer find nobody."""
        if self.closed:
            return
        self.closed = True
        self.stop_reading()
        if self._writing:
            self.server.loop.remove_writer(self._socket)
        self._socket.close()
        self.server.forget(self, self._held)
        for slot in self._slots:
            if slot.abandoned is not None:
                slot.abandoned()
        self._slots.clear()
        self._backlog.clear()

    def fail(self, error: Exception) -> None:
        """Close because of ``error``: the peer's fault is noted, ours logged with its traceback."""
        if isinstance(error, ConnectionError | TimeoutError | PeerError):
            logger.info("%s: connection closed: %s", self.peer, error)
        else:
            logger.error("%s: connection closed", self.peer, exc_info=error)
        self.close()

    def stop_reading(self) -> None:
        """Read no more requests until the connection has room again, or for good when draining."""
        if self._reading:
            self._reading = False
            self.server.loop.remove_reader(self._socket)

    def settled(self, *, at_once: bool) -> None:
        """A slot was filled: send what is due, soon, together with what else becomes due.

        With ``at_once`` now. No request is served then, for another may be in the middle of it.
        """
        if self._serving:
            return
        if not at_once:
            self.server.flush_soon(self)
            return
        try:
            self._collect()
            self._send()
        except Exception as error:
            self.fail(error)
        else:
            if self._backlog or not self._reading:
                self.server.flush_soon(self)

    # --- reading ---------------------------------------------------------------------------------

    def _readable(self) -> None:
        try:
            self._receive()
            self._go_on()
        except BlockingIOError:
            return
        except Exception as error:
            self.fail(error)

    def _receive(self) -> None:
        inbound = self._inbound
        if inbound.missing:
            data = self._socket.recv(min(inbound.missing, _PIECE_BYTES))
            count = len(data)
            frames = inbound.add(data)
        else:
            count = self._socket.recv_into(self.server.scratch)
            frames = inbound.took(count)
        if count == 0:
            self.close()
            return
        self._backlog += frames
        self.active_at = self.server.loop.time()
        if not inbound.unfinished:
            self._frame_since = None
        elif frames or self._frame_since is None:
            self._frame_since = self.active_at
        if inbound.held != self._held:
            change, self._held = inbound.held - self._held, inbound.held
            self.server.account(change)

    @property
    def _has_room(self) -> bool:
        limits = self.server.limits
        return self._outbound.queued <= limits.unsent_bytes and len(self._slots) < limits.unanswered

    def _resume(self) -> None:
        if not self._reading and not self.server.draining:
            self._reading = True
            self.server.loop.add_reader(self._socket, self._readable)

    # --- answering -------------------------------------------------------------------------------

    def flush(self) -> None:
        """Send the filled slots at the head of the order, and go on with what had to wait."""
        try:
            self._go_on()
        except Exception as error:
            self.fail(error)

    def _go_on(self) -> None:
        """Serve and send, as far as there is room; if that made room, again in the next turn."""
        self._serve_backlog()
        if self.closed:
            return
        self._collect()
        self._send()
        if self._backlog or not self._has_room:
            self.stop_reading()
        else:
            self._resume()
        if self._backlog and self._has_room:
            self.server.flush_soon(self)

    def _serve_backlog(self) -> None:
        self._serving = True  # what is answered at once leaves in one go
        try:
            while self._backlog and self._has_room and not self.closed:
                slot = Slot(self)
                self._slots.append(slot)
                self.server.serve(self._backlog.popleft(), slot)
                if slot.filled:
                    self._collect()
        finally:
            self._serving = False

    def _collect(self) -> None:
        """Move the filled slots at the head of the order to the way out."""
        slots = self._slots
        while slots and slots[0].filled:
            self._outbound.push(slots.popleft().take())

    def _send(self) -> None:
        outbound, loop = self._outbound, self.server.loop
        before = outbound.queued
        waits = outbound.flush() if before else Waits.FOR_NOTHING
        if outbound.queued != before:
            self.active_at = loop.time()
        if (waits is Waits.FOR_SOCKET) != self._writing:
            self._writing = not self._writing
            self.active_at = loop.time()
            if self._writing:
                loop.add_writer(self._socket, self.flush)
            else:
                loop.remove_writer(self._socket)

    def _warmed(self) -> None:
        if not self.closed:
            self.flush()

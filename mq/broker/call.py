"""One request on its way to its answer."""

from __future__ import annotations

from typing import Any, Generic, TypeVar

from mq.broker.connection import Address, Slot
from mq.broker.outbound import Chunk
from mq.errors import PeerError
from mq.log.slices import Slice
from mq.wire.fields import Request, Response
from mq.wire.framing import RequestHeader, response_parts

__all__ = ["Call"]

R = TypeVar("R", bound=Request)


class Call(Generic[R]):
    """A decoded request, who sent it, and the way back.

    Every call is answered exactly once: by :meth:`reply`, or by :meth:`done` where the protocol
    knows no answer, or by :meth:`refuse` which closes the connection.
    """

    __slots__ = ("header", "request", "slot")

    def __init__(self, header: RequestHeader, request: R, slot: Slot) -> None:
        self.header = header
        self.request = request
        self.slot = slot

    @property
    def version(self) -> int:
        return self.header.api_version

    @property
    def client_host(self) -> str:
        """The peer's address without its port."""
        return self.slot.connection.peer.host

    @property
    def advertised(self) -> Address:
        """Where this client should find the broker again."""
        return self.slot.connection.advertised

    def reply(
        self, response: Response, version: int | None = None, *, at_once: bool = False
    ) -> None:
        """Answer. ``version`` is for the one API whose answer may be in another version.

        Whoever calls this may be busy with others' requests, so an answer that cannot be encoded
        ends this connection and raises nothing.

        Args:
            at_once: send now, not together with what else becomes due in this turn of the loop.
        """
        try:
            parts = response_parts(
                self.header.correlation_id,
                response,
                self.version if version is None else version,
            )
        except Exception as error:
            self.slot.connection.fail(error)
        else:
            self.slot.fill(_joined(parts), at_once=at_once)

    def done(self) -> None:
        """Leave the request without an answer, as acks=0 asks for."""
        self.slot.fill(())

    def refuse(self, why: str) -> None:
        """Close the connection: the protocol has no other way to say no here."""
        self.slot.connection.fail(PeerError(why))


def _joined(parts: list[Any]) -> list[Chunk]:
    """``parts`` with neighbouring bytes joined; nearly all answers have nothing but bytes."""
    chunks: list[Chunk] = []
    done = 0
    for place, part in enumerate(parts):
        if isinstance(part, Slice):
            chunks += (b"".join(parts[done:place]), part)
            done = place + 1
    chunks.append(b"".join(parts[done:] if done else parts))
    return chunks

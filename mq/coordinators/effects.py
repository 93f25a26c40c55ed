"""What a machine may ask its owner to do.

A machine (a coordinator, the catalog) is pure: it never touches a log, a socket or a clock. It has
three verbs, and speaks to the one who owns it only through the values below.

``handle(request, token, now)``
    looks at a request and returns :class:`Effects`. It changes no durable state. ``token`` names
    the request; every token is answered exactly once, now or by later effects.
``apply(record)``
    changes durable state, and nothing else does: the same call serves live traffic and recovery.
``tick(now)``
    is what ``handle`` is to a request, for the passing of time; ``deadline()`` tells when it is
    due.
``stored(then, now)``
    is what ``handle`` is to a request, for a step that is on stable storage. Only steps that name
    a ``then`` are reported.

The owner performs effects in this order: append ``append`` as one batch to the machine's partition,
``apply`` each of its records, then send ``replies`` once the partition is synced up to its end as
it stands now. So no reply, not even to a read, reveals what a crash can take back. When the append
fails nothing is applied, ``otherwise`` is sent instead of ``replies``, and the machine hears of it
through ``refused(effects, now)``. Where a call returns several effects they are performed in their
order, and all of them before the machine is called again: between ``handle`` and ``apply`` (or
``refused``) a machine sees nothing else happen. A reply is read when it is sent, not before.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from mq.record import TopicPartition

__all__ = [
    "Call",
    "Effects",
    "Ending",
    "Now",
    "Reply",
    "RequestContext",
    "StateRecord",
    "Step",
]


class Now(NamedTuple):
    """One moment on two clocks.

    Timeouts are measured on the monotonic clock, which never jumps and means nothing after a
    restart. What is written down, and outlives the process, is dated by the wall clock:
    milliseconds since the epoch.
    """

    monotonic_ms: int
    wall_ms: int


class RequestContext(NamedTuple):
    """What a request's frame and connection say beside the request itself.

    ``client_host`` is the peer's address as Kafka shows it, with a slash before it: ``/127.0.0.1``.
    """

    client_id: str
    client_host: str
    api_version: int


class StateRecord(NamedTuple):
    """A key and a value in one of Kafka's record formats; value None is a tombstone."""

    key: bytes
    value: bytes | None


class Reply(NamedTuple):
    """The answer to the request called ``token``."""

    token: int
    response: Any


class Ending(NamedTuple):
    """The end of a producer's transaction, to be written into each of these partitions that still
    exists. ``producer_epoch`` is the one in which the producer may go on."""

    producer_id: int
    producer_epoch: int
    commit: bool
    partitions: frozenset[TopicPartition]


@dataclass(frozen=True, slots=True)
class Effects:
    """One indivisible step: what to make durable, and whom to tell once it is.

    ``partition`` is the number of the state topic's partition that ``append`` belongs to.
    ``reveals`` names further partitions of that topic that ``replies`` speak of: the replies wait
    until these are synced up to their ends, too. ``producer``, if given, is the id and epoch of
    the producer in whose transaction the records of ``append`` are: they count when it is
    committed. ``ending`` is written after ``append``, and waited for like it; if it cannot be
    written, the step is refused. ``then`` is what the machine wants to hear of when all is on
    stable storage.
    """

    append: tuple[StateRecord, ...] = ()
    replies: tuple[Reply, ...] = ()
    otherwise: tuple[Reply, ...] = ()
    partition: int = 0
    reveals: tuple[int, ...] = ()
    producer: tuple[int, int] | None = None
    ending: Ending | None = None
    then: Any = None


class Step:
    """One step of a machine while it is being decided: the moment, and the effects so far."""

    __slots__ = ("_append", "_otherwise", "_replies", "now")

    def __init__(self, now: Now) -> None:
        self.now = now
        self._append: list[StateRecord] = []
        self._replies: dict[int, Any] = {}
        self._otherwise: dict[int, Any] = {}

    def append(self, record: StateRecord) -> None:
        """Make ``record`` durable."""
        self._append.append(record)

    def reply(self, token: int, response: Any, otherwise: Any = None) -> None:
        """Answer ``token``; with ``otherwise``, if given, when the step's records are refused."""
        assert token not in self._replies
        self._replies[token] = response
        self._otherwise.setdefault(token, response if otherwise is None else otherwise)

    def refuse(self, token: int, response: Any) -> None:
        """Answer ``token`` so when the records are refused, whatever it would be told else."""
        self._otherwise[token] = response

    def effects(self, partition: int, reveals: tuple[int, ...] = ()) -> list[Effects]:
        """What this step asks for, if anything."""
        if not self._append and not self._replies:
            return []
        replies = tuple(Reply(*each) for each in self._replies.items())
        otherwise = tuple(Reply(*each) for each in self._otherwise.items()) if self._append else ()
        return [Effects(tuple(self._append), replies, otherwise, partition, reveals)]


class Call(NamedTuple):
    """One request on its way through a machine: all about it but its message."""

    context: RequestContext
    token: int
    step: Step

    @property
    def version(self) -> int:
        """The version of the API that the client speaks."""
        return self.context.api_version

    def reply(self, response: Any, otherwise: Any = None) -> None:
        """Answer the request; see :meth:`Step.reply`."""
        self.step.reply(self.token, response, otherwise)

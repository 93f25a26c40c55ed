"""What a machine may ask its owner to do.

A machine (a coordinator, the catalog) is pure: it never touches a log, a socket or a clock. It has
three verbs, and speaks to the one who owns it only through the values below.

``handle(request, token, now)``
    looks at a request and returns :class:`Effects`. It changes no durable state. ``token`` names the
    request; every token is answered exactly once, now or by later effects.
``apply(record)``
    changes durable state, and nothing else does: the same call serves live traffic and recovery.
``tick(now)``
    is what ``handle`` is to a request, for the passing of time; ``deadline()`` tells when it is due.

The owner performs effects in this order: append ``append`` as one batch to the machine's partition,
``apply`` each of its records, then send ``replies`` once the partition is synced up to its end as it
stands now. So no reply, not even to a read, reveals what a crash can take back. When the append
fails nothing is applied, ``otherwise`` is sent instead of ``replies``, and the machine hears of it
through ``refused(effects, now)``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

__all__ = ["NOTHING", "Effects", "Reply", "StateRecord"]


class StateRecord(NamedTuple):
    """A key and a value in one of Kafka's record formats; value None is a tombstone."""

    key: bytes
    value: bytes | None


class Reply(NamedTuple):
    """The answer to the request called ``token``."""

    token: int
    response: Any


@dataclass(frozen=True, slots=True)
class Effects:
    """One indivisible step: what to make durable, and whom to tell once it is.

    ``partition`` is the number of the state topic's partition that ``append`` belongs to.
    """

    append: tuple[StateRecord, ...] = ()
    replies: tuple[Reply, ...] = ()
    otherwise: tuple[Reply, ...] = ()
    partition: int = 0


NOTHING = Effects()

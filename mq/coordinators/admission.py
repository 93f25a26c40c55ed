"""What is asked on behalf of a producer that wants to write into logs as part of a transaction."""

from __future__ import annotations

from typing import NamedTuple

from mq.coordinators.transaction import Identity
from mq.record import TopicPartition

__all__ = ["Admission"]


class Admission(NamedTuple):
    """A producer wants to write into partitions as part of its transaction.

    With ``add`` they become part of it (KIP-890), else they have to be part already. The answer is
    an error code for each.
    """

    transactional_id: str
    producer: Identity
    partitions: frozenset[TopicPartition]
    add: bool

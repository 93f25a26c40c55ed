"""The records of ``__transaction_state``, as Kafka 4.3 writes and reads them.

One key per transactional id; its newest value is all there is to know. Values are written at the
version that Kafka writes once ``transaction.version`` is finalized, and read at all.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum
from typing import Final

from mq.coordinators.effects import StateRecord
from mq.errors import KafkaError
from mq.record import TopicPartition
from mq.wire.messages.records.transaction_log import (
    PartitionsSchema,
    TransactionLogKey,
    TransactionLogValue,
)
from mq.wire.state_record import TRANSACTION

__all__ = ["Status", "partitions_of", "read", "record", "schema_of", "tombstone"]

_VERSION: Final = 1  # the first one that is flexible: transaction.version 1 and later


class Status(IntEnum):
    """Where a transactional id stands; the numbers are those of the records."""

    EMPTY = 0
    ONGOING = 1
    PREPARE_COMMIT = 2
    PREPARE_ABORT = 3
    COMPLETE_COMMIT = 4
    COMPLETE_ABORT = 5
    DEAD = 6
    PREPARE_EPOCH_FENCE = 7

    @property
    def title(self) -> str:
        """The status as Kafka's tools show it: ``PrepareCommit``."""
        return self.name.title().replace("_", "")

    @property
    def prepared(self) -> bool:
        """Whether it is decided how the transaction ends, and markers are on their way."""
        return self in (Status.PREPARE_COMMIT, Status.PREPARE_ABORT)

    @property
    def committed(self) -> bool:
        """Whether the last transaction was, or is being, committed."""
        return self in (Status.PREPARE_COMMIT, Status.COMPLETE_COMMIT)


def record(transactional_id: str, value: TransactionLogValue) -> StateRecord:
    """The record that stores where a transactional id stands."""
    return StateRecord(*TRANSACTION.encode(TransactionLogKey(transactional_id), value, _VERSION))


def tombstone(transactional_id: str) -> StateRecord:
    """The record that forgets a transactional id."""
    return StateRecord(*TRANSACTION.encode(TransactionLogKey(transactional_id), None))


def read(key: bytes, value: bytes | None) -> tuple[str, TransactionLogValue | None] | str:
    """The transactional id and where it stands, None if it is forgotten; or why nobody can tell.

    Raises:
        PeerError: the record is of a known type and version, but malformed.
    """
    try:
        decoded = TRANSACTION.decode(key, value)
    except KafkaError as error:
        return str(error)
    if decoded is None:
        return f"a record of type {int.from_bytes(key[:2], 'big', signed=True)}"
    name, stored = decoded
    assert isinstance(name, TransactionLogKey)
    assert stored is None or isinstance(stored, TransactionLogValue)
    return name.transactional_id, stored


def partitions_of(value: TransactionLogValue) -> frozenset[TopicPartition]:
    """The partitions that a transaction has touched."""
    return frozenset(
        TopicPartition(each.topic, index)
        for each in value.transaction_partitions or ()
        for index in each.partition_ids
    )


def schema_of(partitions: Iterable[TopicPartition]) -> list[PartitionsSchema]:
    """Partitions as a record tells them."""
    topics: dict[str, list[int]] = {}
    for topic, index in sorted(partitions):
        topics.setdefault(topic, []).append(index)
    return [PartitionsSchema(topic, indexes) for topic, indexes in topics.items()]

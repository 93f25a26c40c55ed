"""One transactional id: whose it is, and what may happen to its transaction next.

::

    Empty ──────────┐  add partitions                end             markers written
    CompleteCommit ─┼────────────────► Ongoing ─┬──► PrepareCommit ──► CompleteCommit
    CompleteAbort ──┘                           └──► PrepareAbort ───► CompleteAbort

InitProducerId makes an id Empty and raises the epoch, so that the producer before is fenced; an
open transaction is first aborted, which raises the epoch once more. Two protocols lead
through this table. In the older one (transaction version 1 and below) a producer registers
partitions by AddPartitionsToTxn and keeps its epoch. In the newer one (version 2, KIP-890) the
first batch registers its partition, and every end raises the epoch, so that nothing late can enter
the next transaction; then an abort is allowed at any time, for a producer may not know whether a
batch of its own has begun anything.

Epochs have 15 bits. The last one is never given away, so that its predecessor can be fenced; who
has used up all others gets another producer id.

An instance changes by ``apply`` alone. What may happen is proposed as the value to be stored next.
What the table calls a crash between two of its columns is the coordinator's to repair.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

from msgspec.structs import replace

from mq.coordinators.transaction_records import Status, partitions_of, schema_of
from mq.errors import ErrorCode, KafkaError
from mq.record import TopicPartition
from mq.wire.messages.records.transaction_log import TransactionLogValue

__all__ = ["Identity", "Proposal", "Transaction"]

EPOCH_MAX: Final = 2**15 - 1
NO_EPOCH: Final = -1
NO_PRODUCER_ID: Final = -1

EPOCH_BUMP: Final = 2
"""The first transaction version that raises the epoch at every end (KIP-890)."""


class Identity(NamedTuple):
    """Who a producer says it is."""

    producer_id: int
    epoch: int


class Proposal(NamedTuple):
    """What is to be stored next, and the epoch that the producer has known before.

    A producer that asks again for the epoch after ``last_epoch``, because an answer was lost, is
    told it again (KIP-360). That is not stored: after a restart it is fenced, as with Kafka.
    """

    value: TransactionLogValue
    last_epoch: int


class Transaction:
    """A transactional id that exists."""

    __slots__ = ("last_epoch", "partitions", "transactional_id", "value")

    def __init__(self, transactional_id: str, value: TransactionLogValue) -> None:
        self.transactional_id = transactional_id
        self.last_epoch = NO_EPOCH
        self.apply(value)

    def apply(self, value: TransactionLogValue) -> None:
        """Be what a record says."""
        self.value = value
        self.partitions = partitions_of(value)

    @property
    def status(self) -> Status:
        """Where it stands."""
        return Status(self.value.transaction_status)

    @property
    def identity(self) -> Identity:
        """Whose it is."""
        return Identity(self.value.producer_id, self.value.producer_epoch)

    @property
    def next_identity(self) -> Identity:
        """Whose it is once a prepared transaction is complete."""
        if self.value.next_producer_id != NO_PRODUCER_ID:
            return Identity(self.value.next_producer_id, 0)
        return self.identity

    @property
    def _exhausted(self) -> bool:
        return self.value.producer_epoch >= EPOCH_MAX - 1

    # --- beginning -------------------------------------------------------------------------------

    @staticmethod
    def new(producer_id: int, timeout_ms: int, wall_ms: int) -> Proposal:
        """An id that nobody has used."""
        value = TransactionLogValue(
            producer_id=producer_id,
            previous_producer_id=producer_id,
            producer_epoch=0,
            transaction_timeout_ms=timeout_ms,
            transaction_status=Status.EMPTY,
            transaction_partitions=None,
            transaction_last_update_timestamp_ms=wall_ms,
            transaction_start_timestamp_ms=-1,
        )
        return Proposal(value, NO_EPOCH)

    def check_init(self, expected: Identity | None) -> ErrorCode:
        """Whether a producer may take over; ``expected`` is who it was, if it was somebody."""
        value = self.value
        if expected is not None and not (
            expected.producer_id == value.producer_id
            or (
                expected.producer_id == value.previous_producer_id
                and expected.epoch >= EPOCH_MAX - 1
            )
        ):
            return ErrorCode.PRODUCER_FENCED
        return ErrorCode.CONCURRENT_TRANSACTIONS if self.status.prepared else ErrorCode.NONE

    def initialized(
        self,
        expected: Identity | None,
        timeout_ms: int,
        take_producer_id: Callable[[], int],
        wall_ms: int,
    ) -> Proposal:
        """A producer takes over, or the one that has it goes on in another epoch.

        Raises:
            KafkaError: PRODUCER_FENCED, there is a newer one; or what ``take_producer_id`` raises.
        """
        before = self.identity
        identity, last_epoch = Identity(before.producer_id, before.epoch + 1), NO_EPOCH
        if expected is not None:
            if expected.epoch not in (before.epoch, self.last_epoch):
                raise KafkaError(ErrorCode.PRODUCER_FENCED)
            last_epoch = expected.epoch
        if expected is not None and expected.epoch != before.epoch:
            identity = before  # it asks again
        elif self._exhausted:
            identity = Identity(take_producer_id(), 0)
        value = replace(
            self.value,
            producer_id=identity.producer_id,
            previous_producer_id=before.producer_id,
            next_producer_id=NO_PRODUCER_ID,
            producer_epoch=identity.epoch,
            transaction_timeout_ms=timeout_ms,
            transaction_status=Status.EMPTY,
            transaction_partitions=None,
            transaction_last_update_timestamp_ms=wall_ms,
            transaction_start_timestamp_ms=-1,
        )
        return Proposal(value, last_epoch)

    # --- going on --------------------------------------------------------------------------------

    def check_writer(self, identity: Identity) -> ErrorCode:
        """Whether somebody may write into the transaction, or begin one."""
        if identity.producer_id != self.value.producer_id:
            return ErrorCode.INVALID_PRODUCER_ID_MAPPING
        if identity.epoch != self.value.producer_epoch:
            return ErrorCode.PRODUCER_FENCED
        return ErrorCode.CONCURRENT_TRANSACTIONS if self.status.prepared else ErrorCode.NONE

    def covers(self, identity: Identity, partitions: frozenset[TopicPartition]) -> bool:
        """Whether somebody may write into all these partitions now."""
        open_ = self.status is Status.ONGOING and self.identity == identity
        return open_ and partitions <= self.partitions

    def joined(
        self, added: frozenset[TopicPartition], version: int, wall_ms: int
    ) -> Proposal | None:
        """More partitions are part of the transaction, which may be their first; None if not."""
        ongoing = self.status is Status.ONGOING
        if ongoing and added <= self.partitions:
            return None
        value = replace(
            self.value,
            previous_producer_id=self.value.producer_id,
            transaction_status=Status.ONGOING,
            transaction_partitions=schema_of(self.partitions | added),
            transaction_last_update_timestamp_ms=wall_ms,
            client_transaction_version=version,
        )
        if not ongoing:
            value.transaction_start_timestamp_ms = wall_ms
        return Proposal(value, self.last_epoch)

    # --- ending ----------------------------------------------------------------------------------

    def check_end(self, identity: Identity, *, commit: bool, version: int) -> ErrorCode | None:
        """Whether a producer may end the transaction.

        Returns:
            None if it may; NONE if it has already, as it asks again; or why not.
        """
        value, status, bumps = self.value, self.status, version >= EPOCH_BUMP
        other_id = (
            bumps
            and identity == (value.previous_producer_id, EPOCH_MAX - 1)
            and identity.producer_id != value.producer_id
            and value.producer_epoch == 0
            and status in (Status.COMPLETE_COMMIT, Status.COMPLETE_ABORT)
        )
        again = other_id or (bumps and identity.epoch + 1 == value.producer_epoch)
        if identity.producer_id != value.producer_id and not other_id:
            return ErrorCode.INVALID_PRODUCER_ID_MAPPING
        if not self._may_end(identity.epoch, again=again, bumps=bumps):
            return ErrorCode.PRODUCER_FENCED
        if status is Status.ONGOING:
            return None
        if status.prepared:
            same = commit == status.committed
            return ErrorCode.CONCURRENT_TRANSACTIONS if same else ErrorCode.INVALID_TXN_STATE
        if status is not Status.EMPTY and (again or not bumps):
            return ErrorCode.NONE if commit == status.committed else ErrorCode.INVALID_TXN_STATE
        return None if bumps and not commit else ErrorCode.INVALID_TXN_STATE

    def _may_end(self, epoch: int, *, again: bool, bumps: bool) -> bool:
        """With KIP-890 the epoch tells a repetition from the next request."""
        if bumps and self.status.prepared:
            return again
        repeated = again and self.status in (Status.COMPLETE_COMMIT, Status.COMPLETE_ABORT)
        return repeated or epoch == self.value.producer_epoch

    def prepared(
        self, *, commit: bool, version: int, take_producer_id: Callable[[], int], wall_ms: int
    ) -> Proposal:
        """It is decided how the transaction ends.

        Raises:
            KafkaError: what ``take_producer_id`` raises.
        """
        before, next_id, last_epoch = self.identity, NO_PRODUCER_ID, self.last_epoch
        epoch = before.epoch
        if version >= EPOCH_BUMP:
            next_id = take_producer_id() if self._exhausted else NO_PRODUCER_ID
            epoch, last_epoch = min(epoch + 1, EPOCH_MAX), epoch
        status = Status.PREPARE_COMMIT if commit else Status.PREPARE_ABORT
        return Proposal(self._ending(status, version, epoch, next_id, wall_ms), last_epoch)

    def fenced(self, wall_ms: int) -> Proposal:
        """The open transaction is aborted, in an epoch that its producer does not know."""
        epoch = min(self.value.producer_epoch + 1, EPOCH_MAX)
        value = self._ending(Status.PREPARE_ABORT, EPOCH_BUMP, epoch, NO_PRODUCER_ID, wall_ms)
        return Proposal(value, NO_EPOCH)

    def _ending(
        self, status: Status, version: int, epoch: int, next_id: int, wall_ms: int
    ) -> TransactionLogValue:
        value = replace(
            self.value,
            previous_producer_id=self.value.producer_id,
            next_producer_id=next_id,
            producer_epoch=epoch,
            transaction_status=status,
            transaction_partitions=schema_of(self.partitions),
            transaction_last_update_timestamp_ms=wall_ms,
            client_transaction_version=version,
        )
        if self.status is not Status.ONGOING:
            value.transaction_start_timestamp_ms = wall_ms
        return value

    def completed(self, wall_ms: int) -> Proposal:
        """All markers of a prepared transaction are written."""
        committed, identity = self.status.committed, self.next_identity
        value = replace(
            self.value,
            producer_id=identity.producer_id,
            previous_producer_id=self.value.producer_id,
            next_producer_id=NO_PRODUCER_ID,
            producer_epoch=identity.epoch,
            transaction_status=Status.COMPLETE_COMMIT if committed else Status.COMPLETE_ABORT,
            transaction_partitions=[],
            transaction_last_update_timestamp_ms=wall_ms,
        )
        return Proposal(value, self.last_epoch)

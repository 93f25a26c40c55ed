"""Which batches of a Produce request belong to a transaction, and whether they may be appended.

The coordinator decides (KIP-890): since version 12 a batch makes its partition part of the
transaction, before that AddPartitionsToTxn must have done so. The answer may come later; what it
allowed may have ended by then, so it is looked at again in the moment of the append.

A client is told in words that its version of Produce knows.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final

from mq.coordinators.admission import Admission
from mq.coordinators.transaction import Identity
from mq.errors import ErrorCode, KafkaError
from mq.record import TopicPartition
from mq.wire.batch import HEADER_BYTES, TRANSACTIONAL, Buffer

if TYPE_CHECKING:
    from mq.broker.broker import Broker

__all__ = ["NOTHING_ADMITTED", "Admitted", "admit", "is_transactional"]

_FIRST_ABORTABLE: Final = 11  # clients know TRANSACTION_ABORTABLE
_FIRST_ADDING: Final = 12  # clients rely on being added
_IDENTITY: Final = struct.Struct(">qh")
_IDENTITY_AT: Final = 43
_MAGIC: Final = 2
_MAGIC_AT: Final = 16
_ATTRIBUTES_AT: Final = 22  # the byte of them that means something
_RETRIABLE: Final = frozenset({ErrorCode.CONCURRENT_TRANSACTIONS, ErrorCode.NOT_COORDINATOR})


class Admitted:
    """What the coordinator said of the partitions of one request."""

    def __init__(self, version: int, codes: Mapping[TopicPartition, ErrorCode]) -> None:
        self._version = version
        self._codes = codes

    def version_for(self, place: TopicPartition) -> int:
        """The version of the transaction's protocol, if a batch may enter this partition.

        Raises:
            KafkaError: why it may not.
        """
        code = self._codes.get(place, ErrorCode.INVALID_TXN_STATE)
        if code is not ErrorCode.NONE:
            raise KafkaError(_known(code, self._version), "the partition is in no open transaction")
        return 2 if self._version >= _FIRST_ADDING else 1


NOTHING_ADMITTED: Final = Admitted(_FIRST_ADDING, {})
"""What holds for a request that has nothing to do with transactions."""


def is_transactional(batch: Buffer) -> bool:
    """Whether a batch says that it belongs to a transaction."""
    if len(batch) < HEADER_BYTES or batch[_MAGIC_AT] != _MAGIC:
        return False  # it will be refused for that
    return bool(batch[_ATTRIBUTES_AT] & TRANSACTIONAL)


def admit(
    broker: Broker,
    transactional_id: str,
    batches: dict[TopicPartition, Buffer],
    version: int,
    then: Callable[[Admitted], None],
) -> None:
    """Ask the coordinator about transactional batches, and go on ``then``, now or later.

    Requests of a producer go on in the order in which they came.
    """
    identities = {_IDENTITY.unpack_from(batch, _IDENTITY_AT) for batch in batches.values()}
    if len(identities) != 1:
        wrong = ErrorCode.INVALID_PRODUCER_ID_MAPPING  # nobody writes for two producers
        then(Admitted(version, dict.fromkeys(batches, wrong)))
        return
    identity, partitions = Identity(*identities.pop()), frozenset(batches)
    admission = Admission(transactional_id, identity, partitions, version >= _FIRST_ADDING)

    def answered(codes: Mapping[TopicPartition, ErrorCode]) -> None:
        allowed = frozenset(place for place, code in codes.items() if code is ErrorCode.NONE)
        if allowed and not broker.transactions.admits(admission._replace(partitions=allowed)):
            codes = {**codes, **dict.fromkeys(allowed, ErrorCode.INVALID_TXN_STATE)}
        then(Admitted(version, codes))

    broker.transactions.admit(admission, answered)


def _known(code: ErrorCode, version: int) -> ErrorCode:
    if code is ErrorCode.PRODUCER_FENCED:
        return ErrorCode.INVALID_PRODUCER_EPOCH
    if code is ErrorCode.TRANSACTION_ABORTABLE and version < _FIRST_ABORTABLE:
        return ErrorCode.INVALID_TXN_STATE
    keeps = version >= _FIRST_ADDING and code is ErrorCode.CONCURRENT_TRANSACTIONS
    if code in _RETRIABLE and not keeps:
        return ErrorCode.NOT_ENOUGH_REPLICAS  # what every client tries again
    return code

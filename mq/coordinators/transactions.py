"""The transaction coordinator: every request about transactions, and ``__transaction_state``.

One transactional id has one producer and at most one open transaction. This module keeps the ids
and hands requests to the one they name; what may happen to it is told in ``transaction``.

A transaction ends in three steps, each of which waits until the one before is on stable storage:
the decision (a Prepare record), the markers in all partitions that the transaction touched, and
the note that all is done (a Complete record). The decision is final. Who finds it in the log after
a crash, or could not write the markers, writes them (again): what a marker ends, it ends once. The
answer to EndTxn waits for the markers, too, though it needs not: the next transaction would only be
told to try again meanwhile, and who has committed can read what he wrote.

No batch of a transaction enters a log before the transaction is known to reach into that
partition, and so to end there: :meth:`TransactionCoordinator.handle` answers an ``Admission`` when
that is stored, and :meth:`TransactionCoordinator.admits` tells whether it still holds.

The owner hands over every record of the state topic through ``apply``, then calls ``loaded`` once,
and only then requests.

Served: InitProducerId v0-5 (with a transactional id), AddPartitionsToTxn v0-3, AddOffsetsToTxn
v0-4, EndTxn v0-5, ListTransactions v0-2, DescribeTransactions v0. AddPartitionsToTxn v4-5 is for
brokers among themselves; two-phase commit (KIP-939) is not served by Kafka 4.3 either.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any, Final, NamedTuple, Protocol

from mq.coordinators import added_partitions, transaction_queries, transaction_records
from mq.coordinators.admission import Admission
from mq.coordinators.effects import Call, Effects, Ending, Now, Reply, RequestContext, Step
from mq.coordinators.java_strings import java_hash
from mq.coordinators.timers import Timers
from mq.coordinators.transaction import EPOCH_BUMP, Identity, Proposal, Transaction
from mq.coordinators.transaction_config import TransactionConfig
from mq.coordinators.transaction_records import Status
from mq.errors import ErrorCode, KafkaError
from mq.record import TopicPartition
from mq.wire.messages.add_offsets_to_txn import AddOffsetsToTxnRequest, AddOffsetsToTxnResponse
from mq.wire.messages.add_partitions_to_txn import (
    AddPartitionsToTxnRequest,
    AddPartitionsToTxnResponse,
)
from mq.wire.messages.describe_transactions import DescribeTransactionsRequest
from mq.wire.messages.end_txn import EndTxnRequest, EndTxnResponse
from mq.wire.messages.init_producer_id import InitProducerIdRequest, InitProducerIdResponse
from mq.wire.messages.list_transactions import ListTransactionsRequest
from mq.wire.messages.records.transaction_log import TransactionLogValue

__all__ = ["TransactionCoordinator"]

APPEND_FAILED: Final = ErrorCode.NOT_COORDINATOR
"""What a client is told when a record that its request needs cannot be stored, as by Kafka."""

_EXPIRY: Final = ("expiry", "")

# Expired ids are looked for in short steps, so that nobody's request waits for all of them.
_IDS_PER_SWEEP: Final = 5_000

_NOBODY: Final = Identity(-1, -1)


class Places(Protocol):
    """What the coordinator asks the catalog."""

    def has_partition(self, name: str, partition: int) -> bool:
        """Whether the topic exists and has a partition of this number."""


class _Decided(NamedTuple):
    """``then`` of a step that stored a decision; ``reply`` waits for the markers."""

    transactional_id: str
    reply: Reply | None


class _Marked(NamedTuple):
    """``then`` of a step that wrote the markers of a decision."""

    transactional_id: str


class TransactionCoordinator:
    """All transactional ids of a broker.

    Args:
        places: the catalog.
        take_producer_id: gives an id that was never given before; raises KafkaError.
        offsets_partition: where the offsets of a group are kept.
    """

    def __init__(
        self,
        config: TransactionConfig,
        places: Places,
        take_producer_id: Callable[[], int],
        offsets_partition: Callable[[str], TopicPartition],
    ) -> None:
        self._config = config
        self._places = places
        self._take_producer_id = take_producer_id
        self._offsets_partition = offsets_partition
        self._transactions: dict[str, Transaction] = {}
        self._proposed: tuple[str, int] | None = None  # whose last epoch the next record changes
        self._timers = Timers[tuple[str, str]]()
        self._to_sweep: list[str] = []
        self._loaded = False
        self._handlers: dict[type, Callable[[Any, Call], list[Effects]]] = {
            InitProducerIdRequest: self._init_producer_id,
            AddPartitionsToTxnRequest: self._add_partitions,
            AddOffsetsToTxnRequest: self._add_offsets,
            EndTxnRequest: self._end,
            Admission: self._admit,
            ListTransactionsRequest: self._list,
            DescribeTransactionsRequest: self._describe,
        }

    # The verbs of a machine.

    def handle(self, request: Any, context: RequestContext, token: int, now: Now) -> list[Effects]:
        """Look at a request of one of the kinds that the module names."""
        assert self._loaded, "requests come after loaded()"
        return self._handlers[type(request)](request, Call(context, token, Step(now)))

    def apply(
        self, partition: int, key: bytes, value: bytes | None, producer_id: int = -1
    ) -> str | None:
        """A record of ``__transaction_state`` is stored, just now or before the last start.

        Returns: what it is, if this coordinator cannot read it and goes on without it; else None.

        Raises:
            PeerError: the record is malformed.
        """
        assert producer_id == -1, "the state of transactions is not part of any"
        read = transaction_records.read(key, value)
        if isinstance(read, str):
            return f"{read} in partition {partition}"
        transactional_id, stored = read
        if stored is None:
            self._transactions.pop(transactional_id, None)
        elif transactional_id in self._transactions:
            self._transactions[transactional_id].apply(stored)
        else:
            self._transactions[transactional_id] = Transaction(transactional_id, stored)
        if self._proposed is not None and self._proposed[0] == transactional_id:
            self._transactions[transactional_id].last_epoch = self._proposed[1]
            self._proposed = None
        return None

    def loaded(self, now: Now) -> list[Effects]:
        """All records have been applied: time begins to count, and what was decided goes on."""
        assert not self._loaded
        self._loaded = True
        effects: list[Effects] = []
        for transaction in self._transactions.values():
            if transaction.status is Status.ONGOING:
                self._schedule_timeout(transaction.transactional_id, transaction.value, now)
            elif transaction.status.prepared:
                effects.append(self._markers(transaction, None))
        self._schedule(_EXPIRY, self._config.id_expiration_check_interval_ms, now)
        return effects

    def stored(self, then: Any, now: Now) -> list[Effects]:
        """A step that named ``then`` is on stable storage."""
        transaction = self._transactions.get(then.transactional_id)
        if transaction is None or not transaction.status.prepared:
            return []  # the markers were tried twice, and both tries came through
        if isinstance(then, _Decided):
            self._timers.cancel(("timeout", then.transactional_id))
            return [self._markers(transaction, then.reply)]
        self._timers.cancel(("markers", then.transactional_id))
        return [self._change(transaction.transactional_id, transaction.completed(now.wall_ms))]

    def refused(self, effects: Effects, now: Now) -> list[Effects]:
        """``effects`` could not be stored; a decision stands, and is carried out later."""
        self._proposed = None
        if isinstance(effects.then, _Marked):
            self._schedule(("markers", effects.then.transactional_id), self._config.retry_ms, now)
        for record in effects.append:
            read = transaction_records.read(*record)
            assert not isinstance(read, str)
            transaction = self._transactions.get(read[0])
            if transaction is None:
                continue
            if transaction.status.prepared:
                self._schedule(("markers", read[0]), self._config.retry_ms, now)
            elif transaction.status is Status.ONGOING and ("timeout", read[0]) not in self._timers:
                self._schedule(("timeout", read[0]), self._config.retry_ms, now)
        return []

    def deadline(self) -> int | None:
        """When :meth:`tick` is due on the monotonic clock, None if nothing happens by itself."""
        return self._timers.deadline()

    def tick(self, now: Now) -> list[Effects]:
        """Let the first thing happen that is due: a transaction takes too long, markers are tried
        again, ids are forgotten. More may be due, as :meth:`deadline` then says."""
        key = self._timers.pop(now.monotonic_ms)
        if key is None:
            return []
        if key == _EXPIRY:
            return self._sweep(now)
        transaction = self._transactions.get(key[1])
        if transaction is None:
            return []
        if transaction.status.prepared:
            return [self._markers(transaction, None)]
        if key[0] == "timeout" and transaction.status is Status.ONGOING:
            fenced = transaction.fenced(now.wall_ms)
            return [self._change(key[1], fenced, _Decided(key[1], None))]
        return []

    # What the owner asks besides.

    def admits(self, admission: Admission) -> bool:
        """Whether a producer may write into all these partitions at this moment."""
        transaction = self._transactions.get(admission.transactional_id)
        return transaction is not None and transaction.covers(
            admission.producer, admission.partitions
        )

    def knows(self, producer_id: int, partition: TopicPartition) -> bool:
        """Whether a transaction of this producer reaches into a partition, and will end there."""
        return any(
            transaction.value.producer_id == producer_id and partition in transaction.partitions
            for transaction in self._transactions.values()
        )

    def partition_for(self, transactional_id: str) -> int:
        """The partition of the state topic that an id lives in, as Kafka computes it."""
        code = java_hash(transactional_id)
        return (0 if code == -(1 << 31) else abs(code)) % self._config.state_topic_partitions

    @property
    def highest_producer_id(self) -> int:
        """The highest producer id that any transactional id has, -1 if there is none."""
        values = [transaction.value for transaction in self._transactions.values()]
        return max((max(value.producer_id, value.next_producer_id) for value in values), default=-1)

    # Requests of producers.

    def _init_producer_id(self, request: InitProducerIdRequest, call: Call) -> list[Effects]:
        """See ``transaction``; an open transaction is aborted, and the producer asks again."""

        def refusal(code: ErrorCode) -> InitProducerIdResponse:
            code = _known(code, call.version >= 4)
            return InitProducerIdResponse(error_code=code, producer_id=-1, producer_epoch=-1)

        transactional_id = request.transactional_id or ""
        transaction = self._transactions.get(transactional_id)
        try:
            expected = self._check_init(request, transaction)
            if transaction is not None and transaction.status is Status.ONGOING:
                fenced = transaction.fenced(call.step.now.wall_ms)
                change = self._change(transactional_id, fenced, _Decided(transactional_id, None))
                response = refusal(ErrorCode.CONCURRENT_TRANSACTIONS)
            else:
                proposal = self._initialized(request, transaction, expected, call.step.now)
                change = self._change(transactional_id, proposal)
                value = proposal.value
                response = InitProducerIdResponse(
                    producer_id=value.producer_id, producer_epoch=value.producer_epoch
                )
        except KafkaError as error:
            return self._answer(transactional_id, call, refusal(error.code))
        return _with_reply(change, call, response, refusal(APPEND_FAILED))

    def _check_init(
        self, request: InitProducerIdRequest, transaction: Transaction | None
    ) -> Identity | None:
        """Who asks, if that is somebody who had the id before.

        Raises:
            KafkaError: why nobody gets it now.
        """
        expected = Identity(request.producer_id, request.producer_epoch)
        is_new = expected == _NOBODY
        if not request.transactional_id or (not is_new and -1 in expected):
            raise KafkaError(ErrorCode.INVALID_REQUEST)
        if not 0 < request.transaction_timeout_ms <= self._config.max_timeout_ms:
            raise KafkaError(ErrorCode.INVALID_TRANSACTION_TIMEOUT)
        before = None if is_new else expected
        if transaction is not None and (error := transaction.check_init(before)):
            raise KafkaError(error)
        return before

    def _initialized(
        self,
        request: InitProducerIdRequest,
        transaction: Transaction | None,
        expected: Identity | None,
        now: Now,
    ) -> Proposal:
        timeout_ms = request.transaction_timeout_ms
        if transaction is None:
            return Transaction.new(self._take_producer_id(), timeout_ms, now.wall_ms)
        return transaction.initialized(expected, timeout_ms, self._take_producer_id, now.wall_ms)

    def _add_partitions(self, request: AddPartitionsToTxnRequest, call: Call) -> list[Effects]:
        """All partitions or none: if one does not exist, the others are not attempted."""
        partitions = added_partitions.wanted(request)

        def response(code: ErrorCode) -> AddPartitionsToTxnResponse:
            code = _known(code, call.version >= 2)
            return added_partitions.answer(request, lambda _: code)

        missing = {place for place in partitions if not self._places.has_partition(*place)}
        if missing:
            unknown = ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
            others = ErrorCode.OPERATION_NOT_ATTEMPTED
            refusal = added_partitions.answer(
                request, lambda place: unknown if place in missing else others
            )
            return self._answer(request.v3_and_below_transactional_id, call, refusal)
        identity = Identity(request.v3_and_below_producer_id, request.v3_and_below_producer_epoch)
        return self._join(
            _Join(request.v3_and_below_transactional_id, identity, partitions, 0),
            call,
            response,
        )

    def _add_offsets(self, request: AddOffsetsToTxnRequest, call: Call) -> list[Effects]:
        def response(code: ErrorCode) -> AddOffsetsToTxnResponse:
            return AddOffsetsToTxnResponse(error_code=_known(code, call.version >= 2))

        identity = Identity(request.producer_id, request.producer_epoch)
        place = self._offsets_partition(request.group_id)
        return self._join(
            _Join(request.transactional_id, identity, frozenset([place]), 0), call, response
        )

    def _admit(self, request: Admission, call: Call) -> list[Effects]:
        def response(code: ErrorCode) -> dict[TopicPartition, ErrorCode]:
            return dict.fromkeys(request.partitions, code)

        transactional_id, identity, partitions, add = request
        if add:
            join = _Join(transactional_id, identity, partitions, EPOCH_BUMP)
            return self._join(join, call, response)
        error = self._check_writer(transactional_id, identity)
        answers = response(error)
        if error is ErrorCode.NONE:
            known = self._transactions[transactional_id].partitions
            answers |= dict.fromkeys(partitions - known, ErrorCode.TRANSACTION_ABORTABLE)
        return self._answer(transactional_id, call, answers)

    def _join(self, join: _Join, call: Call, response: Callable[[ErrorCode], Any]) -> list[Effects]:
        """Make partitions part of a transaction, which they may begin."""
        transactional_id, identity, partitions, version = join
        error = self._check_writer(transactional_id, identity)
        if error is not ErrorCode.NONE:
            return self._answer(transactional_id, call, response(error))
        transaction, now = self._transactions[transactional_id], call.step.now
        proposal = transaction.joined(partitions, version, now.wall_ms)
        if proposal is None:
            return self._answer(transactional_id, call, response(ErrorCode.NONE))
        if transaction.status is not Status.ONGOING:
            self._schedule_timeout(transactional_id, proposal.value, now)
        change = self._change(transactional_id, proposal)
        return _with_reply(change, call, response(ErrorCode.NONE), response(APPEND_FAILED))

    def _check_writer(self, transactional_id: str, identity: Identity) -> ErrorCode:
        if not transactional_id:
            return ErrorCode.INVALID_REQUEST
        transaction = self._transactions.get(transactional_id)
        if transaction is None:
            return ErrorCode.INVALID_PRODUCER_ID_MAPPING
        return transaction.check_writer(identity)

    def _end(self, request: EndTxnRequest, call: Call) -> list[Effects]:
        def response(code: ErrorCode, identity: Identity = _NOBODY) -> EndTxnResponse:
            return EndTxnResponse(0, _known(code, call.version >= 2), *identity)

        version = EPOCH_BUMP if call.version >= 5 else 0
        transactional_id, commit = request.transactional_id, request.committed
        transaction = self._transactions.get(transactional_id)
        identity = Identity(request.producer_id, request.producer_epoch)
        error: ErrorCode | None = ErrorCode.INVALID_PRODUCER_ID_MAPPING
        if not transactional_id:
            error = ErrorCode.INVALID_REQUEST
        elif transaction is not None:
            error = transaction.check_end(identity, commit=commit, version=version)
        if transaction is None or error is not None:
            assert error is not None
            known = transaction.identity if transaction and not error else _NOBODY
            return self._answer(transactional_id, call, response(error, known))
        take, now = self._take_producer_id, call.step.now
        try:
            proposal = transaction.prepared(
                commit=commit, version=version, take_producer_id=take, wall_ms=now.wall_ms
            )
        except KafkaError as failure:
            return self._answer(transactional_id, call, response(failure.code))
        identity = Transaction(transactional_id, proposal.value).next_identity
        decided = _Decided(transactional_id, Reply(call.token, response(ErrorCode.NONE, identity)))
        refusal = (Reply(call.token, response(APPEND_FAILED)),)
        return [replace(self._change(transactional_id, proposal, decided), otherwise=refusal)]

    # Questions of administrators.

    def _list(self, request: ListTransactionsRequest, call: Call) -> list[Effects]:
        answer = transaction_queries.listed(
            request, self._transactions.values(), call.step.now.wall_ms
        )
        return self._answer_of(self._transactions, call, answer)

    def _describe(self, request: DescribeTransactionsRequest, call: Call) -> list[Effects]:
        answer = transaction_queries.described(request, self._transactions)
        return self._answer_of(request.transactional_ids, call, answer)

    # Steps.

    def _answer(self, transactional_id: str, call: Call, response: Any) -> list[Effects]:
        """Tell what is so already."""
        partition = self.partition_for(transactional_id)
        return [Effects(replies=(Reply(call.token, response),), partition=partition)]

    def _answer_of(
        self, transactional_ids: Iterable[str], call: Call, response: Any
    ) -> list[Effects]:
        """Tell of several ids, when what is told of each is stored."""
        places = sorted({self.partition_for(each) for each in transactional_ids}) or [0]
        reply = (Reply(call.token, response),)
        return [Effects(replies=reply, partition=places[0], reveals=tuple(places[1:]))]

    def _change(self, transactional_id: str, proposal: Proposal, then: Any = None) -> Effects:
        """Store what is proposed."""
        self._proposed = transactional_id, proposal.last_epoch
        record = transaction_records.record(transactional_id, proposal.value)
        return Effects((record,), partition=self.partition_for(transactional_id), then=then)

    def _markers(self, transaction: Transaction, reply: Reply | None) -> Effects:
        """Write the markers of a decision that is stored, and then tell who waits."""
        transactional_id, replies = transaction.transactional_id, (reply,) if reply else ()
        ending = Ending(*transaction.identity, transaction.status.committed, transaction.partitions)
        return Effects(
            replies=replies,
            otherwise=replies,
            partition=self.partition_for(transactional_id),
            ending=ending,
            then=_Marked(transactional_id),
        )

    def _sweep(self, now: Now) -> list[Effects]:
        """Forget ids that nobody has used for long."""
        self._schedule(_EXPIRY, self._config.id_expiration_check_interval_ms, now)
        self._to_sweep = self._to_sweep or list(self._transactions)
        examined, self._to_sweep = self._to_sweep[:_IDS_PER_SWEEP], self._to_sweep[_IDS_PER_SWEEP:]
        if self._to_sweep:
            self._schedule(_EXPIRY, 1, now)
        return [
            Effects(
                append=(transaction_records.tombstone(transactional_id),),
                partition=self.partition_for(transactional_id),
            )
            for transactional_id in examined
            if self._is_expired(transactional_id, now)
        ]

    def _is_expired(self, transactional_id: str, now: Now) -> bool:
        transaction = self._transactions.get(transactional_id)
        if transaction is None or transaction.status is Status.ONGOING:
            return False
        used_ms = transaction.value.transaction_last_update_timestamp_ms
        is_old = now.wall_ms - used_ms >= self._config.id_expiration_ms
        return is_old and not transaction.status.prepared

    def _schedule_timeout(
        self, transactional_id: str, value: TransactionLogValue, now: Now
    ) -> None:
        used_ms = max(now.wall_ms - value.transaction_start_timestamp_ms, 0)
        left_ms = max(value.transaction_timeout_ms - used_ms, 0)
        self._schedule(("timeout", transactional_id), left_ms, now)

    def _schedule(self, key: tuple[str, str], delay_ms: int, now: Now) -> None:
        self._timers.schedule(key, now.monotonic_ms + delay_ms)


class _Join(NamedTuple):
    """Who wants which partitions to be part of a transaction, and by which protocol."""

    transactional_id: str
    identity: Identity
    partitions: frozenset[TopicPartition]
    version: int


def _known(code: ErrorCode, knows_fenced: bool) -> ErrorCode:
    """Older versions of a request know a fenced producer by another name (KIP-588)."""
    if code is ErrorCode.PRODUCER_FENCED and not knows_fenced:
        return ErrorCode.INVALID_PRODUCER_EPOCH
    return code


def _with_reply(change: Effects, call: Call, response: Any, otherwise: Any) -> list[Effects]:
    replies, refusals = (Reply(call.token, response),), (Reply(call.token, otherwise),)
    return [replace(change, replies=replies, otherwise=refusals)]

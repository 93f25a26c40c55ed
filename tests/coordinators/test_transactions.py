"""The transaction coordinator, asked all that Kafka's protocol allows, well and badly."""

from __future__ import annotations

from typing import Any

import pytest

from mq.coordinators.admission import Admission
from mq.coordinators.transaction import EPOCH_MAX, Identity
from mq.coordinators.transaction_records import Status, record
from mq.errors import ErrorCode
from mq.wire.messages.add_offsets_to_txn import AddOffsetsToTxnRequest
from mq.wire.messages.add_partitions_to_txn import (
    AddPartitionsToTxnRequest,
    AddPartitionsToTxnTopic,
)
from mq.wire.messages.describe_transactions import DescribeTransactionsRequest
from mq.wire.messages.end_txn import EndTxnRequest
from mq.wire.messages.init_producer_id import InitProducerIdRequest
from mq.wire.messages.list_transactions import ListTransactionsRequest
from mq.wire.messages.records.transaction_log import TransactionLogValue
from tests.coordinators.transaction_owner import (
    EPOCH_MS,
    MINUTE_MS,
    OFFSETS,
    ORDERS,
    Owner,
)

WEEK_MS = 7 * 24 * 60 * MINUTE_MS


@pytest.fixture
def owner() -> Owner:
    return Owner()


# --- beginning -----------------------------------------------------------------------------------


def test_every_new_producer_of_an_id_gets_a_higher_epoch(owner: Owner) -> None:
    assert [owner.identity() for _ in range(3)] == [(0, 0), (0, 1), (0, 2)]
    assert owner.identity("other") == (1, 0)


def test_epochs_go_on_after_a_restart(owner: Owner) -> None:
    first = owner.identity()
    owner.crash()
    assert owner.identity() == (first.producer_id, first.epoch + 1)
    assert owner.identity("other").producer_id > first.producer_id


@pytest.mark.parametrize("timeout_ms", [0, -1, 15 * MINUTE_MS + 1])
def test_a_timeout_out_of_bounds_is_refused(owner: Owner, timeout_ms: int) -> None:
    answer = owner.ask(InitProducerIdRequest("tx", timeout_ms), 5)
    assert answer.error_code == ErrorCode.INVALID_TRANSACTION_TIMEOUT


def test_an_empty_id_and_half_an_identity_are_invalid(owner: Owner) -> None:
    for request in (
        InitProducerIdRequest("", MINUTE_MS),
        InitProducerIdRequest("tx", MINUTE_MS, 5, -1),
        InitProducerIdRequest("tx", MINUTE_MS, -1, 5),
    ):
        assert owner.ask(request, 5).error_code == ErrorCode.INVALID_REQUEST


def test_a_producer_that_knows_its_identity_goes_on_in_the_next_epoch(
    owner: Owner,
) -> None:
    known = owner.identity()
    answer = owner.init(known=known)
    assert (answer.producer_id, answer.producer_epoch) == (known.producer_id, 1)
    again = owner.init(known=known)  # the answer was lost (KIP-360)
    assert (again.error_code, again.producer_epoch) == (0, 1)


def test_a_producer_whose_identity_is_old_is_fenced(owner: Owner) -> None:
    old = owner.identity()
    owner.identity()
    assert owner.init(known=old).error_code == ErrorCode.PRODUCER_FENCED
    assert owner.init(known=old, version=3).error_code == ErrorCode.INVALID_PRODUCER_EPOCH
    foreign = Identity(99, 0)
    assert owner.init(known=foreign).error_code == ErrorCode.PRODUCER_FENCED


def test_a_new_producer_aborts_what_the_old_one_has_open(owner: Owner) -> None:
    old = owner.identity()
    assert owner.add(old) == 0
    assert owner.init().error_code == ErrorCode.CONCURRENT_TRANSACTIONS
    [(producer_id, epoch, commit)] = owner.markers()
    assert (producer_id, commit) == (old.producer_id, False)
    new = owner.identity()
    assert new.epoch > epoch > old.epoch
    assert owner.add(old) == ErrorCode.PRODUCER_FENCED
    assert owner.end(old, commit=True).error_code == ErrorCode.PRODUCER_FENCED
    assert owner.markers() == [(producer_id, epoch, commit)]


def stand(owner: Owner, status: Status, epoch: int, **more: Any) -> None:
    """Let the id ``tx`` stand as a record says."""
    value = TransactionLogValue(
        producer_id=7,
        previous_producer_id=7,
        producer_epoch=epoch,
        transaction_timeout_ms=MINUTE_MS,
        transaction_status=status,
        transaction_last_update_timestamp_ms=EPOCH_MS,
        transaction_start_timestamp_ms=EPOCH_MS,
        **more,
    )
    owner.logs[owner.state].entries.append(record("tx", value))
    owner.next_id = 100
    owner.crash(lambda _: 0)


def test_an_id_that_has_used_up_its_epochs_gets_another_producer_id(
    owner: Owner,
) -> None:
    stand(owner, Status.COMPLETE_COMMIT, EPOCH_MAX - 1)
    answer = owner.init(known=Identity(7, EPOCH_MAX - 1))
    assert (answer.producer_id, answer.producer_epoch) == (100, 0)
    again = owner.init(known=Identity(7, EPOCH_MAX - 1))
    assert (again.producer_id, again.producer_epoch) == (100, 0)


def test_the_end_that_uses_up_the_epochs_gives_another_producer_id(owner: Owner) -> None:
    stand(owner, Status.EMPTY, EPOCH_MAX - 1)
    who = Identity(7, EPOCH_MAX - 1)
    owner.admit(who)
    answer = owner.end(who, commit=True)
    assert (answer.error_code, answer.producer_id, answer.producer_epoch) == (0, 100, 0)
    assert owner.markers() == [(7, EPOCH_MAX, True)]
    again = owner.end(who, commit=True)
    assert (again.error_code, again.producer_id, again.producer_epoch) == (0, 100, 0)


def test_the_last_epoch_can_be_fenced(owner: Owner) -> None:
    stand(owner, Status.EMPTY, EPOCH_MAX - 1)
    owner.admit(Identity(7, EPOCH_MAX - 1))
    assert owner.init().error_code == ErrorCode.CONCURRENT_TRANSACTIONS
    assert owner.markers() == [(7, EPOCH_MAX, False)]
    assert owner.identity() == (100, 0)


# --- going on ------------------------------------------------------------------------------------


def test_partitions_that_do_not_exist_keep_the_others_out(owner: Owner) -> None:
    who = owner.identity()
    topics = [AddPartitionsToTxnTopic("orders", [0, 9])]
    answer = owner.ask(AddPartitionsToTxnRequest([], "tx", *who, topics), 3)
    [topic] = answer.results_by_topic_v3_and_below
    assert [each.partition_error_code for each in topic.results_by_partition] == [
        ErrorCode.OPERATION_NOT_ATTEMPTED,
        ErrorCode.UNKNOWN_TOPIC_OR_PARTITION,
    ]
    assert owner.status() == "Empty"


def test_who_may_not_write_is_told_why(owner: Owner) -> None:
    who = owner.identity()
    other = Identity(who.producer_id + 1, 0)
    mapping = ErrorCode.INVALID_PRODUCER_ID_MAPPING
    assert owner.add(who, name="unknown") == mapping
    assert owner.add(other) == mapping
    assert owner.add(Identity(who.producer_id, 5)) == ErrorCode.PRODUCER_FENCED
    assert owner.add(Identity(who.producer_id, 5), version=1) == ErrorCode.INVALID_PRODUCER_EPOCH
    assert owner.admit(other) == {mapping}
    assert owner.admit(who, name="") == {ErrorCode.INVALID_REQUEST}


def test_a_batch_enters_only_where_its_transaction_reaches(owner: Owner) -> None:
    who = owner.identity()
    assert owner.admit(who, add=False) == {ErrorCode.TRANSACTION_ABORTABLE}
    owner.add(who, ORDERS[0])
    assert owner.admit(who, add=False) == {0}
    answers = owner.ask(Admission("tx", who, frozenset(ORDERS[:2]), add=False))
    assert answers == {ORDERS[0]: 0, ORDERS[1]: ErrorCode.TRANSACTION_ABORTABLE}
    assert owner.admit(who, ORDERS[1]) == {0}
    owner.end(who, commit=True)
    assert not owner.coordinator.admits(Admission("tx", who, frozenset(ORDERS[:1]), add=True))


def test_offsets_are_part_of_a_transaction_through_their_partition(owner: Owner) -> None:
    who = owner.identity()
    assert owner.ask(AddOffsetsToTxnRequest("tx", *who, "group"), 3).error_code == 0
    owner.end(who, commit=True, version=3)
    assert owner.markers(OFFSETS) == [(who.producer_id, who.epoch, True)]


# --- ending --------------------------------------------------------------------------------------


def test_the_older_protocol_keeps_the_epoch(owner: Owner) -> None:
    who = owner.identity()
    for commit in (True, False):
        owner.add(who)
        answer = owner.end(who, commit=commit, version=3)
        assert answer.error_code == 0
        assert owner.end(who, commit=commit, version=3).error_code == 0  # once more
        wrong = owner.end(who, commit=not commit, version=3)
        assert wrong.error_code == ErrorCode.INVALID_TXN_STATE
    assert owner.markers() == [(*who, True), (*who, False)]


def test_the_newer_protocol_raises_the_epoch_at_every_end(owner: Owner) -> None:
    who = owner.identity()
    for commit in (True, False):
        owner.admit(who)
        answer = owner.end(who, commit=commit)
        bumped = Identity(answer.producer_id, answer.producer_epoch)
        assert bumped == (who.producer_id, who.epoch + 1)
        assert owner.markers()[-1] == (*bumped, commit)
        again = owner.end(who, commit=commit)
        assert (again.error_code, again.producer_epoch) == (0, bumped.epoch)
        wrong = owner.end(who, commit=not commit)
        assert wrong.error_code == ErrorCode.INVALID_TXN_STATE
        assert owner.admit(who) == {ErrorCode.PRODUCER_FENCED}
        who = bumped


def test_without_a_transaction_only_the_newer_protocol_may_abort(owner: Owner) -> None:
    who = owner.identity()
    for version, commit in ((3, True), (3, False), (5, True)):
        answer = owner.end(who, commit=commit, version=version)
        assert answer.error_code == ErrorCode.INVALID_TXN_STATE
    assert owner.end(who, commit=False).producer_epoch == who.epoch + 1


def test_nothing_else_happens_until_the_markers_are_written(owner: Owner) -> None:
    who = owner.identity()
    owner.add(who)
    ending = owner.send(EndTxnRequest("tx", *who, True), 3)
    concurrent = ErrorCode.CONCURRENT_TRANSACTIONS
    again = owner.send(EndTxnRequest("tx", *who, True), 3)
    other = owner.send(EndTxnRequest("tx", *who, False), 3)
    new = owner.send(InitProducerIdRequest("tx", MINUTE_MS), 3)
    more = owner.send(Admission("tx", who, frozenset(ORDERS), add=True))
    owner.sync()
    assert owner.answers[ending].error_code == 0
    assert owner.answers[again].error_code == concurrent
    assert owner.answers[other].error_code == ErrorCode.INVALID_TXN_STATE
    assert owner.answers[new].error_code == concurrent
    assert set(owner.answers[more].values()) == {concurrent}
    assert owner.status() == "CompleteCommit"


def test_a_decision_is_stored_before_its_markers_and_they_before_its_end(
    owner: Owner,
) -> None:
    who = owner.identity()
    owner.add(who)
    token = owner.send(EndTxnRequest("tx", *who, True), 3)
    assert owner.markers() == []
    owner.sync_once()
    assert (owner.markers(), token in owner.answers) == ([(*who, True)], False)
    states = len(owner.logs[owner.state].entries)
    owner.sync_once()
    assert token in owner.answers
    assert len(owner.logs[owner.state].entries) == states + 1


@pytest.mark.parametrize("steps", range(4))
def test_what_was_decided_is_carried_out_after_a_crash(owner: Owner, steps: int) -> None:
    who = owner.identity()
    owner.admit(who, *ORDERS)
    owner.send(EndTxnRequest("tx", *who, True), 5)
    for _ in range(steps):
        owner.sync_once()
    owner.crash()
    owner.sync()
    if steps:
        assert owner.status() == "CompleteCommit"
        for place in ORDERS:
            assert set(owner.markers(place)) == {(who.producer_id, who.epoch + 1, True)}
    else:
        assert owner.status() == "Ongoing"
        assert owner.markers() == []


def test_markers_that_cannot_be_written_are_tried_until_they_can(owner: Owner) -> None:
    who = owner.identity()
    owner.add(who)
    owner.full = {ORDERS[0]}
    assert owner.end(who, commit=True, version=3).error_code == 0  # that is decided
    assert owner.status() == "PrepareCommit"
    owner.advance(10_000)
    assert owner.markers() == []
    owner.full = set()
    owner.advance(1_000)
    assert owner.markers() == [(*who, True)]
    assert owner.status() == "CompleteCommit"


def test_what_cannot_be_stored_does_not_happen(owner: Owner) -> None:
    who = owner.identity()
    owner.add(who)
    owner.full = {owner.state}
    failed = ErrorCode.NOT_COORDINATOR
    assert owner.end(who, commit=True).error_code == failed
    assert owner.add(who, ORDERS[1]) == failed
    assert owner.init().error_code == failed
    assert owner.admit(who, ORDERS[2]) == {failed}
    owner.full = set()
    assert owner.status() == "Ongoing"
    assert owner.end(who, commit=True).error_code == 0


def test_a_transaction_that_takes_too_long_is_aborted(owner: Owner) -> None:
    who = owner.identity()
    owner.add(who)
    owner.advance(MINUTE_MS - 1)
    assert owner.status() == "Ongoing"
    owner.advance(1)
    assert owner.status() == "CompleteAbort"
    [(producer_id, epoch, commit)] = owner.markers()
    assert (producer_id, commit) == (who.producer_id, False)
    assert epoch == who.epoch + 1
    assert owner.end(who, commit=True, version=3).error_code == ErrorCode.PRODUCER_FENCED
    assert owner.end(who, commit=True).error_code == ErrorCode.INVALID_TXN_STATE
    aborted = owner.end(who, commit=False)  # as it is already: so the producer goes on
    assert (aborted.error_code, aborted.producer_epoch) == (0, epoch)


def test_a_timeout_counts_on_through_a_restart(owner: Owner) -> None:
    owner.add(owner.identity())
    owner.advance(MINUTE_MS - 10)
    owner.crash()
    owner.advance(9)
    assert owner.status() == "Ongoing"
    owner.advance(1)
    assert owner.status() == "CompleteAbort"


def test_a_timeout_that_cannot_be_stored_comes_again(owner: Owner) -> None:
    owner.add(owner.identity())
    owner.full = {owner.state}
    owner.advance(MINUTE_MS)
    owner.full = set()
    assert owner.status() == "Ongoing"
    owner.advance(1_000)
    assert owner.status() == "CompleteAbort"


def test_ids_that_nobody_uses_are_forgotten(owner: Owner) -> None:
    owner.add(owner.identity("open"), name="open")
    owner.identity("idle")
    owner.advance(WEEK_MS - 10_000)
    owner.identity("used")
    owner.advance(60 * MINUTE_MS)
    answer = owner.ask(ListTransactionsRequest())
    assert {each.transactional_id for each in answer.transaction_states} == {"open", "used"}
    owner.crash()
    assert owner.status("idle") == ""


# --- questions -----------------------------------------------------------------------------------


def test_transactions_are_listed_through_filters(owner: Owner) -> None:
    owner.identity("a")
    owner.add(owner.identity("b"), name="b")
    owner.advance(5_000)

    def listed(**filters: Any) -> list[str]:
        answer = owner.ask(ListTransactionsRequest(**filters), 2)
        assert answer.error_code == 0
        return [each.transactional_id for each in answer.transaction_states]

    assert listed() == ["a", "b"]
    assert listed(state_filters=["Ongoing"]) == ["b"]
    assert listed(producer_id_filters=[0]) == ["a"]
    assert listed(duration_filter=5_000) == ["a"]
    assert listed(transactional_id_pattern="b|c") == ["b"]
    assert listed(state_filters=["Nonsense"]) == []
    answer = owner.ask(ListTransactionsRequest(state_filters=["Nonsense", "Empty"]), 0)
    assert answer.unknown_state_filters == ["Nonsense"]
    bad = owner.ask(ListTransactionsRequest(transactional_id_pattern="("), 2)
    assert bad.error_code == ErrorCode.INVALID_REGULAR_EXPRESSION


def test_a_transaction_is_described(owner: Owner) -> None:
    who = owner.identity()
    owner.add(who, *ORDERS[:2])
    states = owner.ask(DescribeTransactionsRequest(["tx", "none", ""])).transaction_states
    assert [each.error_code for each in states] == [
        0,
        ErrorCode.TRANSACTIONAL_ID_NOT_FOUND,
        ErrorCode.INVALID_REQUEST,
    ]
    told = states[0]
    assert (told.producer_id, told.producer_epoch) == who
    assert (told.transaction_state, told.transaction_timeout_ms) == ("Ongoing", MINUTE_MS)
    assert told.transaction_start_time_ms == EPOCH_MS
    assert [(each.topic, each.partitions) for each in told.topics] == [("orders", [0, 1])]

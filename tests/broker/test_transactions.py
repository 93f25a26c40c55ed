"""Transactions on the wire: both protocols, what readers see, and what a restart leaves."""

from __future__ import annotations

import pytest

from mq.errors import ErrorCode
from mq.wire.batch import TRANSACTIONAL, Producer
from mq.wire.messages.add_offsets_to_txn import AddOffsetsToTxnRequest
from mq.wire.messages.add_partitions_to_txn import (
    AddPartitionsToTxnRequest,
    AddPartitionsToTxnTopic,
)
from mq.wire.messages.delete_topics import DeleteTopicsRequest
from mq.wire.messages.describe_producers import DescribeProducersRequest, TopicRequest
from mq.wire.messages.describe_transactions import DescribeTransactionsRequest
from mq.wire.messages.end_txn import EndTxnRequest
from mq.wire.messages.find_coordinator import FindCoordinatorRequest
from mq.wire.messages.init_producer_id import InitProducerIdRequest
from mq.wire.messages.list_offsets import (
    ListOffsetsPartition,
    ListOffsetsRequest,
    ListOffsetsTopic,
)
from mq.wire.messages.offset_fetch import (
    OffsetFetchRequest,
    OffsetFetchRequestGroup,
    OffsetFetchRequestTopics,
)
from mq.wire.messages.txn_offset_commit import (
    TxnOffsetCommitRequest,
    TxnOffsetCommitRequestPartition,
    TxnOffsetCommitRequestTopic,
)

COMMITTED = 1


class Transactional:
    """A producer with a transactional id, of the older or the newer protocol."""

    def __init__(self, client, wire, *, newer, name="tx"):
        self.client, self.wire, self.newer, self.name = client, wire, newer, name
        self.sequences = {}
        told = client.ask(InitProducerIdRequest(name, 60_000), 5)
        assert told.error_code == 0, ErrorCode(told.error_code)
        self.who = told.producer_id, told.producer_epoch

    def join(self, topic, partition=0):
        topics = [AddPartitionsToTxnTopic(topic, [partition])]
        request = AddPartitionsToTxnRequest([], self.name, *self.who, topics)
        [told] = self.client.ask(request, 3).results_by_topic_v3_and_below
        return told.results_by_partition[0].partition_error_code

    def request(self, topic, *values, partition=0):
        sequence = self.sequences.get((topic, partition, self.who), 0)
        records = self.wire.batch(
            *values, attributes=TRANSACTIONAL, producer=Producer(*self.who, sequence)
        )
        request = self.wire.produce_request(
            topic, records, partition=partition, transactional_id=self.name
        )
        return request, 12 if self.newer else 10

    def write(self, topic, *values, partition=0):
        """Produce a batch; its partition joins as the protocol wants it. Returns the error code."""
        if not self.newer:
            assert self.join(topic, partition) == 0
        told = self.client.ask(*self.request(topic, *values, partition=partition))
        code = told.responses[0].partition_responses[0].error_code
        if not code:
            place = topic, partition, self.who
            self.sequences[place] = self.sequences.get(place, 0) + len(values)
        return code

    def commit_offset(self, group, topic, offset):
        if not self.newer:
            request = AddOffsetsToTxnRequest(self.name, *self.who, group)
            assert self.client.ask(request, 3).error_code == 0
        each = TxnOffsetCommitRequestPartition(partition_index=0, committed_offset=offset)
        request = TxnOffsetCommitRequest(
            self.name, group, *self.who, topics=[TxnOffsetCommitRequestTopic(topic, [each])]
        )
        told = self.client.ask(request, 5 if self.newer else 3)
        return told.topics[0].partitions[0].error_code

    def end(self, *, commit):
        request = EndTxnRequest(self.name, *self.who, commit)
        told = self.client.ask(request, 5 if self.newer else 3)
        if self.newer and not told.error_code:
            self.who = told.producer_id, told.producer_epoch
        return told.error_code


@pytest.fixture(params=[False, True], ids=["older", "newer"])
def newer(request):
    return request.param


@pytest.fixture
def begin(client, wire, newer):
    """``begin("tx")`` gives a producer."""
    client.ask(FindCoordinatorRequest(key="tx", key_type=1), 3)
    return lambda name="tx": Transactional(client, wire, newer=newer, name=name)


def committed(client, wire, topic="t", offset=0):
    """What a reader of committed records gets, after it drops what it is told to drop."""
    told = client.fetch(topic, offset, isolation_level=COMMITTED)
    assert told.aborted_transactions is not None
    return wire.values_in(told.records), [
        (each.producer_id, each.first_offset) for each in told.aborted_transactions
    ]


def latest(client, isolation_level, topic="t"):
    wanted = ListOffsetsTopic(topic, [ListOffsetsPartition(0, -1, -1)])
    told = client.ask(ListOffsetsRequest(-1, isolation_level, [wanted]), 7)
    return told.topics[0].partitions[0].offset


def fetched(client, group, topic, *, stable):
    topics = [OffsetFetchRequestTopics(name=topic, partition_indexes=[0])]
    request = OffsetFetchRequest(
        groups=[OffsetFetchRequestGroup(group, topics=topics)], require_stable=stable
    )
    told = client.ask(request, 8).groups[0].topics[0].partitions[0]
    return told.error_code, told.committed_offset


def status(client, name="tx"):
    [told] = client.ask(DescribeTransactionsRequest([name]), 0).transaction_states
    return told.transaction_state


# --- what readers see ----------------------------------------------------------------------------


def test_records_are_seen_when_their_transaction_is_committed(client, wire, begin):
    client.create("t")
    producer = begin()
    assert producer.write("t", b"a") == 0
    client.produce("t", b"plain")
    assert committed(client, wire)[0] == []
    assert wire.values_in(client.fetch("t").records) == [b"a", b"plain"]
    assert (latest(client, COMMITTED), latest(client, 0)) == (0, 2)
    assert producer.end(commit=True) == 0
    values, aborted = committed(client, wire)
    assert values[:2] == [b"a", b"plain"]
    assert aborted == []
    assert latest(client, COMMITTED) == latest(client, 0) == 3


def test_readers_are_told_which_transactions_were_aborted(client, wire, begin):
    client.create("t")
    producer = begin()
    producer.write("t", b"a", b"b")
    who = producer.who
    assert producer.end(commit=False) == 0
    producer.write("t", b"c")
    assert producer.end(commit=True) == 0
    assert committed(client, wire)[1] == [(who[0], 0)]
    assert committed(client, wire, offset=3)[1] == []


def test_a_waiting_reader_wakes_when_the_transaction_ends(broker, client, wire, begin, connect):
    client.create("t")
    producer = begin()
    producer.write("t", b"a")
    reader = connect(broker)
    reader.send(wire.fetch_request("t", max_wait_ms=20_000, isolation_level=COMMITTED), 12)
    assert reader.is_silent()
    producer.end(commit=True)
    told = reader.receive().responses[0].partitions[0]
    assert wire.values_in(told.records)[0] == b"a"


def test_a_transaction_reaches_over_partitions(client, wire, begin):
    client.create("t", partitions=2)
    producer = begin()
    for partition in (0, 1):
        assert producer.write("t", b"a", partition=partition) == 0
    assert producer.end(commit=True) == 0
    for partition in (0, 1):
        told = client.fetch("t", partition=partition, isolation_level=COMMITTED)
        assert told.last_stable_offset == told.high_watermark == 2


# --- who may write -------------------------------------------------------------------------------


def test_the_older_protocol_writes_nowhere_unregistered(client, wire):
    client.create("t")
    producer = Transactional(client, wire, newer=False)
    told = client.ask(*producer.request("t", b"a"))
    answer = told.responses[0].partition_responses[0]
    assert answer.error_code == ErrorCode.INVALID_TXN_STATE
    assert client.fetch("t").high_watermark == 0


def test_who_is_fenced_writes_nothing(client, wire, begin):
    client.create("t")
    old, new = begin(), begin()
    told = client.ask(*old.request("t", b"zombie"))
    answer = told.responses[0].partition_responses[0]
    assert answer.error_code == ErrorCode.INVALID_PRODUCER_EPOCH
    assert old.end(commit=True) == ErrorCode.PRODUCER_FENCED
    assert new.write("t", b"a") == 0


def test_what_is_left_of_an_ended_transaction_does_not_enter_the_next(client, wire):
    """KIP-890: a batch that comes late has an epoch that is over."""
    client.create("t")
    producer = Transactional(client, wire, newer=True)
    late = producer.request("t", b"late")
    assert producer.write("t", b"a") == 0
    producer.end(commit=True)
    told = client.ask(*late).responses[0].partition_responses[0]
    assert told.error_code == ErrorCode.INVALID_PRODUCER_EPOCH


def test_a_batch_of_the_newer_protocol_waits_for_its_registration(broker, client, wire):
    """Or a crash could leave a transaction that nobody knows, and that would never end."""
    client.create("t")
    producer = Transactional(client, wire, newer=True)
    partition = broker.call(lambda: broker.broker.partitions.by_name("t", 0))
    broker.files.gate.clear()
    client.send(*producer.request("t", b"a"))
    assert client.is_silent()
    assert partition.log_end_offset == 0
    broker.files.gate.set()
    answer = client.receive().responses[0].partition_responses[0]
    assert (answer.error_code, answer.base_offset) == (0, 0)


def test_pipelined_batches_of_a_transaction_keep_their_order(client, wire):
    client.create("t")
    producer = Transactional(client, wire, newer=True)
    for number in range(5):
        client.send(*producer.request("t", b"%d" % number))
        producer.sequences["t", 0, producer.who] = number + 1
    answers = [client.receive().responses[0].partition_responses[0] for _ in range(5)]
    assert [(each.error_code, each.base_offset) for each in answers] == [
        (0, number) for number in range(5)
    ]


def test_a_second_producer_aborts_what_the_first_has_open(client, wire, begin, eventually):
    client.create("t")
    producer = begin()
    producer.write("t", b"a")
    told = client.ask(InitProducerIdRequest("tx", 60_000), 5)
    assert told.error_code == ErrorCode.CONCURRENT_TRANSACTIONS
    eventually(lambda: status(client) == "CompleteAbort")
    assert begin().write("t", b"b") == 0
    assert committed(client, wire)[1] == [(producer.who[0], 0)]
    assert latest(client, COMMITTED) == 2


def test_a_transaction_that_takes_too_long_is_aborted(
    broker, client, begin, monkeypatch, eventually
):
    client.create("t")
    producer = begin()
    producer.write("t", b"a")
    now = broker.broker.now
    monkeypatch.setattr(
        broker.broker, "now", lambda: now()._replace(monotonic_ms=now().monotonic_ms + 61_000)
    )
    broker.call(broker.broker.transactions.tick)
    eventually(lambda: status(client) == "CompleteAbort")
    late = ErrorCode.INVALID_TXN_STATE if producer.newer else ErrorCode.PRODUCER_FENCED
    assert producer.end(commit=True) == late
    assert latest(client, COMMITTED) == 2


def test_a_topic_that_is_deleted_keeps_no_transaction_open(client, begin):
    client.create("t")
    client.create("u")
    producer = begin()
    producer.write("t", b"a")
    producer.write("u", b"a")
    client.ask(DeleteTopicsRequest(topic_names=["t"]), 4)
    assert producer.end(commit=True) == 0
    assert status(client) == "CompleteCommit"
    assert latest(client, COMMITTED, "u") == 2


def test_a_topic_may_be_deleted_while_its_markers_are_written(
    broker, client, begin, connect, monkeypatch, eventually
):
    client.create("t")
    producer = begin()
    producer.write("t", b"a")
    performer = broker.broker.transactions._performer
    stored = performer._stored

    def markers_hang(then, now):
        monkeypatch.setattr(performer, "_stored", stored)
        broker.files.gate.clear()
        return stored(then, now)

    monkeypatch.setattr(performer, "_stored", markers_hang)
    client.send(EndTxnRequest("tx", *producer.who, True), 5 if producer.newer else 3)
    eventually(lambda: not broker.files.gate.is_set())
    other = connect(broker)
    other.send(DeleteTopicsRequest(topic_names=["t"]), 4)
    eventually(lambda: "t" not in broker.broker.catalog.topics)
    broker.files.gate.set()
    assert client.receive().error_code == 0
    eventually(lambda: status(client) == "CompleteCommit")


# --- offsets -------------------------------------------------------------------------------------


@pytest.mark.parametrize("commit", [True, False])
def test_offsets_count_when_their_transaction_is_committed(client, begin, commit):
    client.create("t")
    producer = begin()
    assert producer.commit_offset("g", "t", 5) == 0
    assert fetched(client, "g", "t", stable=False) == (0, -1)
    assert fetched(client, "g", "t", stable=True) == (ErrorCode.UNSTABLE_OFFSET_COMMIT, -1)
    assert producer.end(commit=commit) == 0
    assert fetched(client, "g", "t", stable=True) == (0, 5 if commit else -1)


def test_offsets_of_an_unregistered_group_are_refused_by_the_older_protocol(client, wire):
    client.create("t")
    producer = Transactional(client, wire, newer=False)
    each = TxnOffsetCommitRequestPartition(partition_index=0, committed_offset=5)
    request = TxnOffsetCommitRequest(
        "tx", "g", *producer.who, topics=[TxnOffsetCommitRequestTopic("t", [each])]
    )
    told = client.ask(request, 3).topics[0].partitions[0]
    assert told.error_code == ErrorCode.INVALID_TXN_STATE


def test_offsets_of_a_stale_member_are_refused(client, wire):
    client.create("t")
    producer = Transactional(client, wire, newer=True)
    each = TxnOffsetCommitRequestPartition(partition_index=0, committed_offset=5)
    request = TxnOffsetCommitRequest(
        "tx", "g", *producer.who, generation_id=3, member_id="somebody",
        topics=[TxnOffsetCommitRequestTopic("t", [each])],
    )  # fmt: skip
    told = client.ask(request, 5).topics[0].partitions[0]
    assert told.error_code == ErrorCode.ILLEGAL_GENERATION


# --- restarts ------------------------------------------------------------------------------------


@pytest.fixture(params=[True, False], ids=["stopped", "killed"])
def restart(request, start_broker, connect):
    """``restart(broker, producer)`` ends it, and connects ``producer`` to one that follows it."""

    def again(broker, *producers):
        broker.stop(clean=request.param)
        client = connect(start_broker())
        for producer in producers:
            producer.client = client
        return client

    return again


def test_an_open_transaction_goes_on_after_a_restart(broker, client, wire, begin, restart):
    client.create("t")
    client.create("u")
    aborted, producer = begin("other"), begin()
    aborted.write("u", b"x")
    aborted.end(commit=False)
    producer.write("t", b"a")
    producer.commit_offset("g", "t", 7)
    client = restart(broker, producer)
    assert committed(client, wire)[0] == []
    assert fetched(client, "g", "t", stable=True) == (ErrorCode.UNSTABLE_OFFSET_COMMIT, -1)
    assert producer.write("t", b"b") == 0
    assert producer.end(commit=True) == 0
    assert committed(client, wire)[0][:2] == [b"a", b"b"]
    assert fetched(client, "g", "t", stable=True) == (0, 7)
    assert len(committed(client, wire, "u")[1]) == 1
    assert producer.write("t", b"c") == 0


def test_a_decision_is_carried_out_after_a_crash(
    broker, client, wire, begin, start_broker, connect, monkeypatch, eventually
):
    client.create("t")
    producer = begin()
    producer.write("t", b"a")
    performer = broker.broker.transactions._performer
    monkeypatch.setattr(performer, "_stored", lambda then, now: [])  # the crash comes here
    client.send(EndTxnRequest("tx", *producer.who, True), 5 if producer.newer else 3)
    assert client.is_silent()
    broker.stop(clean=False)
    client = connect(start_broker())
    eventually(lambda: status(client) == "CompleteCommit")
    assert committed(client, wire)[0][0] == b"a"


def test_a_transaction_that_nobody_knows_is_aborted_at_a_start(
    broker, client, wire, start_broker, connect, eventually
):
    """With durability "os" a crash may keep its records and forget that it began."""
    client.create("t")
    orphan = wire.batch(b"a", attributes=TRANSACTIONAL, producer=Producer(77, 3, 0))
    partition = broker.call(lambda: broker.broker.partitions.by_name("t", 0))
    broker.call(lambda: broker.broker.append(partition, orphan, transaction_version=1))
    broker.stop()
    client = connect(start_broker())
    eventually(lambda: latest(client, COMMITTED) == 2)
    assert committed(client, wire)[1] == [(77, 0)]


def test_producer_ids_of_transactions_are_not_given_again(broker, client, begin, restart):
    given = begin().who[0]
    client = restart(broker)
    assert client.ask(InitProducerIdRequest(transactional_id=None), 4).producer_id > given


# --- administration ------------------------------------------------------------------------------


def test_producers_of_a_partition_are_described(client, begin):
    client.create("t")
    producer = begin()
    producer.write("t", b"a", b"b")
    wanted = DescribeProducersRequest([TopicRequest("t", [0, 9])])
    known, unknown = client.ask(wanted, 0).topics[0].partitions
    [state] = known.active_producers
    assert (state.producer_id, state.producer_epoch) == producer.who
    assert (state.last_sequence, state.current_txn_start_offset) == (1, 0)
    assert unknown.error_code == ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
    producer.end(commit=True)
    known, _ = client.ask(wanted, 0).topics[0].partitions
    assert known.active_producers[0].current_txn_start_offset == -1

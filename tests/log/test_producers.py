"""Idempotent producers against the plainest model: the list of all that was stored."""

from __future__ import annotations

from typing import NamedTuple

import google_crc32c
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mq.errors import ErrorCode, KafkaError
from mq.log.producers import BatchMetadata, CorruptSnapshotError, Producers
from mq.wire.batch import TRANSACTIONAL, BatchHeader

LAST_SEQUENCE = 2**31 - 1


class Sent(NamedTuple):
    """A batch that a client sends."""

    producer_id: int
    epoch: int
    base_sequence: int
    count: int


class Model:
    """Remembers every stored batch of every producer, and looks at the last five."""

    def __init__(self) -> None:
        self.stored: dict[int, list[tuple[Sent, int]]] = {}

    def expect(self, sent: Sent) -> str | int:
        """ "next", the offset of the first copy, or the name of an error."""
        history = self.stored.get(sent.producer_id)
        if not history:
            return "next"
        epoch = history[-1][0].epoch
        if sent.epoch < epoch:
            return "INVALID_PRODUCER_EPOCH"
        if sent.epoch > epoch:
            return "next" if sent.base_sequence == 0 else "OUT_OF_ORDER_SEQUENCE_NUMBER"
        current = [entry for entry in history if entry[0].epoch == epoch][-5:]
        last = current[-1][0]
        if sent.base_sequence == (last.base_sequence + last.count) % 2**31:
            return "next"
        for copy, offset in current:
            if copy == sent:
                return offset
        return "OUT_OF_ORDER_SEQUENCE_NUMBER"


def header(sent: Sent, attributes: int = 0) -> BatchHeader:
    producer_id, epoch, sequence, count = sent
    times = (0, 0)
    return BatchHeader(
        0, 100, 0, 2, 0, attributes, count - 1, *times, producer_id, epoch, sequence, count
    )


def answer(producers: Producers, sent: Sent, attributes: int = 0, **how: bool) -> str | int:
    try:
        found = producers.check(header(sent, attributes), **how)
    except KafkaError as error:
        return error.code.name
    return "next" if found is None else found.first_offset


def store(
    producers: Producers, sent: Sent, offset: int, attributes: int = 0, timestamp: int = 5
) -> None:
    producers.apply(header(sent, attributes), offset, timestamp)


starts = st.sampled_from([0, 1, 2, 3, 4, 6, LAST_SEQUENCE - 1, LAST_SEQUENCE])
batches = st.builds(Sent, st.integers(1, 2), st.integers(0, 2), starts, st.integers(1, 3))


@given(st.lists(st.one_of(batches, st.integers(0, 11)), max_size=40), st.booleans())
def test_decisions_are_those_of_one_who_remembers_everything(
    script: list[Sent | int], restart: bool
) -> None:
    producers, model, offset = Producers(), Model(), 0
    sent_before: list[Sent] = []
    for step in script:
        if isinstance(step, Sent):
            sent = step
        elif not sent_before:
            continue
        elif step < 6:  # the next batch of somebody
            last = sent_before[-1 - step % len(sent_before)]
            sent = last._replace(base_sequence=(last.base_sequence + last.count) % 2**31)
        else:  # a repetition
            sent = sent_before[-1 - step % len(sent_before)]
        expected = model.expect(sent)
        assert answer(producers, sent) == expected
        if expected == "next":
            store(producers, sent, offset)
            model.stored.setdefault(sent.producer_id, []).append((sent, offset))
            offset += sent.count
            sent_before.append(sent)
        if restart:
            producers = Producers.decode(producers.encode())


def test_sequences_go_on_from_zero_after_the_highest() -> None:
    producers = Producers()
    store(producers, Sent(1, 0, LAST_SEQUENCE - 1, 4), 0)  # ... max - 1, max, 0, 1
    assert answer(producers, Sent(1, 0, 2, 1)) == "next"
    assert answer(producers, Sent(1, 0, LAST_SEQUENCE - 1, 4)) == 0
    state = producers.get(1)
    assert state is not None
    assert state.batches[0].first_sequence == LAST_SEQUENCE - 1
    assert state.last_sequence == 1


def test_a_new_epoch_forgets_the_batches_of_the_old_one() -> None:
    producers = Producers()
    store(producers, Sent(1, 0, 0, 2), 0)
    store(producers, Sent(1, 1, 0, 1), 2)
    state = producers.get(1)
    assert state is not None
    assert (state.epoch, [each.last_offset for each in state.batches]) == (1, [2])
    assert answer(producers, Sent(1, 1, 0, 1)) == 2
    assert answer(producers, Sent(1, 0, 0, 2)) == "INVALID_PRODUCER_EPOCH"


def test_a_check_changes_nothing() -> None:
    producers = Producers()
    store(producers, Sent(1, 0, 0, 1), 0)
    before = producers.encode()
    for sent in (Sent(1, 0, 1, 1), Sent(1, 0, 0, 1), Sent(1, 1, 0, 1), Sent(2, 0, 9, 1)):
        answer(producers, sent)
    assert producers.encode() == before


def test_a_refusal_names_what_was_expected() -> None:
    producers = Producers()
    store(producers, Sent(1, 3, 0, 2), 0)
    with pytest.raises(KafkaError, match="sequence 5 comes, 2 was expected") as refused:
        producers.check(header(Sent(1, 3, 5, 1)))
    assert refused.value.code == ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER


def test_silent_producers_are_forgotten_at_their_time_and_not_before() -> None:
    producers = Producers()
    store(producers, Sent(1, 0, 0, 1), 0, timestamp=1_000)
    store(producers, Sent(2, 0, 0, 1), 1, timestamp=2_000)
    assert producers.expire(10_999, 10_000) == 0
    assert producers.expire(11_000, 10_000) == 1
    assert [producer_id for producer_id, _ in producers] == [2]


def test_a_producer_with_an_open_transaction_is_never_forgotten() -> None:
    producers = Producers()
    store(producers, Sent(1, 0, 0, 1), 0, TRANSACTIONAL)
    assert producers.expire(10**12, 1) == 0
    producers.end(1, 0, 0, 1_000)
    assert producers.expire(10**12, 1) == 1


def test_a_transaction_is_open_from_its_first_batch_to_its_marker() -> None:
    producers = Producers()
    store(producers, Sent(1, 0, 0, 1), 10, TRANSACTIONAL)
    store(producers, Sent(2, 0, 0, 1), 11, TRANSACTIONAL)
    store(producers, Sent(1, 0, 1, 1), 12, TRANSACTIONAL)
    for again in (producers, Producers.decode(producers.encode())):
        assert again.first_open_offset == 10
        assert again.end(1, 0, 0, 5) == 10
        assert again.first_open_offset == 11
        assert again.end(1, 0, 0, 5) == -1
        assert again.end(2, 0, 0, 5) == 11
        assert again.first_open_offset is None


def test_a_marker_of_the_same_epoch_lets_sequences_go_on() -> None:
    producers = Producers()
    store(producers, Sent(1, 0, 0, 3), 0, TRANSACTIONAL)
    producers.end(1, 0, 0, 5)
    assert answer(producers, Sent(1, 0, 3, 1), TRANSACTIONAL) == "next"
    assert answer(producers, Sent(1, 0, 0, 3), TRANSACTIONAL) == 0


def test_a_marker_of_a_higher_epoch_fences_the_old_one_and_begins_anew() -> None:
    producers = Producers()
    store(producers, Sent(1, 0, 0, 3), 0, TRANSACTIONAL)
    producers.end(1, 1, 0, 5)
    for again in (producers, Producers.decode(producers.encode())):
        assert answer(again, Sent(1, 0, 3, 1), TRANSACTIONAL) == "INVALID_PRODUCER_EPOCH"
        assert answer(again, Sent(1, 1, 3, 1), TRANSACTIONAL) == "OUT_OF_ORDER_SEQUENCE_NUMBER"
        assert answer(again, Sent(1, 1, 0, 1), TRANSACTIONAL) == "next"


def test_a_batch_outside_of_the_open_transaction_is_refused() -> None:
    producers = Producers()
    store(producers, Sent(1, 0, 0, 1), 0, TRANSACTIONAL)
    assert answer(producers, Sent(1, 0, 1, 1)) == "INVALID_TXN_STATE"
    assert answer(producers, Sent(1, 0, 1, 1), TRANSACTIONAL) == "next"


def test_a_producer_with_an_epoch_to_itself_begins_with_zero() -> None:
    producers = Producers()
    late = Sent(1, 4, 7, 1)
    assert answer(producers, late, TRANSACTIONAL) == "next"
    assert answer(producers, late, TRANSACTIONAL, from_zero=True) == "OUT_OF_ORDER_SEQUENCE_NUMBER"
    assert answer(producers, Sent(1, 4, 0, 1), TRANSACTIONAL, from_zero=True) == "next"


def test_markers_of_fenced_producers_and_coordinators_are_refused() -> None:
    producers = Producers()
    store(producers, Sent(1, 3, 0, 1), 0, TRANSACTIONAL)
    producers.end(1, 3, 7, 5)
    producers.check_end(1, 3, 7)
    producers.check_end(9, 0, 0)
    with pytest.raises(KafkaError) as refused:
        producers.check_end(1, 2, 7)
    assert refused.value.code == ErrorCode.INVALID_PRODUCER_EPOCH
    with pytest.raises(KafkaError) as refused:
        producers.check_end(1, 3, 6)
    assert refused.value.code == ErrorCode.TRANSACTION_COORDINATOR_FENCED


def test_what_a_coordinator_writes_has_no_sequences() -> None:
    producers = Producers()
    for offset in range(2):
        store(producers, Sent(1, 0, -1, 2), 2 * offset, TRANSACTIONAL)
    state = producers.get(1)
    assert state is not None
    assert [each.last_sequence for each in state.batches] == [-1, -1]
    assert producers.first_open_offset == 0


# 00000000000000019001.snapshot of a Kafka 4.3 broker.
KAFKA_SNAPSHOT = bytes.fromhex(
    "0001cf6a91a700000001000000000000000000000000" + "4a380000000000004a3800000063"
    "0000018bcfe5b238ffffffffffffffffffffffff"
)


def test_a_snapshot_of_kafka_is_read_and_written_again_byte_for_byte() -> None:
    producers = Producers.decode(KAFKA_SNAPSHOT)
    state = producers.get(0)
    assert state is not None
    assert state.epoch == 0
    assert state.batches == [BatchMetadata(19_000, 19_000, 99, 1_700_000_019_000)]
    assert producers.encode() == KAFKA_SNAPSHOT


def test_a_snapshot_has_an_entry_for_each_remembered_batch_oldest_first() -> None:
    producers = Producers()
    for number in range(7):
        store(producers, Sent(9, 1, number, 1), 100 + number)
    data = producers.encode()
    assert len(data) == 10 + 5 * 46
    last_offsets = [
        int.from_bytes(data[at + 14 : at + 22], "big") for at in range(10, len(data), 46)
    ]
    assert last_offsets == [102, 103, 104, 105, 106]


def test_a_producer_without_a_batch_survives_a_snapshot() -> None:
    producers = Producers.decode(KAFKA_SNAPSHOT)
    state = producers.get(0)
    assert state is not None
    state.batches = []
    again = Producers.decode(producers.encode()).get(0)
    assert again is not None
    assert (again.batches, again.timestamp, again.last_sequence) == ([], state.timestamp, -1)


@given(st.data())
def test_a_damaged_snapshot_is_refused(data: st.DataObject) -> None:
    producers = Producers()
    for number in range(3):
        store(producers, Sent(number, 0, 0, 1), number)
    whole = producers.encode()
    if data.draw(st.booleans()):
        damaged = whole[: data.draw(st.integers(0, len(whole) - 1))]
    else:
        bit = data.draw(st.integers(0, len(whole) * 8 - 1))
        changed = bytearray(whole)
        changed[bit // 8] ^= 1 << bit % 8
        damaged = bytes(changed)
    with pytest.raises(CorruptSnapshotError):
        Producers.decode(damaged)


def test_a_snapshot_that_is_whole_but_does_not_fit_its_count_is_refused() -> None:
    body = b"\0\0\0\2" + bytes(46)
    data = b"\0\1" + google_crc32c.value(body).to_bytes(4, "big") + body
    with pytest.raises(CorruptSnapshotError, match="2 entries"):
        Producers.decode(data)

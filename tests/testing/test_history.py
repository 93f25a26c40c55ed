"""A history finds each kind of anomaly, and none where there is none."""

from __future__ import annotations

import pytest

from mq.record import TopicPartition
from mq.testing.history import History

PARTITION = TopicPartition("orders", 0)
OTHER = TopicPartition("orders", 1)


@pytest.fixture
def history() -> History:
    """Values a, b and c of one producer, acknowledged at offsets 0, 1 and 2."""
    history = History()
    for offset, value in enumerate((b"a", b"b", b"c")):
        history.sent("p", value)
        history.acknowledge(value, PARTITION, offset)
    return history


def read(history: History, *values: bytes, partition: TopicPartition = PARTITION) -> None:
    for offset, value in enumerate(values):
        history.read(partition, offset, value)


def kinds(history: History) -> list[str]:
    return [anomaly.kind for anomaly in history.anomalies()]


def test_what_was_acknowledged_and_read_in_order_is_no_anomaly(history: History) -> None:
    read(history, b"a", b"b", b"c")
    read(history, b"a", b"b", b"c")
    history.read_to(PARTITION, 3)
    assert history.anomalies() == []


def test_an_acknowledged_value_that_reading_passed_over_is_lost(history: History) -> None:
    read(history, b"a", b"b")
    history.read_to(PARTITION, 3)
    (lost,) = history.anomalies()
    assert (lost.kind, lost.value) == ("lost", b"c")
    assert "offset=2), not read there" in str(lost)


def test_the_end_of_what_was_acknowledged_is_known(history: History) -> None:
    assert history.acknowledged_ends() == {PARTITION: 3}


def test_what_was_not_reached_yet_is_not_lost(history: History) -> None:
    read(history, b"a", b"b")
    history.read_to(PARTITION, 2)
    assert history.anomalies() == []


def test_a_value_that_was_to_be_deleted_is_not_lost(history: History) -> None:
    history.read(PARTITION, 1, b"b")
    history.read(PARTITION, 2, b"c")
    history.read_to(PARTITION, 3)
    assert kinds(history) == ["lost"]
    history.deleted_to(PARTITION, 1)
    assert history.anomalies() == []


def test_a_value_read_elsewhere_than_acknowledged_is_displaced(history: History) -> None:
    read(history, b"a", b"b")
    history.read(OTHER, 2, b"c")
    assert kinds(history) == ["displaced"]


def test_a_value_at_two_offsets_is_doubled(history: History) -> None:
    read(history, b"a", b"b", b"c", b"c")
    assert kinds(history) == ["doubled"]


def test_two_values_at_one_offset_are_torn(history: History) -> None:
    history.sent("q", b"x")
    read(history, b"a", b"b", b"c")
    history.read(PARTITION, 2, b"x")
    assert kinds(history) == ["torn"]


def test_a_value_that_nobody_sent_is_invented(history: History) -> None:
    read(history, b"a", b"b", b"c", b"x")
    assert kinds(history) == ["invented"]


def test_a_value_whose_sender_was_refused_is_aborted(history: History) -> None:
    history.sent("p", b"d")
    history.refuse(b"d")
    read(history, b"a", b"b", b"c", b"d")
    assert kinds(history) == ["aborted"]


def test_a_value_of_unknown_fate_may_be_there_or_not(history: History) -> None:
    history.sent("p", b"d")
    read(history, b"a", b"b", b"c")
    history.read_to(PARTITION, 3)
    assert history.anomalies() == []
    history.read(PARTITION, 3, b"d")
    assert history.anomalies() == []


def test_a_producer_s_values_in_another_order_are_disordered() -> None:
    history = History()
    for value in (b"a", b"b"):
        history.sent("p", value)
    read(history, b"b", b"a")
    assert kinds(history) == ["disordered"]


def test_a_value_is_sent_once(history: History) -> None:
    with pytest.raises(ValueError, match="was sent before"):
        history.sent("q", b"a")

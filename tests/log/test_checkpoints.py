"""The small text files, against bytes that Kafka 4.3 wrote."""

from __future__ import annotations

import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mq.log import checkpoints
from mq.record import TopicPartition

KAFKA_PROPERTIES = (
    b"#\n#Sun Nov 22 13:34:01 UTC 2026\nnode.id=1\ndirectory.id=72-PFWIHtxjiDtA0NG8reg\n"
    b"version=1\ncluster.id=G-n_6lNrTam2dZu2h336dA\n"
)


def test_offsets_are_written_as_kafka_writes_them() -> None:
    data = checkpoints.encode_offsets({TopicPartition("t", 0): 20_000})
    assert data == b"0\n1\nt 0 20000\n"
    assert checkpoints.decode_offsets(data) == {TopicPartition("t", 0): 20_000}
    assert checkpoints.encode_offsets({}) == b"0\n0\n"


def test_epochs_are_written_as_kafka_writes_them() -> None:
    assert checkpoints.encode_epochs([(0, 0)]) == b"0\n1\n0 0\n"
    assert checkpoints.decode_epochs(b"0\n2\n0 0\n4 17\n") == [(0, 0), (4, 17)]


def test_the_topic_id_is_written_as_kafka_writes_it() -> None:
    data = b"version: 0\ntopic_id: xRwlaYRFR9u9uYV16iZMGg"
    topic_id = checkpoints.decode_topic_id(data)
    assert topic_id.hex == "c51c25698445" + "47dbbdb98575ea264c1a"
    assert checkpoints.encode_topic_id(topic_id) == data


def test_properties_are_written_as_kafka_writes_them() -> None:
    found = checkpoints.decode_properties(KAFKA_PROPERTIES)
    assert found["cluster.id"] == "G-n_6lNrTam2dZu2h336dA"
    again = checkpoints.encode_properties(found, "Sun Nov 22 13:34:01 UTC 2026")
    assert again == KAFKA_PROPERTIES


def test_the_marker_of_a_clean_stop_is_written_as_kafka_writes_it() -> None:
    assert checkpoints.encode_clean_shutdown(12) == b'{"version":0,"brokerEpoch":12}'


@given(st.uuids())
def test_ids_survive_their_spelling(value: uuid.UUID) -> None:
    text = checkpoints.encode_uuid(value)
    assert len(text) == 22
    assert checkpoints.decode_uuid(text) == value


@pytest.mark.parametrize(
    "data",
    [b"", b"0\n", b"0\n1\n", b"1\n1\nt 0 5\n", b"0\n2\nt 0 5\n", b"0\n1\nt 0 5", b"0\n1\nt 0\n",
     b"0\n1\nt x 5\n", b"0\nx\n", b"\xff\n0\n"],
)  # fmt: skip
def test_a_damaged_checkpoint_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - what exactly is wrong helps nobody
        checkpoints.decode_offsets(data)


@pytest.mark.parametrize("data", [b"", b"version: 1\ntopic_id: xRwlaYRFR9u9uYV16iZMGg", b"version"])
def test_a_damaged_topic_id_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        checkpoints.decode_topic_id(data)


@pytest.mark.parametrize("data", [b"", KAFKA_PROPERTIES.replace(b"version=1", b"version=0")])
def test_damaged_properties_are_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"meta\.properties"):
        checkpoints.decode_properties(data)

"""The records of a consumer group: what is written is read again, and is what Kafka writes."""

from __future__ import annotations

from dataclasses import replace
from uuid import UUID

import pytest

from mq.coordinators import consumer_group_records as records
from mq.coordinators import group_records
from mq.coordinators.classic_members import Protocol
from mq.coordinators.consumer_group import ConsumerGroup
from mq.coordinators.consumer_members import Classic, ConsumerMember, MemberState
from mq.coordinators.effects import StateRecord
from mq.coordinators.group_config import GroupConfig
from mq.coordinators.group_records import ConsumerGroupRecord
from mq.coordinators.timers import Timers
from mq.coordinators.topic_id_partitions import TopicIdPartition
from mq.wire.state_record import GROUP

TOPIC = UUID(int=7)
PLACES = [TopicIdPartition(TOPIC, partition) for partition in range(3)]

MEMBER = ConsumerMember(
    "m",
    instance_id="i",
    rack_id="r",
    client_id="c",
    client_host="/h",
    topics=frozenset({"t", "a"}),
    regex="x.*",
    rebalance_timeout_ms=30_000,
    server_assignor="range",
    epoch=5,
    previous_epoch=4,
    state=MemberState.UNREVOKED_PARTITIONS,
    assigned={PLACES[0]: 3},
    revoking={PLACES[2]: 4, PLACES[1]: 2},
)


def applied(*written: StateRecord) -> ConsumerGroup:
    """A group of these records."""
    group = ConsumerGroup("g", GroupConfig(), Timers())
    for record in written:
        read = group_records.read(*record)
        assert isinstance(read, ConsumerGroupRecord)
        group.apply(read.key, read.value)
    return group


@pytest.mark.parametrize(
    "classic", [None, Classic(10_000, (Protocol("range", b"x"), Protocol("sticky", b"y")))]
)
def test_a_member_is_read_as_it_was_written(classic: Classic | None) -> None:
    member = replace(MEMBER, classic=classic)
    group = applied(records.member_metadata("g", member), records.current_assignment("g", member))
    assert group.members == {"m": member}
    assert {group.owner(place) for place in PLACES} == {"m"}


def test_the_rest_of_a_group_is_read_as_it_was_written() -> None:
    resolved = records.ResolvedPattern(frozenset({"b", "a"}), 9, 1_000)
    group = applied(
        records.group_epoch("g", 7, -5),
        records.target_assignment("g", "m", PLACES),
        records.target_epoch("g", 6, 1_000),
        records.resolved_pattern("g", "[ab]", resolved),
    )
    assert (group.epoch, group.metadata_hash, group.target_epoch) == (7, -5, 6)
    assert group.targets == {"m": frozenset(PLACES)}
    assert group.patterns == {"[ab]": resolved}


def test_tombstones_leave_nothing() -> None:
    written = [
        records.member_metadata("g", MEMBER),
        records.target_assignment("g", "m", PLACES),
        records.current_assignment("g", MEMBER),
        records.resolved_pattern("g", "x.*", records.ResolvedPattern(frozenset(), 1, 1)),
    ]
    removed = records.group_tombstones("g", ["m"], ["x.*"])
    group = applied(*written, *removed[:-1])
    assert (group.members, group.targets, group.patterns, group.target_epoch) == ({}, {}, {}, 0)
    assert group.owner(PLACES[0]) is None
    assert {record.key for record in written} <= {record.key for record in removed}


def test_records_of_a_kafka_before_4_3_have_no_epochs_of_assignment() -> None:
    """An empty list stands for a field that is not there; then the member's epoch counts."""
    record = records.current_assignment("g", MEMBER)
    key, value = GROUP.decode(*record) or (None, None)
    assert key is not None
    assert value is not None
    for listed in (value.assigned_partitions, value.partitions_pending_revocation):  # type: ignore[attr-defined]
        for each in listed:
            each.assignment_epochs = []
    group = applied(StateRecord(*GROUP.encode(key, value)))
    assert set(group.members["m"].assigned.values()) == {5}
    assert set(group.members["m"].revoking.values()) == {5}


def test_the_hash_tells_topics_from_others() -> None:
    one = records.metadata_hash([("a", TOPIC, 1), ("b", UUID(int=8), 2)])
    assert one == records.metadata_hash([("b", UUID(int=8), 2), ("a", TOPIC, 1)])
    others = {
        records.metadata_hash([("a", TOPIC, 2), ("b", UUID(int=8), 2)]),
        records.metadata_hash([("a", UUID(int=9), 1), ("b", UUID(int=8), 2)]),
        records.metadata_hash([("a", TOPIC, 1)]),
        records.metadata_hash([]),
    }
    assert len(others | {one}) == 5
    assert records.metadata_hash([]) == 0


def test_keys_and_values_are_those_of_kafka() -> None:
    """By hand, from the schemas: type, version, fields; tagged ones at the end."""
    key, value = records.group_epoch("g", 3, 1)
    assert key.hex() == "0003" + "000167"
    assert value is not None
    assert value.hex() == "0000" + "00000003" + "01" + "00" + "08" + "0000000000000001"
    key, value = records.target_assignment("g", "m", PLACES[:2])
    assert key.hex() == "0007" + "000167" + "00016d"
    assert value is not None
    partitions = "03" + "00000000" + "00000001"
    assert value.hex() == "0000" + "02" + TOPIC.bytes.hex() + partitions + "00" + "00"

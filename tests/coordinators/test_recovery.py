"""What survives a crash: groups at rest and committed offsets, in the records that Kafka writes."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

import pytest

from mq.coordinators import group_records
from mq.coordinators.effects import StateRecord
from mq.coordinators.group_records import OffsetCommit, Unknown
from mq.errors import ErrorCode, PeerError
from mq.wire.messages.records.offset_commit import OffsetCommitValue

Owner = Any
NewOwner = Callable[..., Owner]


def test_a_stable_group_goes_on_after_a_crash(owner: Owner) -> None:
    leader, follower = owner.stable(2)
    after = owner.restarted()
    assert after.state() == "Stable"
    assert after.beat(leader, 1) == after.beat(follower, 1) == ErrorCode.NONE
    assert after.answers[after.sync(follower, 1)].assignment == follower.encode()
    assert after.commit(5, member_id=leader, generation=1) == ErrorCode.NONE
    before, described = owner.describe(), after.describe()
    assert before == described


def test_after_a_crash_every_member_has_a_session_to_be_heard_of(owner: Owner) -> None:
    leader, gone = owner.stable(2, session_ms=10_000)
    owner.advance(9_000)
    owner.beat(leader, 1)
    owner.beat(gone, 1)
    after = owner.restarted()
    after.advance(9_999)
    assert after.beat(leader, 1) == ErrorCode.NONE
    after.advance(1)
    assert after.beat(leader, 1) == ErrorCode.REBALANCE_IN_PROGRESS


def test_of_several_records_of_a_group_the_last_one_holds(owner: Owner) -> None:
    (member,) = owner.stable(protocols=[("range", b"old wish")])
    owner.join(member, protocols=[("range", b"new wish")], session_ms=20_000)
    owner.sync(member, 2, {member: b"share"})
    owner.join(member, protocols=[("range", b"new wish")], session_ms=20_000)
    owner.sync(member, 3, {member: b"another"})
    (read,) = owner.restarted().describe().members
    assert (read.member_metadata, read.member_assignment) == (b"new wish", b"another")


def test_a_group_may_change_its_protocol_from_record_to_record(owner: Owner) -> None:
    (member,) = owner.stable(protocols=[("range", b""), ("sticky", b"")])
    token = owner.join(member, protocols=[("sticky", b"s")])
    assert owner.answers[token].protocol_name == "sticky"
    owner.sync(member, 2, {member: b"share"}, protocol="sticky")
    assert owner.restarted().describe() == owner.describe()


def test_who_led_before_a_crash_leads_after_it(owner: Owner) -> None:
    how = {"rebalance_ms": 6_000, "session_ms": 30_000}
    tokens = [owner.join(instance_id=instance, **how) for instance in ("one", "two")]
    owner.advance(0)
    first, second = (owner.answers[token].member_id for token in tokens)
    for member_id in (second, first):
        owner.sync(member_id, 1, {})
    owner.join(second, instance_id="two", protocols=[("range", b"new")], **how)
    owner.advance(6_000)  # the first member, which led, misses the rebalance
    owner.sync(second, 2, {})
    after = owner.restarted()
    after.join(first, instance_id="one", **how)
    assert after.state() == "Stable"
    after.join(second, instance_id="two", protocols=[("range", b"new")], **how)
    assert after.state() == "PreparingRebalance"


def test_a_generation_that_never_got_an_assignment_is_counted_again_after_a_crash(
    owner: Owner,
) -> None:
    (member,) = owner.stable()
    token = owner.join(member)
    assert owner.answers[token].generation_id == 2
    after = owner.restarted()
    assert after.beat(member, 2) == ErrorCode.ILLEGAL_GENERATION
    again = after.join(member)
    assert after.answers[again].generation_id == 2


def test_a_group_that_was_only_being_formed_is_empty_after_a_crash(owner: Owner) -> None:
    (member,) = owner.joined()
    after = owner.restarted()
    assert after.state() == "Empty"
    assert after.beat(member, 1) == ErrorCode.UNKNOWN_MEMBER_ID


def test_an_empty_group_keeps_its_generation_and_protocol_type(owner: Owner) -> None:
    (member,) = owner.stable(protocol_type="consumer")
    owner.leave((member, None))
    after = owner.restarted()
    assert after.describe().protocol_type == "consumer"
    token = after.join(after.fresh_id())
    after.advance(0)
    assert after.answers[token].generation_id == 3


def test_many_restarts_read_the_same(owner: Owner) -> None:
    owner.stable(3)
    owner.commit(9, group_id="other")
    described = owner.describe()
    for _ in range(3):
        owner = owner.restarted()
        assert owner.describe() == described
        assert owner.committed("other") == 9


def test_a_group_of_records_without_a_leader_or_rebalance_timeout_has_a_rebalance(
    new_owner: NewOwner,
) -> None:
    """Version 0 of the record had no rebalance timeout; a leader may be null."""
    member = b"\x00\x01m" + b"\x00\x01c" + b"\x00\x02/h"
    member += struct.pack(">i", 10_000) + b"\x00\x00\x00\x01s" + b"\x00\x00\x00\x01a"
    value = b"\x00\x00" + b"\x00\x08consumer" + struct.pack(">i", 4) + b"\x00\x05range"
    value += b"\xff\xff" + struct.pack(">i", 1) + member
    owner = new_owner(log=[(0, StateRecord(b"\x00\x02\x00\x01g", value))])
    assert owner.state() == "PreparingRebalance"
    token = owner.join("m", protocols=[("range", b"s")])
    assert (owner.answers[token].generation_id, owner.answers[token].leader) == (5, "m")


def test_tombstones_remove_what_they_name_and_nothing_else(owner: Owner) -> None:
    owner.commit(1)
    owner.commit(2, partition=1)
    partition = owner.coordinator.partition_for("g")
    for record in (
        group_records.offset_tombstone("g", "orders", 0),
        group_records.offset_tombstone("g", "orders", 7),
        group_records.offset_tombstone("nobody", "orders", 0),
        group_records.group_tombstone("nobody"),
    ):
        owner.log.append((partition, record))
    after = owner.restarted()
    assert (after.committed(), after.committed(partition=1)) == (-1, 2)


@pytest.mark.parametrize(
    ("key", "reason"),
    [
        (b"\x00\x63", "a record of type 99 in partition 3"),
        (b"\xff\xff", "a record of type -1 in partition 3"),
        (b"\x00\x0b\x00\x01g", "ShareGroupMetadataKey in partition 3"),
    ],
)
def test_records_of_unknown_types_are_named_and_ignored(
    new_owner: NewOwner, key: bytes, reason: str
) -> None:
    offset = group_records.offset_commit("g", "orders", 0, OffsetCommitValue(5))
    owner = new_owner(log=[(3, StateRecord(key, None)), (3, offset)])
    assert owner.ignored == [reason]
    assert owner.committed() == 5


@pytest.mark.parametrize("name", ["group", "offset"])
def test_records_of_unknown_versions_are_named_and_ignored(new_owner: NewOwner, name: str) -> None:
    keys = {"group": b"\x00\x02\x00\x01g", "offset": b"\x00\x01\x00\x01g\x00\x01t\x00\x00\x00\x00"}
    owner = new_owner(log=[(0, StateRecord(keys[name], b"\x00\x7f"))])
    assert len(owner.ignored) == 1
    assert "127" in owner.ignored[0]


def test_a_malformed_record_is_an_error(owner: Owner) -> None:
    with pytest.raises(PeerError):
        owner.coordinator.apply(0, b"\x00\x01\x00\x01g", None)


def test_requests_come_only_after_the_log_was_read(new_owner: NewOwner) -> None:
    owner = new_owner()
    with pytest.raises(AssertionError):
        owner.coordinator.loaded(owner.now)


def test_an_offset_is_written_as_kafka_writes_it() -> None:
    committed = OffsetCommitValue(42, 3, "note", 1_700_000_000_000)
    record = group_records.offset_commit("g", "orders", 7, committed)
    assert record.key.hex() == "0001" + "000167" + "00066f7264657273" + "00000007"
    assert record.value is not None
    assert record.value.hex() == (
        "0004" + "000000000000002a" + "00000003" + "056e6f7465" + "0000018bcfe56800" + "00"
    )


def test_an_offset_that_expires_by_itself_is_written_as_kafka_writes_it() -> None:
    committed = OffsetCommitValue(42, 3, "note", 1_700_000_000_000, 1_700_000_000_001)
    record = group_records.offset_commit("g", "orders", 7, committed)
    assert record.value is not None
    assert record.value.hex() == (
        "0001" + "000000000000002a" + "00046e6f7465" + "0000018bcfe56800" + "0000018bcfe56801"
    )


def test_an_offset_read_back_is_the_one_written() -> None:
    committed = OffsetCommitValue(42, 3, "note", 1_700_000_000_000)
    record = group_records.offset_commit("g", "orders", 7, committed)
    assert group_records.read(*record) == OffsetCommit("g", "orders", 7, committed)


def test_a_record_that_cannot_be_read_says_why() -> None:
    assert group_records.read(b"\x00\x63", None) == Unknown("a record of type 99")

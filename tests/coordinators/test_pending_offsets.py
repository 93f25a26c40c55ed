"""Offsets of open transactions: what counts in the end is what was written last."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mq.coordinators.group_records import OffsetCommit
from mq.coordinators.pending_offsets import PendingOffsets
from mq.wire.messages.records.offset_commit import OffsetCommitValue

PLACE = ("g", "orders", 0)


def commit(offset: int) -> OffsetCommit:
    return OffsetCommit(*PLACE, OffsetCommitValue(offset=offset))


def test_offsets_are_pending_until_their_transaction_ends() -> None:
    pending = PendingOffsets()
    pending.add((0, 7), commit(5))
    assert PLACE in pending
    assert pending.concerns("g")
    assert pending.end((0, 7), commit=True) == [commit(5)]
    assert PLACE not in pending
    assert not pending.concerns("g")
    assert pending.end((0, 7), commit=True) == []


def test_an_abort_leaves_nothing() -> None:
    pending = PendingOffsets()
    pending.add((0, 7), commit(5))
    assert pending.end((0, 7), commit=False) == []
    assert PLACE not in pending


def test_a_transaction_ends_in_one_partition_of_the_state_topic_at_a_time() -> None:
    pending = PendingOffsets()
    pending.add((0, 7), commit(5))
    assert pending.end((1, 7), commit=True) == []
    assert PLACE in pending


# Who writes: a transaction of producer 1 to 3, or 0 for a commit outside of any; or who ends how.
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("write"), st.integers(0, 3)),
        st.tuples(st.sampled_from(["commit", "abort"]), st.integers(1, 3)),
    ),
    max_size=30,
)


@given(STEPS)
def test_the_newest_record_that_counts_wins(steps: list[tuple[str, int]]) -> None:
    pending = PendingOffsets()
    open_: dict[int, int] = {}  # the newest record of each open transaction
    newest, committed = -1, -1  # of all records that count, and what is believed to
    for number, (kind, who) in enumerate(steps):
        if kind == "write" and who == 0:
            pending.overtake(PLACE)
            newest = committed = number
        elif kind == "write":
            pending.add((0, who), commit(number))
            open_[who] = number
        else:
            record = open_.pop(who, -1)
            if kind == "commit":
                newest = max(newest, record)
            for each in pending.end((0, who), commit=kind == "commit"):
                assert each.value is not None
                committed = each.value.offset
        assert committed == newest
        assert (PLACE in pending) == bool(open_)
        assert pending.concerns("g") == bool(open_)

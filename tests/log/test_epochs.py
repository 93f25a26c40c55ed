"""Leader epochs: what OffsetForLeaderEpoch is answered from."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mq.log.epochs import UNDEFINED, LeaderEpochs


def test_an_epoch_ends_where_the_next_one_begins() -> None:
    epochs = LeaderEpochs([(1, 0), (2, 10), (5, 30)])
    assert epochs.end_offset(1, 50) == (1, 10)
    assert epochs.end_offset(5, 50) == (5, 50)
    assert epochs.end_offset(3, 50) == (2, 30)  # the largest epoch not above it
    assert epochs.end_offset(0, 50) == (0, 0)
    assert epochs.end_offset(6, 50) == UNDEFINED
    assert epochs.end_offset(-1, 50) == UNDEFINED
    assert LeaderEpochs().end_offset(0, 50) == UNDEFINED


def test_a_new_epoch_replaces_those_that_have_no_record() -> None:
    epochs = LeaderEpochs([(1, 0), (2, 10), (3, 10)])
    assert epochs.assign(4, 10)
    assert epochs.entries == [(1, 0), (4, 10)]
    assert not epochs.assign(4, 20)
    assert epochs.latest == 4


def test_truncation_from_the_start_keeps_the_epoch_under_way() -> None:
    epochs = LeaderEpochs([(1, 0), (2, 10), (5, 30)])
    assert epochs.truncate_start(15)
    assert epochs.entries == [(2, 15), (5, 30)]
    assert not epochs.truncate_start(15)
    assert epochs.truncate_start(30)
    assert epochs.entries == [(5, 30)]


def test_the_first_epoch_begins_where_the_log_does() -> None:
    epochs = LeaderEpochs([(1, 5), (2, 10)])
    epochs.begin_at(2)
    assert epochs.entries == [(1, 2), (2, 10)]
    epochs.begin_at(12)
    assert epochs.entries == [(2, 12)]


def test_truncation_from_the_end_drops_what_begins_there() -> None:
    epochs = LeaderEpochs([(1, 0), (2, 10), (5, 30)])
    assert not epochs.truncate_end(31)
    assert epochs.truncate_end(30)
    assert epochs.entries == [(1, 0), (2, 10)]


@pytest.mark.parametrize("entries", [[(1, 0), (1, 5)], [(1, 5), (2, 4)], [(-1, 0)], [(0, -1)]])
def test_entries_that_do_not_rise_are_refused(entries: list[tuple[int, int]]) -> None:
    with pytest.raises(ValueError, match="follows"):
        LeaderEpochs(entries)


@given(st.lists(st.integers(1, 5), min_size=1, max_size=6), st.integers(0, 40))
def test_the_epoch_of_an_offset_is_the_one_it_was_written_in(
    lengths: list[int], offset: int
) -> None:
    epochs, written, end = LeaderEpochs(), [], 0
    for epoch, length in enumerate(lengths):
        epochs.assign(epoch, end)
        written += [epoch] * length
        end += length
    expected = written[offset] if offset < end else len(lengths) - 1
    assert epochs.epoch_at(offset) == expected
    for epoch in range(len(lengths)):
        assert epochs.end_offset(epoch, end) == (
            epoch,
            len(written) - written[::-1].index(epoch),
        )


def test_offsets_before_all_epochs_have_none() -> None:
    assert LeaderEpochs([(3, 10)]).epoch_at(9) == -1
    assert LeaderEpochs().latest == -1

"""Decisions about names and batches after a crash."""

from __future__ import annotations

from mq.log.epochs import LeaderEpochs
from mq.log.producers import Producers
from mq.log.recovery import (
    Replay,
    first_to_verify,
    interrupted_swaps,
    sort_names,
    tidy,
)
from mq.wire.batch import BatchHeader


def name(offset: int, ending: str) -> str:
    return f"{offset:020d}.{ending}"


def header(base: int, count: int = 1, *, producer_id: int = -1, epoch: int = 0) -> BatchHeader:
    sequence = 0 if producer_id >= 0 else -1
    return BatchHeader(base, 100, epoch, 2, 0, 0, count - 1, 0, 0, producer_id, 0, sequence, count)


def test_names_are_sorted_and_indexes_without_a_log_are_orphans() -> None:
    names = [name(5, "log"), name(0, "log"), name(5, "index"), name(7, "timeindex"), "x.log",
             name(5, "snapshot"), name(9, "snapshot"), "partition.metadata"]  # fmt: skip
    found = sort_names(names)
    assert found.logs == [0, 5]
    assert found.snapshots == [5, 9]
    assert found.orphans == [name(7, "timeindex")]


def test_leftovers_are_removed() -> None:
    leftovers = [name(0, "log.deleted"), name(0, "index.cleaned"), name(0, "log.cleaned"), "a.tmp"]
    todo = tidy([*leftovers, name(0, "log"), "partition.metadata"], {})
    assert sorted(todo.remove) == sorted(leftovers)
    assert todo.rename == []


def test_an_interrupted_swap_is_completed_and_what_it_replaces_removed() -> None:
    names = [name(0, "log.swap"), name(0, "index.swap"), name(0, "log"), name(0, "index"),
             name(5, "log"), name(10, "log"), name(10, "snapshot")]  # fmt: skip
    assert interrupted_swaps(names) == [0]
    todo = tidy(names, {0: 10})
    assert sorted(todo.remove) == sorted([name(0, "log"), name(0, "index"), name(5, "log")])
    assert dict(todo.rename) == {
        name(0, "log.swap"): name(0, "log"),
        name(0, "index.swap"): name(0, "index"),
    }


def test_a_swap_that_had_not_begun_is_given_up() -> None:
    names = [name(0, "log.swap"), name(0, "index.cleaned"), name(0, "log")]
    assert interrupted_swaps(names) == []
    assert sorted(tidy(names, {}).remove) == sorted(names[:2])


def test_verification_begins_with_the_segment_of_the_recovery_point() -> None:
    assert first_to_verify([0, 10, 20], 0) == 0
    assert first_to_verify([0, 10, 20], 9) == 0
    assert first_to_verify([0, 10, 20], 10) == 1
    assert first_to_verify([0, 10, 20], 99) == 2
    assert first_to_verify([5], 0) == 0


def test_batches_must_rise_and_in_an_active_segment_leave_no_gap() -> None:
    replay = Replay(Producers(), 0, None, 0)
    assert replay.accept(header(0, 5), gapless=True)
    assert not replay.accept(header(4, 5), gapless=False)
    assert not replay.accept(header(6), gapless=True)
    assert replay.end_offset == 5
    assert replay.accept(header(6), gapless=False)
    assert replay.end_offset == 7
    assert replay.follows(7)
    assert not replay.follows(8)


def test_producers_are_learned_from_where_the_snapshot_ends() -> None:
    producers = Producers()
    replay = Replay(producers, 10, None, 77)
    replay.end_offset = 9
    replay.accept(header(9, producer_id=1), gapless=True)
    replay.accept(header(10, producer_id=2), gapless=True)
    assert [(producer_id, state.timestamp) for producer_id, state in producers] == [(2, 77)]


def test_epochs_are_learned_only_where_they_are_not_known() -> None:
    epochs = LeaderEpochs()
    replay = Replay(Producers(), 0, epochs, 0)
    for base, epoch in ((0, 0), (1, 0), (2, 3)):
        replay.accept(header(base, epoch=epoch), gapless=True)
    assert epochs.entries == [(0, 0), (3, 2)]

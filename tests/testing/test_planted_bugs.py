"""The power-loss model finds bugs: each of these is planted, by its name, and has to be caught.

The same stories that catch them are told without any bug first, and break no promise then.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest

from mq.log import journal, loader, scan
from mq.log.files import Buffer, File, Files
from mq.log.flusher import GroupCommit, Report
from mq.log.journal import Journal
from mq.log.partition import Partition
from mq.log.recovery import Replay
from mq.log.unsynced import Unsynced
from mq.testing.disk import Disk
from mq.testing.owner import Owner
from mq.testing.power_loss import PowerLoss
from mq.testing.promises import BrokenPromise
from mq.testing.workloads import Workload
from mq.wire.batch import BatchHeader, BatchRecord, encode_batch
from mq.wire.fields import Message
from mq.wire.state_record import encode_metadata

pytestmark = pytest.mark.slow

Patch = pytest.MonkeyPatch
Plant = Callable[[Patch], None]

PER_MOMENT = 4
DEEP_EVERY = 8


def story(*steps: str, durability: Any = "sync") -> Workload:
    return Workload(steps, durability=durability)


STORIES = {
    "rolling": story(
        *("append a", "append large a", "commit", "append a", "roll a", "append a", "commit"),
        *("checkpoint", "append many a", "append a", "kill", "append a", "commit", "append a"),
    ),
    "journal": story(
        *("prepare", "append a", "append b", "commit", "append large a", "commit", "append a"),
        *("commit", "checkpoint", "append a", "append b", "commit", "kill", "append a", "commit"),
    ),
    "topics": story(
        *("prepare", "append b", "commit", "append b", "commit", "delete topic b", "append b"),
        *("append b", "commit", "append b", "checkpoint", "commit", "append b"),
    ),
    "deletions": story(
        *("append a", "append a", "append large a", "append a", "append a", "commit"),
        *("checkpoint", "delete records a", "append large a", "commit", "retain a"),
        *("append a", "commit", "delete records a", "checkpoint", "append a"),
    ),
    "beside the journal": story(
        *("prepare", "append a", "commit/append a@2", "append a", "commit/append large a@1"),
        *("checkpoint", "commit/append a@4", "stop", "append a", "append b", "commit"),
    ),
    "torn tail": story("append a", "commit", *["append a"] * 6),
    "full disk": story(
        *("append a", "commit", "full disk", "append b", "append b", "commit", "full disk"),
        *("append a", "append a", "full disk", "append large a", "commit"),
    ),
    "beside the sync": story(
        "append a", "commit", "append a", "commit/append a@2", "commit/append large a@2"
    ),
    "durability os": story(
        *("append a", "append large a", "append a", "checkpoint", "append a", "kill", "append a"),
        *("append a", "roll a", "append a"),
        durability="os",
    ),
}


def tell(name: str) -> int:
    """Check crashes of a story, the same ones each time; how many."""
    chance = random.Random(name)
    model = PowerLoss(chance=chance, per_moment=PER_MOMENT, deep_every=DEEP_EVERY)
    model.run(STORIES[name])
    return model.states


# --- bugs ----------------------------------------------------------------------------------------

BUGS: dict[str, tuple[str, Plant]] = {}  # each with the story in which it is caught


def caught_in(name: str) -> Callable[[Plant], Plant]:
    def register(plant: Plant) -> Plant:
        BUGS[plant.__name__] = name, plant
        return plant

    return register


def skips_sync_of_names_in(function: str) -> Plant:
    def plant(patch: Patch) -> None:
        real = Disk.sync_directory

        def sync_directory(disk: Disk, path: Path) -> None:
            if sys._getframe(1).f_code.co_name != function:
                real(disk, path)

        patch.setattr(Disk, "sync_directory", sync_directory)

    return plant


for _where, _story in (
    ("sync_each", "rolling"),
    ("replace", "deletions"),
    ("_make", "rolling"),
):
    BUGS[f"skips_sync_of_names_in {_where}"] = _story, skips_sync_of_names_in(_where)


@caught_in("rolling")
def acknowledges_before_the_sync(patch: Patch) -> None:
    real = GroupCommit.run

    def run(commit: GroupCommit, partitions: Iterable[Partition], report: Report) -> None:
        group = list(partitions)
        report([(partition, partition.log_end_offset) for partition in group])
        real(commit, group, report)

    patch.setattr(GroupCommit, "run", run)


@caught_in("beside the sync")
def syncs_what_came_while_it_ran(patch: Patch) -> None:
    real = Unsynced.sync

    def sync(unsynced: Unsynced, files: Files) -> int:
        real(unsynced, files)
        unsynced.recovery_point = unsynced._end
        return unsynced._end

    patch.setattr(Unsynced, "sync", sync)


@caught_in("journal")
def does_not_sync_the_journal(patch: Patch) -> None:
    patch.setattr(Disk, "write_through", Disk.pwrite)


@caught_in("journal")
def frees_the_journal_before_its_checkpoint(patch: Patch) -> None:
    patch.setattr(journal, "sync_all", lambda partitions: None)


@caught_in("topics")
def uses_a_generation_again(patch: Patch) -> None:
    real = Journal.begin

    def begin(each: Journal[Any], generation: int) -> None:
        real(each, 1)

    patch.setattr(Journal, "begin", begin)
    patch.setattr("mq.log.journal.os.urandom", bytes)


@caught_in("topics")
def replays_a_deleted_topic(patch: Patch) -> None:
    real = loader.Load._identify

    def identify(load: loader.Load) -> None:
        entries = load.backlog
        real(load)
        load.backlog = entries

    patch.setattr(loader.Load, "_identify", identify)


@caught_in("rolling")
def writes_a_checkpoint_before_the_sync(patch: Patch) -> None:
    patch.setattr(Partition, "recovery_point", property(lambda each: each.log_end_offset))


@caught_in("deletions")
def forgets_the_log_start(patch: Patch) -> None:
    patch.setattr(Partition, "checkpoint", lambda partition: None)


@caught_in("rolling")
def cuts_a_batch_too_few(patch: Patch) -> None:
    patch.setattr(scan, "_is_intact", lambda data, position: True)


@caught_in("journal")
def accepts_a_hole(patch: Patch) -> None:
    patch.setattr(Replay, "follows", lambda replay, base_offset: True)


@caught_in("torn tail")
def leaves_a_torn_tail(patch: Patch) -> None:
    real = Disk.truncate

    def truncate(disk: Disk, file: File, size: int) -> None:
        if sys._getframe(1).f_code.co_name != "_cut":
            real(disk, file, size)

    patch.setattr(Disk, "truncate", truncate)


@caught_in("rolling")
def does_not_sync_what_it_recovered(patch: Patch) -> None:
    patch.setattr(loader.Load, "_make_durable", lambda load, verify_from: None)


@caught_in("rolling")
def trusts_a_snapshot_newer_than_the_log(patch: Patch) -> None:
    real = loader.Load._read_snapshot
    patch.setattr(loader.Load, "_read_snapshot", lambda load, limit: real(load, 1 << 60))


@caught_in("durability os")
def does_not_raise_the_epoch(patch: Patch) -> None:
    patch.setattr(Partition, "begin_epoch", lambda partition: partition.leader_epoch)


@caught_in("rolling")
def does_not_sync_a_replaced_file(patch: Patch) -> None:
    def replace(disk: Disk, path: Path, data: Buffer) -> None:
        scratch = path.with_name(path.name + ".tmp")
        disk.write(scratch, data)
        disk.rename(scratch, path)
        disk.sync_directory(path.parent)

    patch.setattr(Disk, "replace", replace)


@caught_in("full disk")
def applies_before_it_stores(patch: Patch) -> None:
    def change(owner: Owner, records: Sequence[Message]) -> None:
        for record in records:
            owner.catalog.apply(record)
        values = [BatchRecord(None, encode_metadata(record)) for record in records]
        owner._append(owner.metadata, encode_batch(values), client=False)

    patch.setattr(Owner, "_change", change)


@caught_in("rolling")
def forgets_who_produced(patch: Patch) -> None:
    real = Replay.accept

    def accept(replay: Replay, header: BatchHeader, *rest: Any, gapless: bool) -> bool:
        return real(replay, header._replace(producer_id=-1), *rest, gapless=gapless)

    patch.setattr(Replay, "accept", accept)


# --- and whether they are found ------------------------------------------------------------------


@pytest.mark.parametrize("name", STORIES)
def test_a_story_breaks_no_promise_as_long_as_no_bug_is_planted(name: str) -> None:
    assert tell(name) > 100


@pytest.mark.parametrize("name", BUGS)
def test_a_planted_bug_is_caught(name: str, monkeypatch: Patch) -> None:
    where, plant = BUGS[name]
    plant(monkeypatch)
    with pytest.raises(BrokenPromise) as caught:
        tell(where)
    assert "durability" in str(caught.value), "the story is told"

"""The power-loss model finds bugs: each of these is planted, by its name, and has to be caught.

The same stories that catch them are told without any bug first, and break no promise then.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from mq.log import journal, loader, segment
from mq.log.directory import DataDirectory
from mq.log.files import Buffer, File, Files
from mq.log.flusher import GroupCommit, Report
from mq.log.journal import Journal
from mq.log.partition import Partition
from mq.log.recovery import Replay
from mq.log.unsynced import Unsynced
from mq.testing.disk import Disk
from mq.testing.power_loss import PowerLoss
from mq.testing.promises import BrokenPromise
from mq.testing.workloads import Workload

pytestmark = pytest.mark.slow

Patch = pytest.MonkeyPatch
Plant = Callable[[Patch], None]

PER_MOMENT = 4


def story(*steps: str, durability: Any = "sync") -> Workload:
    return Workload(steps, durability=durability)


STORIES = [
    story(
        *("append a", "append large a", "commit", "append a", "roll a", "append a", "commit"),
        *("checkpoint", "append many a", "append a", "kill", "append a", "commit", "append a"),
    ),
    story(
        *("prepare", "append a", "append b", "commit", "append large a", "commit", "append a"),
        *("commit", "checkpoint", "append a", "append b", "commit", "kill", "append a", "commit"),
    ),
    story(
        *("prepare", "append b", "commit", "append b", "commit", "delete topic b", "append b"),
        *("append b", "commit", "append b", "checkpoint", "commit", "append b"),
    ),
    story(
        *("append a", "append a", "append large a", "append a", "append a", "commit"),
        *("checkpoint", "delete records a", "append large a", "commit", "retain a"),
        *("append a", "commit", "delete records a", "checkpoint", "append a"),
    ),
    story(
        *("prepare", "append a", "commit/append a@2", "append a", "commit/append large a@1"),
        *("checkpoint", "commit/append a@4", "stop", "append a", "append b", "commit"),
    ),
    story(
        *("append a", "append large a", "append a", "checkpoint", "append a", "kill", "append a"),
        *("append a", "roll a", "append a"),
        durability="os",
    ),
]


def tell_all() -> int:
    states = 0
    for number, each in enumerate(STORIES):
        model = PowerLoss(chance=random.Random(number), per_moment=PER_MOMENT)
        model.run(each)
        states += model.states
    return states


# --- bugs ----------------------------------------------------------------------------------------

BUGS: dict[str, Plant] = {}


def bug(plant: Plant) -> Plant:
    BUGS[plant.__name__] = plant
    return plant


def skips_sync_of_names_in(function: str) -> Plant:
    def plant(patch: Patch) -> None:
        real = Disk.sync_directory

        def sync_directory(disk: Disk, path: Path) -> None:
            if sys._getframe(1).f_code.co_name != function:
                real(disk, path)

        patch.setattr(Disk, "sync_directory", sync_directory)

    return plant


for _where in ("_sync", "replace", "_make", "_make_durable"):
    BUGS[f"skips_sync_of_names_in {_where}"] = skips_sync_of_names_in(_where)


@bug
def acknowledges_before_the_sync(patch: Patch) -> None:
    real = GroupCommit.run

    def run(commit: GroupCommit, partitions: Iterable[Partition], report: Report) -> None:
        group = list(partitions)
        report([(partition, partition.log_end_offset) for partition in group])
        real(commit, group, report)

    patch.setattr(GroupCommit, "run", run)


@bug
def syncs_what_came_while_it_ran(patch: Patch) -> None:
    real = Unsynced.sync

    def sync(unsynced: Unsynced, files: Files) -> int:
        real(unsynced, files)
        unsynced.recovery_point = unsynced._end
        return unsynced._end

    patch.setattr(Unsynced, "sync", sync)


@bug
def does_not_sync_the_journal(patch: Patch) -> None:
    patch.setattr(Disk, "write_through", Disk.pwrite)


@bug
def frees_the_journal_before_its_checkpoint(patch: Patch) -> None:
    patch.setattr(journal, "sync_all", lambda partitions: None)


@bug
def uses_a_generation_again(patch: Patch) -> None:
    real = Journal.begin

    def begin(each: Journal[Any], generation: int) -> None:
        real(each, 1)

    patch.setattr(Journal, "begin", begin)
    patch.setattr("mq.log.journal.os.urandom", bytes)


@bug
def replays_a_deleted_topic(patch: Patch) -> None:
    real = loader._Load._identify

    def identify(load: loader._Load) -> None:
        entries = load.backlog
        real(load)
        load.backlog = entries

    patch.setattr(loader._Load, "_identify", identify)


@bug
def writes_a_checkpoint_before_the_sync(patch: Patch) -> None:
    patch.setattr(Partition, "recovery_point", property(lambda each: each.log_end_offset))


@bug
def forgets_the_log_start(patch: Patch) -> None:
    real = DataDirectory._write_checkpoints

    def write(directory: DataDirectory) -> None:
        if sys._getframe(1).f_code.co_name != "checkpoint":
            return
        real(directory)

    patch.setattr(DataDirectory, "_write_checkpoints", write)


@bug
def cuts_a_batch_too_few(patch: Patch) -> None:
    patch.setattr(segment, "_is_intact", lambda data, position: True)


@bug
def accepts_a_hole(patch: Patch) -> None:
    patch.setattr(Replay, "follows", lambda replay, base_offset: True)


@bug
def leaves_a_torn_tail(patch: Patch) -> None:
    real = Disk.truncate

    def truncate(disk: Disk, file: File, size: int) -> None:
        if sys._getframe(1).f_code.co_name != "_cut":
            real(disk, file, size)

    patch.setattr(Disk, "truncate", truncate)


@bug
def does_not_sync_what_it_recovered(patch: Patch) -> None:
    patch.setattr(loader._Load, "_make_durable", lambda load, verify_from: None)


@bug
def trusts_a_snapshot_newer_than_the_log(patch: Patch) -> None:
    real = loader._Load._read_snapshot
    patch.setattr(loader._Load, "_read_snapshot", lambda load, limit: real(load, 1 << 60))


@bug
def does_not_raise_the_epoch(patch: Patch) -> None:
    patch.setattr(Partition, "begin_epoch", lambda partition: partition.leader_epoch)


@bug
def does_not_sync_a_replaced_file(patch: Patch) -> None:
    def replace(disk: Disk, path: Path, data: Buffer) -> None:
        scratch = path.with_name(path.name + ".tmp")
        disk.write(scratch, data)
        disk.rename(scratch, path)
        disk.sync_directory(path.parent)

    patch.setattr(Disk, "replace", replace)


@bug
def forgets_who_produced(patch: Patch) -> None:
    patch.setattr(Replay, "_take_producer", lambda *_: None, raising=False)


# --- and whether they are found ------------------------------------------------------------------


def test_the_stories_break_no_promise_as_long_as_no_bug_is_planted() -> None:
    assert tell_all() > 1000


@pytest.mark.parametrize("name", BUGS)
def test_a_planted_bug_is_caught(name: str, monkeypatch: Patch) -> None:
    BUGS[name](monkeypatch)
    with pytest.raises(BrokenPromise) as caught:
        tell_all()
    assert "durability" in str(caught.value), "the story is told"

"""The journal's files, written and read again after all that can happen to them."""

from __future__ import annotations

import errno
import os
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mq.log import backlog
from mq.log.entries import BLOCK_BYTES, HEAD_BYTES, Entry, padded
from mq.log.files import Buffer, File, Files
from mq.log.journal import JOURNAL_FILES, Journal, remove
from mq.log.unsynced import SyncFailed
from mq.record import TopicPartition

CAPACITY = 4 * BLOCK_BYTES
TOPIC_ID = uuid.UUID(int=77)


class FakePartition:
    """Counts the syncs that it is asked for."""

    def __init__(self, index: int = 0) -> None:
        self.name = TopicPartition("orders", index)
        self.recovery_point = 0
        self.end = 0
        self.syncs = 0
        self.error: OSError | None = None

    def entry(self, batches: bytes, topic_id: uuid.UUID = TOPIC_ID) -> tuple[FakePartition, Entry]:
        """The next entry, of one offset."""
        first, self.end = self.end, self.end + 1
        return self, Entry(topic_id, self.name, first, self.end, [batches])

    def sync(self) -> int:
        self.syncs += 1
        if self.error is not None:
            raise self.error
        self.recovery_point = self.end
        return self.end


@pytest.fixture
def journal(tmp_path: Path, fast_files: type[Files]) -> Journal[FakePartition]:
    journal: Journal[FakePartition] = Journal(fast_files(), tmp_path, CAPACITY)
    journal.prepare(5)
    return journal


def found_in(path: Path) -> dict[TopicPartition, list[bytes]]:
    """The batches of each partition, as they are found."""
    found = backlog.read(Files(), path)
    return {
        name: [entries.read(piece) for piece in entries] for name, entries in found.backlogs.items()
    }


def write_until_full(journal: Journal[FakePartition], partition: FakePartition) -> int:
    """Write groups of one block until there is no room; how many."""
    count = 0
    while journal.room():
        journal.write([partition.entry(b"%d" % partition.end)])
        count += 1
    return count


# --- writing and reading -------------------------------------------------------------------------


def test_what_was_written_is_found_in_its_order(
    journal: Journal[FakePartition], tmp_path: Path
) -> None:
    one, two = FakePartition(1), FakePartition(2)
    journal.write([one.entry(b"a"), two.entry(b"b")])
    journal.write([one.entry(b"c")])
    assert found_in(tmp_path) == {one.name: [b"a", b"c"], two.name: [b"b"]}
    found = backlog.read(Files(), tmp_path)
    assert (found.generation, found.damaged) == (5, False)
    entries = found.backlogs[one.name]
    assert (entries.topic_id, entries.first_offset) == (TOPIC_ID, 0)
    assert [piece[:2] for piece in entries] == [(0, 1), (1, 2)]
    assert backlog.newest_generation(Files(), tmp_path) == 5


def test_there_is_no_room_before_the_files_are_there(
    tmp_path: Path, fast_files: type[Files]
) -> None:
    journal: Journal[FakePartition] = Journal(fast_files(), tmp_path, CAPACITY)
    journal.begin(1)
    assert (journal.ready, journal.room()) == (False, 0)
    assert found_in(tmp_path) == {}
    journal.prepare(1)
    assert (journal.ready, journal.room()) == (True, CAPACITY - HEAD_BYTES)
    assert [(tmp_path / name).stat().st_size for name in JOURNAL_FILES] == [CAPACITY, CAPACITY]
    journal.prepare(9)
    assert backlog.newest_generation(Files(), tmp_path) == 1


def test_files_of_another_size_are_made_anew(tmp_path: Path, fast_files: type[Files]) -> None:
    for capacity in (CAPACITY, 2 * CAPACITY):
        journal: Journal[FakePartition] = Journal(fast_files(), tmp_path, capacity)
        journal.prepare(1)
        assert journal.room() == capacity - HEAD_BYTES


def test_a_full_disk_leaves_no_half_made_file(tmp_path: Path, faulty: Any) -> None:
    journal: Journal[FakePartition] = Journal(faulty, tmp_path, CAPACITY)
    faulty.faults = {"pwrite": JOURNAL_FILES[1]}
    with pytest.raises(OSError, match="No space"):
        journal.prepare(1)
    assert not journal.ready
    assert not (tmp_path / JOURNAL_FILES[1]).exists()
    faulty.faults = {}
    journal.prepare(1)
    assert journal.ready


def test_the_files_are_removed_where_nobody_needs_them(
    journal: Journal[FakePartition], tmp_path: Path, faulty: Any
) -> None:
    remove(faulty, tmp_path)
    assert list(tmp_path.iterdir()) == []
    assert faulty.calls == [f"sync_directory {tmp_path.name}"]
    remove(faulty, tmp_path)
    assert len(faulty.calls) == 1


# --- two files -----------------------------------------------------------------------------------


def test_both_files_are_filled_and_then_nothing_fits(
    journal: Journal[FakePartition], tmp_path: Path
) -> None:
    partition, called = FakePartition(), []
    journal.on_full = lambda: called.append(partition.end)
    assert write_until_full(journal, partition) == 7  # eight blocks, one of them begins the first
    assert called == [4]
    assert found_in(tmp_path) == {partition.name: [b"%d" % number for number in range(7)]}


def test_a_checkpoint_syncs_who_has_entries_in_the_full_file_and_frees_it(
    journal: Journal[FakePartition], tmp_path: Path
) -> None:
    behind, ahead, other = (FakePartition(index) for index in range(3))
    journal.write([behind.entry(b"a"), ahead.entry(b"b")])
    write_until_full(journal, other)
    ahead.sync()
    journal.checkpoint()
    assert (behind.syncs, ahead.syncs, other.syncs) == (1, 1, 1)
    assert journal.room() > 0
    journal.write([behind.entry(b"c")])
    assert found_in(tmp_path)[behind.name] == [b"c"]
    assert backlog.read(Files(), tmp_path).generation == 7


def test_many_partitions_are_synced_each_once(journal: Journal[FakePartition]) -> None:
    partitions = [FakePartition(index) for index in range(50)]
    journal.write([partition.entry(b"a") for partition in partitions])
    write_until_full(journal, partitions[0])
    journal.checkpoint()
    assert [partition.syncs for partition in partitions] == [1] * 50


def test_a_file_that_could_not_be_checkpointed_is_never_used_again(
    journal: Journal[FakePartition],
) -> None:
    partition = FakePartition()
    write_until_full(journal, partition)
    partition.error = SyncFailed(errno.EIO, os.strerror(errno.EIO))
    with pytest.raises(SyncFailed):
        journal.checkpoint()
    assert journal.room() == 0


def test_without_a_full_file_a_checkpoint_syncs_nothing(journal: Journal[FakePartition]) -> None:
    partition = FakePartition()
    journal.write([partition.entry(b"a")])
    journal.checkpoint()
    assert partition.syncs == 0


# --- former lives --------------------------------------------------------------------------------


def test_a_new_generation_makes_all_before_it_dead(
    journal: Journal[FakePartition], tmp_path: Path, fast_files: type[Files]
) -> None:
    write_until_full(journal, FakePartition())
    again: Journal[FakePartition] = Journal(fast_files(), tmp_path, CAPACITY)
    again.begin(backlog.newest_generation(Files(), tmp_path) + 1)
    assert found_in(tmp_path) == {}
    partition = FakePartition()
    again.write([partition.entry(b"new")])
    assert found_in(tmp_path) == {partition.name: [b"new"]}


def test_of_a_name_the_last_topic_counts(journal: Journal[FakePartition], tmp_path: Path) -> None:
    old, new = FakePartition(), FakePartition()
    journal.write([old.entry(b"old")])
    journal.write([new.entry(b"new", uuid.UUID(int=78))])
    found = backlog.read(Files(), tmp_path)
    assert found.backlogs[new.name].topic_id == uuid.UUID(int=78)
    assert found_in(tmp_path) == {new.name: [b"new"]}


# --- damage --------------------------------------------------------------------------------------


class TornFiles(Files):
    """Writes of the journal reach the disk in part."""

    def __init__(self) -> None:
        self.keep: set[int] | None = None

    def sync(self, file: File) -> None:
        pass

    def write_through(self, file: File, buffers: Sequence[Buffer], position: int) -> None:
        data = b"".join(buffers)
        for sector in range(0, len(data), 512):
            if self.keep is None or sector // 512 in self.keep:
                self.pwrite(file, (data[sector : sector + 512],), position + sector)


@given(
    groups=st.lists(st.integers(0, 3 * BLOCK_BYTES), min_size=1, max_size=12),
    keep=st.sets(st.integers(0, 24)),
)
def test_a_torn_group_is_no_damage_and_hides_none_before_it(
    tmp_path_factory: pytest.TempPathFactory, groups: list[int], keep: set[int]
) -> None:
    path, files, partition = tmp_path_factory.mktemp("torn"), TornFiles(), FakePartition()
    journal: Journal[FakePartition] = Journal(files, path, CAPACITY)
    journal.prepare(1)
    expected: list[bytes] = []
    for number, size in enumerate(groups):
        entry = partition.entry(bytes([number]) * (size + 1))
        if journal.room() < size + 100:
            journal.checkpoint()
            expected = []  # what was freed may be found or not
        if number == len(groups) - 1:
            files.keep = keep
        else:
            expected.append(bytes([number]) * (size + 1))
        journal.write([entry])
    found = backlog.read(Files(), path)
    assert not found.damaged
    batches = found_in(path).get(partition.name, [])
    written = [bytes([number]) * (size + 1) for number, size in enumerate(groups)]
    assert batches == [each for each in written if each in batches], "in their order, none invented"
    survivors = [each for each in batches if each != written[-1]]
    assert survivors[len(survivors) - len(expected) :] == expected


@pytest.fixture
def three_groups(journal: Journal[FakePartition], tmp_path: Path) -> FakePartition:
    partition = FakePartition()
    for batches in (b"a", b"b", b"c"):
        journal.write([partition.entry(batches)])
    assert found_in(tmp_path) == {partition.name: [b"a", b"b", b"c"]}
    return partition


@pytest.mark.parametrize(
    ("group", "left", "damaged"),
    [(0, [b"a", b"b", b"c"], True), (2, [b"a", b"c"], True), (3, [b"a", b"b"], False)],
)
def test_a_flipped_bit_before_the_last_group_is_told_and_takes_that_group_only(
    three_groups: FakePartition, tmp_path: Path, group: int, left: list[bytes], damaged: bool
) -> None:
    path = tmp_path / JOURNAL_FILES[0]
    data = bytearray(path.read_bytes())
    data[group * BLOCK_BYTES + HEAD_BYTES - 1] ^= 1
    path.write_bytes(data)
    assert found_in(tmp_path) == {three_groups.name: left}
    assert backlog.read(Files(), tmp_path).damaged == damaged


def test_records_that_look_like_a_group_are_none(
    journal: Journal[FakePartition], tmp_path: Path
) -> None:
    partition, forger = FakePartition(), FakePartition(6)
    journal.write([partition.entry(b"a")])
    group = (tmp_path / JOURNAL_FILES[0]).read_bytes()[BLOCK_BYTES : 2 * BLOCK_BYTES]
    forged = bytes(BLOCK_BYTES - padded(HEAD_BYTES) % BLOCK_BYTES) + group
    journal.write([forger.entry(forged[: 2 * BLOCK_BYTES])])
    assert found_in(tmp_path)[partition.name] == [b"a"]

"""What a crash took from the segments comes back out of the journal, and nothing else does."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mq.log.config import LogConfig
from mq.log.directory import DataDirectory
from mq.log.files import Files
from mq.log.flusher import GroupCommit
from mq.log.journal import JOURNAL_FILES
from mq.log.loader import LOST_TOPIC_ID
from mq.log.partition import Partition
from mq.record import TopicPartition
from mq.wire.batch import Producer, batches

NOW = 1_700_000_000_000
NAME = TopicPartition("orders", 0)
TOPIC_ID = uuid.UUID(int=77)
OTHER_ID = uuid.UUID(int=78)

Batch = Callable[..., bytes]


def _report(synced: list[tuple[Partition, int]]) -> None:
    for partition, offset in synced:
        partition.synced(offset)


class Lives:
    """One broker after the other on the same directory; each ends by a kill."""

    def __init__(self, path: Path, files: Files) -> None:
        self.path = path
        self.files = files
        self.directory: DataDirectory | None = None
        self.commit: GroupCommit

    def begin(self, durability: Any = "sync") -> DataDirectory:
        if self.directory is not None:
            self.directory.abandon()
        self.directory = DataDirectory.open(
            self.path,
            now_ms=NOW,
            durability=durability,
            files=self.files,
            journal_bytes=64 * 1024,
        )
        self.commit = self.directory.group_commit()
        self.directory.prepare()
        return self.directory

    def create(self, topic_id: uuid.UUID = TOPIC_ID) -> Partition:
        assert self.directory is not None
        return self.directory.create_partition(*NAME, topic_id, LogConfig())

    def publish(self, partition: Partition, *written: bytes) -> None:
        for each in written:
            partition.append(each, now_ms=NOW)
            self.commit.run([partition], _report)
        assert partition.high_watermark == partition.log_end_offset

    def lose_log(self, size: int = 0) -> None:
        """The power went before the log was synced beyond ``size``."""
        log = self.path / str(NAME) / f"{0:020d}.log"
        log.write_bytes(log.read_bytes()[:size])


@pytest.fixture
def lives(tmp_path: Path, fast_files: type[Files]) -> Iterator[Lives]:
    lives = Lives(tmp_path / "data", fast_files())
    lives.begin()
    yield lives
    assert lives.directory is not None
    lives.directory.abandon()


def values(everything: Any, partition: Partition) -> list[bytes]:
    data = everything(partition)
    return [data[at + 21 : at + header.length] for at, header in batches(data)]


def test_a_partition_whose_directory_was_lost_is_made_again(
    lives: Lives, batch: Batch, everything: Any
) -> None:
    partition = lives.create()
    sent = [batch(value=b"%d" % number, producer=Producer(7, 0, number)) for number in range(5)]
    lives.publish(partition, *sent)
    assert partition.recovery_point == 0  # nothing was synced but the journal
    for each in partition.path.iterdir():
        each.unlink()
    partition.path.rmdir()
    again = lives.begin().partitions[NAME]
    assert (again.topic_id, again.log_end_offset, again.high_watermark) == (TOPIC_ID, 5, 5)
    assert values(everything, again) == [each[21:] for each in sent]
    assert again.recovered.replayed_bytes == sum(map(len, sent))
    assert again.leader_epoch == 0
    state = again.producers.get(7)
    assert state is not None
    assert state.last_sequence == 4


@pytest.mark.parametrize("whole", [0, 2])
def test_only_what_is_missing_is_put_behind_the_log(
    lives: Lives, batch: Batch, everything: Any, whole: int
) -> None:
    partition = lives.create()
    sent = [batch(value=b"%d" % number) for number in range(5)]
    lives.publish(partition, *sent)
    lives.lose_log(whole * len(sent[0]) + 30)  # and a torn batch behind it
    again = lives.begin().partitions[NAME]
    assert values(everything, again) == [each[21:] for each in sent]
    assert again.recovered.replayed_bytes == (5 - whole) * len(sent[0])
    assert not again.recovered.lost_synced


def test_two_lives_after_the_crash_find_the_same(
    lives: Lives, batch: Batch, everything: Any
) -> None:
    lives.publish(lives.create(), *[batch() for _ in range(3)])
    lives.lose_log()
    first = everything(lives.begin().partitions[NAME])
    again = lives.begin().partitions[NAME]
    assert everything(again) == first
    assert again.recovered.replayed_bytes == 0


def test_after_a_stop_in_order_the_journal_is_not_read(lives: Lives, batch: Batch) -> None:
    lives.publish(lives.create(), batch())
    assert lives.directory is not None
    lives.directory.close()
    for name in JOURNAL_FILES:
        (lives.path / name).write_bytes(b"nonsense")
    assert lives.begin().partitions[NAME].recovered.clean


def test_a_large_append_is_synced_by_itself(lives: Lives, batch: Batch) -> None:
    partition = lives.create()
    lives.publish(partition, batch(value=bytes(200_000)))
    assert partition.recovery_point == 1
    lives.publish(partition, batch())
    assert partition.recovery_point == 1
    assert partition.high_watermark == 2


def test_records_that_were_deleted_stay_so(lives: Lives, batch: Batch) -> None:
    partition = lives.create()
    lives.publish(partition, *[batch() for _ in range(5)])
    partition.delete_records_before(3)
    lives.lose_log()
    again = lives.begin().partitions[NAME]
    assert (again.log_start_offset, again.log_end_offset) == (3, 5)


# --- whose entries -------------------------------------------------------------------------------


def test_entries_of_a_deleted_topic_do_not_go_behind_its_namesake(
    lives: Lives, batch: Batch
) -> None:
    lives.publish(lives.create(), *[batch() for _ in range(5)])
    lives.directory.delete_partition(NAME)
    new = lives.create(OTHER_ID)
    new.append(batch(value=b"new"), now_ms=NOW)
    new.sync()
    again = lives.begin().partitions[NAME]
    assert (again.topic_id, again.log_end_offset) == (OTHER_ID, 1)


def test_of_two_topics_of_a_name_the_later_one_is_made_again(
    lives: Lives, batch: Batch, everything: Any
) -> None:
    lives.publish(lives.create(), *[batch() for _ in range(5)])
    sent = batch(value=b"new")
    lives.directory.delete_partition(NAME)
    lives.publish(lives.create(OTHER_ID), sent)
    lives.lose_log()
    again = lives.begin().partitions[NAME]
    assert again.topic_id == OTHER_ID
    assert values(everything, again) == [sent[21:]]


def test_a_lost_topic_id_comes_back(lives: Lives, batch: Batch) -> None:
    partition = lives.create()
    lives.publish(partition, batch())
    (partition.path / "partition.metadata").write_bytes(b"")
    assert lives.begin().partitions[NAME].topic_id == TOPIC_ID
    assert b"topic_id: AAAA" in (partition.path / "partition.metadata").read_bytes()


def test_what_is_left_of_a_deleted_topic_is_not_made_again(lives: Lives, batch: Batch) -> None:
    partition = lives.create()
    partition.append(batch(), now_ms=NOW)
    partition.sync()
    partition.take()
    lives.publish(partition, batch())
    assert lives.directory is not None
    lives.directory.delete_partition(NAME)
    assert lives.begin().partitions == {}


def test_a_deleted_topic_that_was_synced_in_between_is_not_taken_for_a_damaged_one(
    lives: Lives, batch: Batch
) -> None:
    partition = lives.create()
    lives.publish(partition, batch(), batch(value=bytes(200_000)), batch())
    assert partition.recovery_point == 2
    assert lives.directory is not None
    lives.directory.delete_partition(NAME)
    directory = lives.begin()
    assert directory.partitions == {}
    assert directory.damaged == set()


def test_a_namesake_that_has_no_id_yet_is_not_taken_for_a_damaged_topic(
    lives: Lives, batch: Batch
) -> None:
    partition = lives.create()
    lives.publish(partition, batch(), batch(value=bytes(200_000)), batch())
    assert lives.directory is not None
    lives.directory.delete_partition(NAME)
    (lives.path / str(NAME)).mkdir()  # and then the power went
    directory = lives.begin()
    assert directory.partitions[NAME].topic_id == LOST_TOPIC_ID
    assert directory.partitions[NAME].log_end_offset == 0
    assert directory.damaged == set()


# --- damage --------------------------------------------------------------------------------------


def test_what_lies_behind_a_hole_is_kept_aside(
    lives: Lives, batch: Batch, caplog: pytest.LogCaptureFixture
) -> None:
    partition = lives.create()
    partition.append(batch(), now_ms=NOW)
    partition.sync()
    partition.take()
    sent = [batch(value=b"%d" % number) for number in range(2)]
    lives.publish(partition, *sent)
    lives.lose_log()  # the disk has lost what was synced
    directory = lives.begin()
    again = directory.partitions[NAME]
    assert again.recovered.lost_synced
    assert again.log_end_offset == 0
    assert directory.damaged == {NAME}
    assert again.recovered.set_aside == (f"{1:020d}.log.damaged",)
    kept = (again.path / again.recovered.set_aside[0]).read_bytes()
    assert [kept[at + 21 : at + each.length] for at, each in batches(kept)] == [
        each[21:] for each in sent
    ]
    assert again.leader_epoch == 1
    assert "lost synced records" in caplog.text


def test_an_owner_that_refuses_damage_finds_it_again(lives: Lives, batch: Batch) -> None:
    partition = lives.create()
    partition.append(batch(), now_ms=NOW)
    partition.sync()
    partition.take()
    lives.publish(partition, batch())
    lives.lose_log()
    for _ in range(2):
        lives.directory.abandon()  # type: ignore[union-attr]
        lives.directory = DataDirectory.open(lives.path, now_ms=NOW, files=lives.files)
        assert lives.directory.damaged == {NAME}


# --- durability ----------------------------------------------------------------------------------


def test_changing_the_durability_takes_the_journal_along(
    lives: Lives, batch: Batch, everything: Any
) -> None:
    sent = [batch(value=b"%d" % number) for number in range(4)]
    lives.publish(lives.create(), *sent[:2])
    lives.lose_log()
    directory = lives.begin("os")
    partition = directory.partitions[NAME]
    assert partition.log_end_offset == 2
    assert directory.journal is None
    assert not any((lives.path / name).exists() for name in JOURNAL_FILES)
    lives.publish(partition, sent[2])
    directory = lives.begin("sync")
    partition = directory.partitions[NAME]
    assert directory.journal is not None
    assert directory.journal.ready
    lives.publish(partition, sent[3])
    lives.lose_log(3 * len(sent[0]))
    again = lives.begin().partitions[NAME]
    assert values(everything, again) == [each[21:] for each in sent]

"""A data directory: whose it is, what a stop leaves, what a deletion leaves."""

from __future__ import annotations

import os
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mq.errors import ConfigurationError, ErrorCode, KafkaError
from mq.log.config import LogConfig
from mq.log.directory import DataDirectory
from mq.log.files import Files
from mq.log.loader import LOST_TOPIC_ID
from mq.log.unsynced import SyncFailed
from mq.record import TopicPartition
from mq.wire.batch import Producer

NOW = 1_700_000_000_000
NAME = TopicPartition("orders", 3)
TOPIC_ID = uuid.UUID(int=77)

Batch = Callable[..., bytes]
Open = Callable[..., DataDirectory]


@pytest.fixture
def open_directory(tmp_path: Path, fast_files: type[Files]) -> Iterator[Open]:
    """Opens the same directory again and again, as processes do one after the other."""
    opened: list[DataDirectory] = []

    def open_it(**options: Any) -> DataDirectory:
        options.setdefault("files", fast_files())
        opened.append(DataDirectory.open(tmp_path / "data", now_ms=NOW, **options))
        return opened[-1]

    yield open_it
    for directory in opened:
        directory.abandon()


def names(path: Path) -> list[str]:
    return sorted(each.name for each in path.iterdir())


# --- whose it is ---------------------------------------------------------------------------------


def test_a_directory_keeps_its_identity(open_directory: Open) -> None:
    first = open_directory()
    assert len(first.cluster_id) == len(first.directory_id) == 22
    first.close()
    second = open_directory()
    assert (second.cluster_id, second.directory_id) == (first.cluster_id, first.directory_id)
    text = (second.path / "meta.properties").read_text()
    assert text.startswith("#\n#Tue Nov 14 22:13:20 UTC 2023\nnode.id=1\n")


def test_a_second_opener_is_refused_with_a_clear_sentence(open_directory: Open) -> None:
    directory = open_directory()
    with pytest.raises(ConfigurationError, match="in use by another broker; stop that one"):
        open_directory()
    directory.close()
    open_directory()


def test_a_second_process_is_refused_until_the_first_is_gone(tmp_path: Path) -> None:
    program = (
        "import sys, pathlib; from mq.log.directory import DataDirectory\n"
        "DataDirectory.open(pathlib.Path(sys.argv[1]), now_ms=0); print('open', flush=True)\n"
        "sys.stdin.read()"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "data")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"open\n"
        with pytest.raises(ConfigurationError, match="in use"):
            DataDirectory.open(tmp_path / "data", now_ms=NOW)
        holder.kill()
    DataDirectory.open(tmp_path / "data", now_ms=NOW).abandon()


def test_damaged_properties_stop_the_start(open_directory: Open) -> None:
    directory = open_directory()
    directory.close()
    (directory.path / "meta.properties").write_text("version=1\n")
    with pytest.raises(ConfigurationError, match=r"meta\.properties is damaged"):
        open_directory()


@pytest.mark.skipif(os.getuid() == 0, reason="root may write everywhere")
def test_a_directory_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(ConfigurationError, match="cannot open the data directory"):
        DataDirectory.open(tmp_path / "data", now_ms=NOW)


def test_a_path_that_is_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("")
    with pytest.raises(ConfigurationError, match="cannot open the data directory"):
        DataDirectory.open(tmp_path / "data", now_ms=NOW)


# --- stops and starts ----------------------------------------------------------------------------


def test_partitions_are_where_kafka_looks_for_them(open_directory: Open, batch: Batch) -> None:
    directory = open_directory()
    partition = directory.create_partition(*NAME, TOPIC_ID, LogConfig())
    partition.append(batch(3), now_ms=NOW)
    directory.close()
    assert names(directory.path) == [
        ".kafka_cleanshutdown", ".lock", "log-start-offset-checkpoint", "meta.properties",
        "orders-3", "recovery-point-offset-checkpoint", "replication-offset-checkpoint",
    ]  # fmt: skip
    assert names(directory.path / "orders-3") == [
        f"{0:020d}.index", f"{0:020d}.log", f"{0:020d}.timeindex", f"{0:020d}.txnindex",
        f"{3:020d}.snapshot", "leader-epoch-checkpoint", "partition.metadata",
    ]  # fmt: skip
    checkpoint = (directory.path / "recovery-point-offset-checkpoint").read_bytes()
    assert checkpoint == b"0\n1\norders 3 3\n"


def test_a_clean_stop_is_believed_once(open_directory: Open, batch: Batch) -> None:
    directory = open_directory()
    directory.create_partition(*NAME, TOPIC_ID, LogConfig()).append(batch(3), now_ms=NOW)
    directory.close()
    second = open_directory()
    assert second.partitions[NAME].recovered.clean
    assert not (second.path / ".kafka_cleanshutdown").exists()
    second.abandon()
    third = open_directory()
    assert not third.partitions[NAME].recovered.clean
    assert third.partitions[NAME].log_end_offset == 3


def test_a_stop_that_fails_leaves_no_marker(
    tmp_path: Path, open_directory: Open, faulty: Any, batch: Batch
) -> None:
    directory = open_directory(files=faulty)
    partition = directory.create_partition(*NAME, TOPIC_ID, LogConfig())
    partition.append(batch(), now_ms=NOW)
    faulty.faults = {"sync": ".log"}
    with pytest.raises(OSError, match="No space"):
        directory.close()
    assert not (directory.path / ".kafka_cleanshutdown").exists()
    assert open_directory().partitions[NAME].log_end_offset == 1


@pytest.mark.parametrize("durability", ["sync", "os"])
def test_a_checkpoint_spares_the_next_start_what_is_sealed(
    open_directory: Open, batch: Batch, durability: str
) -> None:
    directory = open_directory(durability=durability)
    partition = directory.create_partition(*NAME, TOPIC_ID, LogConfig(segment_bytes=200))
    for _ in range(5):
        partition.append(batch(), now_ms=NOW)
    if durability == "sync":
        partition.synced(partition.sync())
    directory.checkpoint()
    directory.abandon()
    again = open_directory(durability=durability).partitions[NAME]
    assert again.log_end_offset == 5
    assert again.recovered.scanned_bytes == len(batch())
    assert again.leader_epoch == (0 if durability == "sync" else 1)


def test_the_log_start_survives_a_crash(open_directory: Open, batch: Batch) -> None:
    directory = open_directory()
    partition = directory.create_partition(*NAME, TOPIC_ID, LogConfig())
    partition.append(batch(5), now_ms=NOW)
    partition.synced(partition.sync())
    partition.delete_records_before(3)
    directory.abandon()
    second = open_directory()
    assert second.partitions[NAME].log_start_offset == 3
    second.close()
    assert open_directory().partitions[NAME].log_start_offset == 3


def test_a_log_start_that_cannot_be_is_ignored(open_directory: Open, batch: Batch) -> None:
    directory = open_directory()
    partition = directory.create_partition(*NAME, TOPIC_ID, LogConfig())
    partition.append(batch(5), now_ms=NOW)
    directory.close()
    (directory.path / "log-start-offset-checkpoint").write_bytes(b"0\n1\norders 3 50\n")
    again = open_directory().partitions[NAME]
    assert (again.log_start_offset, again.log_end_offset) == (0, 5)


@pytest.mark.parametrize("content", [None, b"", b"0\n7\n"])
def test_checkpoints_that_are_lost_cost_only_time(
    open_directory: Open, batch: Batch, content: bytes | None
) -> None:
    directory = open_directory()
    partition = directory.create_partition(*NAME, TOPIC_ID, LogConfig(segment_bytes=200))
    for number in range(5):
        partition.append(batch(producer=Producer(1, 0, number)), now_ms=NOW)
    partition.sync()
    directory.abandon()
    for path in directory.path.glob("*checkpoint"):
        if content is None:
            path.unlink()
        else:
            path.write_bytes(content)
    again = open_directory().partitions[NAME]
    assert (again.log_start_offset, again.log_end_offset) == (0, 5)
    assert again.recovered.truncated_bytes == 0


# --- making and deleting -------------------------------------------------------------------------


def test_making_a_partition_again_changes_only_its_config(
    open_directory: Open, batch: Batch
) -> None:
    directory = open_directory()
    partition = directory.create_partition(*NAME, TOPIC_ID, LogConfig())
    partition.append(batch(), now_ms=NOW)
    config = LogConfig(retention_ms=5)
    assert directory.create_partition(*NAME, TOPIC_ID, config) is partition
    assert partition.config is config
    assert partition.log_end_offset == 1


def test_a_partition_that_lost_its_topic_id_is_taken_over(
    open_directory: Open, batch: Batch
) -> None:
    directory = open_directory()
    directory.create_partition(*NAME, TOPIC_ID, LogConfig()).append(batch(), now_ms=NOW)
    directory.close()
    metadata = directory.path / "orders-3" / "partition.metadata"
    metadata.write_bytes(b"")
    second = open_directory()
    assert second.partitions[NAME].topic_id == LOST_TOPIC_ID
    taken = second.create_partition(*NAME, TOPIC_ID, LogConfig())
    assert (taken.topic_id, taken.log_end_offset) == (TOPIC_ID, 1)
    assert metadata.read_bytes() == b"version: 0\ntopic_id: AAAAAAAAAAAAAAAAAAAATQ"


def test_a_partition_of_a_deleted_topic_gives_way_to_the_new_one(
    open_directory: Open, batch: Batch
) -> None:
    directory = open_directory()
    old = directory.create_partition(*NAME, TOPIC_ID, LogConfig())
    old.append(batch(), now_ms=NOW)
    old.sync()
    reader = old.read(0, 100, upto=1)
    directory.delete_partition(NAME)
    new = directory.create_partition(*NAME, uuid.UUID(int=78), LogConfig())
    assert old.deleted
    assert (new.log_end_offset, new.topic_id) == (0, uuid.UUID(int=78))
    new.append(batch(2), now_ms=NOW)
    assert new.read_batches(0, 1000) != b""
    assert reader is not None
    assert os.pread(reader.file, reader.size, reader.position)[16:] == batch()[16:]
    assert names(directory.path / "orders-3")


@pytest.mark.parametrize("clean", [True, False])
def test_a_partition_whose_topic_id_is_wrong_is_kept_and_said_to_be_so(
    open_directory: Open, batch: Batch, everything: Any, clean: bool
) -> None:
    directory = open_directory()
    partition = directory.create_partition(*NAME, TOPIC_ID, LogConfig())
    partition.append(batch(), now_ms=NOW)
    partition.sync()
    before = everything(partition)
    directory.close() if clean else directory.abandon()
    metadata = partition.path / "partition.metadata"
    metadata.write_bytes(metadata.read_bytes()[:-1] + b"A")
    second = open_directory()
    with pytest.raises(ConfigurationError, match=r"partition\.metadata is damaged, or of another"):
        second.create_partition(*NAME, TOPIC_ID, LogConfig())
    second.abandon()
    metadata.unlink()
    taken = open_directory().create_partition(*NAME, TOPIC_ID, LogConfig())
    assert (taken.topic_id, everything(taken)) == (TOPIC_ID, before)


@pytest.mark.parametrize("clean", [True, False])
@pytest.mark.parametrize("damage", [b"", b"0\n1\n", None])
def test_deleted_records_stay_deleted_though_the_checkpoint_of_log_starts_is_lost(
    open_directory: Open, batch: Batch, clean: bool, damage: bytes | None
) -> None:
    directory = open_directory()
    partition = directory.create_partition(*NAME, TOPIC_ID, LogConfig())
    partition.append(batch(5), now_ms=NOW)
    partition.synced(partition.sync())
    partition.delete_records_before(3)
    directory.close() if clean else directory.abandon()
    checkpoint = directory.path / "log-start-offset-checkpoint"
    checkpoint.unlink() if damage is None else checkpoint.write_bytes(damage)
    again = open_directory().partitions[NAME]
    assert (again.log_start_offset, again.log_end_offset) == (3, 5)
    assert b"orders 3 3\n" in checkpoint.read_bytes()


def test_a_damaged_first_epoch_deletes_nothing(open_directory: Open, batch: Batch) -> None:
    directory = open_directory()
    partition = directory.create_partition(*NAME, TOPIC_ID, LogConfig())
    partition.append(batch(5), now_ms=NOW)
    directory.close()
    (partition.path / "leader-epoch-checkpoint").write_bytes(b"0\n1\n0 4\n")
    again = open_directory().partitions[NAME]
    assert (again.log_start_offset, again.epoch_at(0)) == (0, 0)


def test_a_deleted_partition_is_gone_after_a_crash(open_directory: Open, batch: Batch) -> None:
    directory = open_directory()
    partition = directory.create_partition(*NAME, TOPIC_ID, LogConfig(segment_bytes=100))
    for _ in range(3):
        partition.append(batch(), now_ms=NOW)
    partition.sync()
    assert partition.read(0, 10, upto=3) is not None  # a sealed segment is open in the cache
    directory.delete_partition(NAME)
    assert NAME not in directory.partitions
    assert not [name for name in names(directory.path) if name.startswith("orders")]
    directory.abandon()
    assert open_directory().partitions == {}


def test_checkpoints_of_a_deleted_partition_do_not_apply_to_its_namesake(
    open_directory: Open, batch: Batch, everything: Any
) -> None:
    directory = open_directory()
    old = directory.create_partition(*NAME, TOPIC_ID, LogConfig())
    old.append(batch(50), now_ms=NOW)
    old.synced(old.sync())
    old.delete_records_before(40)
    directory.delete_partition(NAME)
    new = directory.create_partition(*NAME, uuid.UUID(int=78), LogConfig())
    new.append(batch(20), now_ms=NOW)
    new.synced(new.sync())
    acknowledged = everything(new)
    directory.abandon()
    again = open_directory().partitions[NAME]
    assert (again.log_start_offset, again.log_end_offset) == (0, 20)
    assert everything(again) == acknowledged


def test_checkpoints_that_a_full_disk_kept_do_not_apply_to_a_namesake(
    open_directory: Open, faulty: Any, batch: Batch
) -> None:
    directory = open_directory(files=faulty)
    old = directory.create_partition(*NAME, TOPIC_ID, LogConfig())
    old.append(batch(50), now_ms=NOW)
    old.synced(old.sync())
    old.delete_records_before(40)
    faulty.faults = {"pwrite": "log-start-offset-checkpoint.tmp"}
    directory.delete_partition(NAME)
    for _ in range(2):
        with pytest.raises(KafkaError):
            directory.create_partition(*NAME, uuid.UUID(int=78), LogConfig())
    assert NAME not in directory.partitions
    faulty.faults = {}
    directory.create_partition(*NAME, uuid.UUID(int=78), LogConfig())
    assert b"orders" not in (directory.path / "log-start-offset-checkpoint").read_bytes()


def test_a_start_forgets_the_checkpoints_of_what_is_not_there(
    open_directory: Open, batch: Batch
) -> None:
    directory = open_directory()
    partition = directory.create_partition(*NAME, TOPIC_ID, LogConfig())
    partition.append(batch(5), now_ms=NOW)
    partition.synced(partition.sync())
    partition.delete_records_before(3)
    directory.delete_partition(NAME)
    directory.abandon()
    again = open_directory()
    for path in again.path.glob("*checkpoint"):
        assert path.read_bytes() == b"0\n0\n"


def test_a_partition_whose_deletion_failed_can_be_deleted_again(
    open_directory: Open, faulty: Any, batch: Batch
) -> None:
    directory = open_directory(files=faulty)
    old = directory.create_partition(*NAME, TOPIC_ID, LogConfig())
    old.append(batch(), now_ms=NOW)
    faulty.faults = {"rename": "-delete"}
    with pytest.raises(KafkaError) as refused:
        directory.delete_partition(NAME)
    assert refused.value.code == ErrorCode.KAFKA_STORAGE_ERROR
    assert directory.partitions == {NAME: old}
    faulty.faults = {}
    directory.delete_partition(NAME)
    assert directory.partitions == {}
    assert not [name for name in names(directory.path) if name.startswith("orders")]


def test_after_a_deletion_that_may_not_be_durable_nothing_is_committed(
    open_directory: Open, faulty: Any
) -> None:
    directory = open_directory(files=faulty)
    commit = directory.group_commit()
    directory.create_partition(*NAME, TOPIC_ID, LogConfig())
    faulty.faults = {"sync_directory": directory.path.name}
    with pytest.raises(KafkaError) as refused:
        directory.delete_partition(NAME)
    assert refused.value.code == ErrorCode.KAFKA_STORAGE_ERROR
    with pytest.raises(SyncFailed):
        commit.run([], lambda _: None)


def test_a_deletion_that_a_crash_interrupted_is_completed(
    open_directory: Open, batch: Batch
) -> None:
    directory = open_directory()
    directory.create_partition(*NAME, TOPIC_ID, LogConfig()).append(batch(), now_ms=NOW)
    directory.abandon()
    (directory.path / "orders-3").rename(directory.path / f"orders-3.{uuid.uuid4().hex}-delete")
    again = open_directory()
    assert again.partitions == {}
    assert not [name for name in names(directory.path) if name.startswith("orders")]


def test_the_longest_topic_name_can_be_deleted(open_directory: Open) -> None:
    directory = open_directory()
    name = TopicPartition("x" * 249, 0)
    directory.create_partition(*name, TOPIC_ID, LogConfig())
    directory.delete_partition(name)
    assert directory.partitions == {}


def test_a_partition_that_cannot_be_made_is_a_storage_error(
    open_directory: Open, faulty: Any
) -> None:
    directory = open_directory(files=faulty)
    faulty.faults = {"pwrite": "partition.metadata"}
    with pytest.raises(KafkaError) as refused:
        directory.create_partition(*NAME, TOPIC_ID, LogConfig())
    assert refused.value.code == ErrorCode.KAFKA_STORAGE_ERROR
    assert directory.partitions == {}
    faulty.faults = {}
    assert directory.create_partition(*NAME, TOPIC_ID, LogConfig()).topic_id == TOPIC_ID


def test_other_people_s_files_are_left_alone(open_directory: Open) -> None:
    directory = open_directory()
    directory.close()
    (directory.path / "broker.json").write_text("{}")
    (directory.path / "notes").mkdir()
    again = open_directory()
    assert again.partitions == {}
    assert (again.path / "broker.json").exists()
    assert (again.path / "notes").is_dir()


def test_the_names_of_a_new_directory_are_synced_up_to_what_was_there(
    tmp_path: Path, faulty: Any
) -> None:
    DataDirectory.open(tmp_path / "a" / "b", now_ms=NOW, files=faulty).abandon()
    assert faulty.calls[:3] == [
        "sync_directory a",
        f"sync_directory {tmp_path.name}",
        "open .lock",
    ]


def test_a_failed_sync_of_all_is_never_tried_again(
    tmp_path: Path, open_directory: Open, faulty: Any, batch: Batch
) -> None:
    directory = open_directory(files=faulty)
    partitions = [
        directory.create_partition("many", index, TOPIC_ID, LogConfig()) for index in range(3)
    ]
    partitions[0].append(batch(), now_ms=NOW)
    faulty.faults = {"sync": ".log"}
    with pytest.raises(SyncFailed):
        directory.close()
    faulty.faults = {}
    for partition in partitions:
        with pytest.raises(SyncFailed):
            partition.sync()
        assert partition.recovery_point == 0

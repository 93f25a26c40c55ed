"""The check that follows every fault test finds what is wrong, and nothing where nothing is."""

from __future__ import annotations

import uuid
from pathlib import Path

import pytest

from mq.log.config import LogConfig
from mq.log.directory import DataDirectory
from mq.wire.batch import BatchRecord, encode_batch
from tools.dump_log import faults

pytestmark = pytest.mark.slow

NOW = 1_700_000_000_000
TOPICS = ("bit", "cut", "hole", "index", "times", "snapshot")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A directory in order, of topics with several segments each."""
    directory = DataDirectory.open(tmp_path, now_ms=NOW)
    for topic in TOPICS:
        config = LogConfig(segment_bytes=20_000)
        partition = directory.create_partition(topic, 0, uuid.uuid4(), config)
        for number in range(300):
            record = BatchRecord(b"key", b"%d" % number * 50, timestamp=NOW + number)
            partition.append(encode_batch([record]), now_ms=NOW)
    directory.close()
    return tmp_path


def change(path: Path, position: int) -> None:
    changed = bytearray(path.read_bytes())
    changed[position] ^= 0x40
    path.write_bytes(changed)


def test_a_directory_in_order_has_no_fault(data: Path) -> None:
    assert faults(data) == []


def test_every_kind_of_damage_is_a_fault_of_its_file(data: Path) -> None:
    def file(topic: str, suffix: str) -> Path:
        return sorted((data / f"{topic}-0").glob(f"*{suffix}"))[1]

    damaged = {topic: file(topic, ".log") for topic in ("bit", "cut", "hole")}
    damaged["index"] = file("index", ".index")
    damaged["times"] = file("times", ".timeindex")
    damaged["snapshot"] = file("snapshot", ".snapshot")
    change(damaged["bit"], 5_000)
    damaged["cut"].write_bytes(damaged["cut"].read_bytes()[:-1])
    for path in damaged["hole"].parent.glob(f"{damaged['hole'].stem}.*"):
        path.unlink()
    change(damaged["index"], 7)
    change(damaged["times"], 7)
    change(damaged["snapshot"], 3)
    for topic in TOPICS:  # one by one, for the tool stops at some of them
        assert faults(data / f"{topic}-0") != [], topic

"""The power goes at any moment: what was synced is there, and nothing that was never written.

A small model of a disk (``VolatileFiles``) drops, keeps or mangles everything that was not synced,
each piece by itself. The script of a run and what survives of it are drawn; a failure prints both.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mq.log.config import LogConfig
from mq.log.directory import DataDirectory
from mq.log.recovery import Recovered
from mq.record import TopicPartition
from mq.wire.batch import Producer, batches

NOW = 1_700_000_000_000
NAME = TopicPartition("orders", 0)
TOPIC_ID = uuid.UUID(int=77)
CONFIG = LogConfig(segment_bytes=400, index_interval_bytes=100, retention_bytes=500)

STEPS = [
    *("append", "append", "append", "sync", "sync", "kill", "stop"),
    *("delete records", "delete old", "checkpoint"),
]


class Run:
    """One broker's life after the other on the same disk, and what it has promised."""

    def __init__(self, root: Path, volatile_files: Any, batch: Callable[..., bytes]) -> None:
        self.root = root
        self.lives = 0
        self.volatile_files = volatile_files
        self.batch = batch
        self.promised_end = 0  # acknowledged: must never be lost
        self.promised_start = 0  # acknowledged DeleteRecords: must never come back
        self.written: list[bytes] = []  # each record's batch from its attributes on
        path = root / "0"
        path.mkdir()
        self.begin(path)

    def begin(self, path: Path) -> None:
        self.files = self.volatile_files(path)
        self.start(path)

    def start(self, path: Path) -> None:
        self.directory = DataDirectory.open(path, now_ms=NOW, files=self.files)
        self.partition = self.directory.create_partition(*NAME, TOPIC_ID, CONFIG)
        self.check()
        self.promised_end = self.partition.high_watermark  # readers see it from now on

    def step(self, name: str) -> None:
        partition = self.partition
        if name == "append":
            number = partition.log_end_offset
            sent = self.batch(value=b"v%d" % len(self.written), producer=Producer(7, 0, number))
            partition.append(sent, now_ms=NOW)
            self.written = [*self.written[:number], sent[21:]]
        elif name == "sync":
            partition.synced(partition.sync())
            self.promised_end = partition.high_watermark
        elif name == "delete records":
            wanted = (partition.log_start_offset + partition.high_watermark + 1) // 2
            self.promised_start = partition.delete_records_before(wanted)
        elif name == "delete old":
            partition.delete_old(NOW)
            self.promised_start = max(self.promised_start, partition.log_start_offset)
        elif name == "kill":
            self.directory.abandon()  # the process alone dies: what it wrote is in the page cache
            self.start(self.directory.path)
        elif name == "stop":
            self.directory.close()
            self.start(self.directory.path)
            assert self.partition.recovered.clean
        else:
            self.directory.checkpoint()

    def crash(self, keep: Callable[[], bool]) -> None:
        self.lives += 1
        path = self.root / str(self.lives)
        self.files.crash(path, keep)
        self.directory.abandon()
        self.files.close()
        self.begin(path)

    def check(self) -> None:
        partition = self.partition
        assert partition.log_end_offset >= self.promised_end
        assert not partition.recovered.lost_synced
        assert partition.recovered.set_aside == ()
        assert self.promised_start <= partition.log_start_offset <= partition.log_end_offset
        offset = partition.log_start_offset
        while offset < partition.log_end_offset:
            data = partition.read_batches(offset, 1 << 20)
            for position, header in batches(data):
                assert header.base_offset <= offset <= header.last_offset
                assert data[position + 21 : position + header.length] == self.written[offset]
                offset += 1
        repeated = self.partition.log_end_offset - 1
        if repeated >= self.partition.log_start_offset:
            state = partition.producers.get(7)
            assert state is not None
            assert state.last_sequence == repeated
        self.written = self.written[: partition.log_end_offset]


@given(data=st.data())
def test_power_loss_takes_nothing_that_was_synced(
    tmp_path_factory: pytest.TempPathFactory,
    volatile_files: Any,
    batch: Callable[..., bytes],
    data: st.DataObject,
) -> None:
    run = Run(tmp_path_factory.mktemp("power"), volatile_files, batch)
    try:
        for _ in range(data.draw(st.integers(1, 3), label="lives")):
            for step in data.draw(st.lists(st.sampled_from(STEPS), max_size=14), label="steps"):
                run.step(step)
            luck = data.draw(st.randoms(use_true_random=False), label="luck")
            odds = data.draw(st.sampled_from([0.0, 0.5, 1.0]), label="odds")
            run.crash(lambda luck=luck, odds=odds: luck.random() < odds)  # type: ignore[misc]
    finally:
        run.directory.abandon()
        run.files.close()


def test_a_stop_in_order_is_one_even_if_the_power_goes_right_after(
    tmp_path: Path, volatile_files: Any, batch: Callable[..., bytes]
) -> None:
    run = Run(tmp_path, volatile_files, batch)
    for _ in range(7):
        run.step("append")
    run.directory.close()
    run.promised_end = 7
    run.crash(lambda: False)
    assert run.partition.recovered == Recovered(after_clean_stop=True)
    run.directory.abandon()
    run.files.close()

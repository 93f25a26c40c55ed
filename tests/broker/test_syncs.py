"""Who waits for syncs, and what they hear of a disk that fails."""

from __future__ import annotations

import errno
import os
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest

from mq.broker.syncs import Syncs
from mq.errors import ErrorCode, KafkaError
from mq.log.config import LogConfig
from mq.log.directory import DataDirectory
from mq.log.files import Files
from mq.wire.batch import BatchRecord, encode_batch

NOW = 1_700_000_000_000


class FailingFiles(Files):
    """A disk that at some time does not keep names any more."""

    failing = False

    def sync_directory(self, path: Path) -> None:
        if self.failing:
            raise OSError(errno.EIO, os.strerror(errno.EIO))


class Loop:
    """Takes what is to be called, and calls nothing."""

    def call_soon(self, callback: Callable[..., object], *args: object) -> None:
        pass

    call_soon_threadsafe = call_soon


def test_a_sync_that_failed_on_the_loop_is_the_end_for_all(tmp_path: Path) -> None:
    files, failures, codes = FailingFiles(), list[Exception](), list[set[ErrorCode]]()
    directory = DataDirectory.open(tmp_path / "data", now_ms=NOW, files=files)
    one, two = (
        directory.create_partition("orders", index, uuid.UUID(int=77), LogConfig())
        for index in range(2)
    )
    syncs = Syncs(Loop(), directory.group_commit(), advanced=lambda _: None, failed=failures.append)
    for partition in (one, two):
        partition.append(encode_batch([BatchRecord(None, b"v", (), NOW)]), now_ms=NOW)
    syncs.check()
    syncs.after([two], lambda failed: codes.append(set(failed.values())))
    files.failing = True
    with pytest.raises(KafkaError, match="cannot roll"):
        one.roll()
    for _ in range(2):
        with pytest.raises(KafkaError) as refused:
            syncs.check()
        assert refused.value.code == ErrorCode.KAFKA_STORAGE_ERROR
    assert [each.args for each in failures] == [(errno.EIO, os.strerror(errno.EIO))]
    assert codes == [{ErrorCode.KAFKA_STORAGE_ERROR}]
    syncs.close()
    directory.abandon()

"""Disks for the log (one fast, one that fails), and a rig around them."""

from __future__ import annotations

import errno
import os
import uuid
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any

import pytest

from mq.log.config import LogConfig
from mq.log.files import Buffer, File, Files, OpenFiles
from mq.log.loader import LastStop, create_partition, load_partition
from mq.log.partition import Partition
from mq.log.storage import Storage
from mq.record import TopicPartition
from mq.wire.batch import NO_PRODUCER, BatchRecord, Codec, Producer, batches, encode_batch

NOW = 1_700_000_000_000
NAME = TopicPartition("orders", 0)
TOPIC_ID = uuid.UUID(int=77)


class FastFiles(Files):
    """The disk without the waiting: what a process reads back after a kill is the page cache."""

    def sync(self, file: File) -> None:
        pass

    def write_through(self, file: File, buffers: Sequence[Buffer], position: int) -> None:
        self.pwrite(file, buffers, position)
        self.sync(file)

    def sync_directory(self, path: Path) -> None:
        if not path.is_dir():
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))

    def sync_all(
        self, within: File, files: Collection[File | Path], directories: Collection[Path]
    ) -> None:
        self.sync_each(files, directories)


class FaultyFiles(FastFiles):
    """A disk where verbs fail on files of some kinds, a write perhaps half way."""

    def __init__(self) -> None:
        self.faults: dict[str, str] = {}  # the verb: how the names of the files end
        self.half_written = 0
        self.calls: list[str] = []

    def _check(self, verb: str, path: Path) -> None:
        self.calls.append(f"{verb} {path.name}")
        ending = self.faults.get(verb)
        if ending is not None and path.name.endswith(ending):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    def open(self, path: Path, *, create: bool = False) -> File:
        self._check("open", path)
        return super().open(path, create=create)

    def pread(self, file: File, size: int, position: int) -> bytes:
        self._check("pread", file.path)
        return super().pread(file, size, position)

    def pwrite(self, file: File, buffers: Sequence[Buffer], position: int) -> None:
        try:
            self._check("pwrite", file.path)
        except OSError:
            os.pwrite(file.fd, b"".join(buffers)[: self.half_written], position)
            raise
        super().pwrite(file, buffers, position)

    def truncate(self, file: File, size: int) -> None:
        self._check("truncate", file.path)
        super().truncate(file, size)

    def sync(self, file: File) -> None:
        self._check("sync", file.path)

    def sync_directory(self, path: Path) -> None:
        self._check("sync_directory", path)
        super().sync_directory(path)

    def rename(self, source: Path, target: Path) -> None:
        self._check("rename", target)
        super().rename(source, target)


def make_batch(
    count: int = 1,
    *,
    timestamp: int = NOW,
    step: int = 0,
    value: bytes = b"v" * 20,
    key: bytes | None = b"k",
    codec: Codec = Codec.NONE,
    producer: Producer = NO_PRODUCER,
) -> bytes:
    """A batch as a client sends it; the records' timestamps rise by ``step``."""
    records = [BatchRecord(key, value, (), timestamp + number * step) for number in range(count)]
    return encode_batch(records, attributes=codec, producer=producer)


class Rig:
    """One partition in a directory of its own, opened and stopped in all ways."""

    def __init__(self, path: Path, files: Files, *, durable: bool = True) -> None:
        self.path = path
        self.files = files
        self.saves = 0
        self.storage = Storage(files, OpenFiles(files), durable, self._save)
        self.config = LogConfig()

    def _save(self) -> None:
        self.saves += 1

    def create(self, **config: Any) -> Partition:
        self.config = LogConfig(**config)
        return create_partition(self.storage, self.path, NAME, TOPIC_ID, self.config)

    def load(
        self, *, clean: bool = False, recovery_point: int = 0, log_start: int = 0, now: int = NOW
    ) -> Partition:
        """What another process finds."""
        self.storage = Storage(self.files, OpenFiles(self.files), self.storage.durable, self._save)
        stop = LastStop(clean, recovery_point, log_start)
        return load_partition(self.storage, self.path, NAME, self.config, stop, now)


@pytest.fixture(scope="session")
def batch() -> Callable[..., bytes]:
    return make_batch


@pytest.fixture(scope="session")
def rigs() -> type[Rig]:
    return Rig


@pytest.fixture(scope="session")
def fast_files() -> type[FastFiles]:
    return FastFiles


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    return Rig(tmp_path / str(NAME), FastFiles())


@pytest.fixture
def faulty(tmp_path: Path) -> FaultyFiles:
    return FaultyFiles()


@pytest.fixture
def faulty_rig(tmp_path: Path, faulty: FaultyFiles) -> Rig:
    return Rig(tmp_path / str(NAME), faulty)


def read_all(partition: Partition) -> bytes:
    """Every byte of the log that can be read, through the door that readers use."""
    data, offset = b"", partition.log_start_offset
    while offset < partition.log_end_offset:
        more = partition.read_batches(offset, 1 << 20)
        assert more, f"nothing can be read at {offset}"
        data += more
        offset = _end_of(more)
    return data


def _end_of(data: bytes) -> int:
    *_, (_, last) = batches(data)
    return last.last_offset + 1


@pytest.fixture(scope="session")
def everything() -> Callable[[Partition], bytes]:
    return read_all

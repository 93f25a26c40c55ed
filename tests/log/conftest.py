"""Disks for the log (one fast, one that fails, one that loses power), and a rig around them."""

from __future__ import annotations

import errno
import os
import stat
import uuid
from collections.abc import Callable, Sequence
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

    def sync_directory(self, path: Path) -> None:
        if not path.is_dir():
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))


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


class VolatileFiles(Files):
    """A disk that remembers what was synced, and can show what a power loss would leave.

    Content is durable as of the last sync of the file, names as of the last sync of their
    directory. What is younger survives or not, each piece by itself, as ``keep`` says.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._content: dict[int, bytes] = {}
        self._names: dict[int, dict[str, int]] = {}
        self._held: dict[int, int] = {}  # open descriptors, so that inode numbers are not reused
        self._find_durable(root)

    def _find_durable(self, path: Path) -> None:
        """What is there at the start has survived the last power loss."""
        self.sync_directory(path)
        for each in path.iterdir():
            if each.is_dir():
                self._find_durable(each)
            else:
                self._content[self._hold(each)] = each.read_bytes()

    def close(self) -> None:
        for fd in self._held.values():
            os.close(fd)
        self._held.clear()

    def _hold(self, path: Path) -> int:
        number = path.stat().st_ino
        if number not in self._held:
            self._held[number] = os.open(path, os.O_RDONLY)
        return number

    def open(self, path: Path, *, create: bool = False) -> File:
        file = super().open(path, create=create)
        self._hold(path)
        return file

    def mkdir(self, path: Path) -> None:
        super().mkdir(path)
        self._hold(path)

    def sync(self, file: File) -> None:
        number = os.fstat(file.fd).st_ino
        self._content[number] = os.pread(file.fd, os.fstat(file.fd).st_size, 0)

    def sync_directory(self, path: Path) -> None:
        self._names[self._hold(path)] = {each.name: self._hold(each) for each in path.iterdir()}

    def crash(self, target: Path, keep: Callable[[], bool]) -> None:
        """Write what a power loss leaves into the new directory ``target``."""
        self._leave(self._hold(self.root), self.root, target, keep)

    def _leave(self, number: int, now: Path, target: Path, keep: Callable[[], bool]) -> None:
        target.mkdir()
        current = {each.name: self._hold(each) for each in now.iterdir()} if now.is_dir() else {}
        names = dict(self._names.get(number, {}))
        for name in sorted(names.keys() | current.keys()):
            if names.get(name) != current.get(name) and keep():
                names[name] = current.get(name, -1)
        for name, inner in sorted(names.items()):
            if inner < 0:
                continue
            if stat.S_ISDIR(os.fstat(self._held[inner]).st_mode):
                self._leave(inner, now / name, target / name, keep)
            else:
                (target / name).write_bytes(self._survivor(inner, keep))

    def _survivor(self, number: int, keep: Callable[[], bool]) -> bytes:
        old = self._content.get(number, b"")
        fd = self._held[number]
        new = os.pread(fd, os.fstat(fd).st_size, 0)
        if old == new or not keep():
            return old
        if keep():
            return new
        # Sectors at random: kept or zero where the file has grown, old or new below.
        grown = bytearray(new)
        for sector in range(0, len(new), 512):
            if not keep():
                piece = old[sector : sector + 512]
                grown[sector : sector + 512] = piece.ljust(len(new[sector : sector + 512]), b"\0")
        return bytes(grown)


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


@pytest.fixture(scope="session")
def volatile_files() -> type[VolatileFiles]:
    return VolatileFiles


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

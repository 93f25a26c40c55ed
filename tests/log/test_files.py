"""The real disk: whole reads and writes, lives of descriptors, the lock."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mq.log.files import BUFFERS_MAX, Files, OpenFiles, _rest


def is_open(fd: int) -> bool:
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True


def test_more_buffers_than_the_kernel_takes_at_once_are_all_written(tmp_path: Path) -> None:
    files = Files()
    file = files.open(tmp_path / "a", create=True)
    pieces = [bytes([number % 256]) * 3 for number in range(2 * BUFFERS_MAX + 1)]
    files.pwrite(file, pieces, 5)
    assert (tmp_path / "a").read_bytes() == b"\0" * 5 + b"".join(pieces)


@pytest.mark.parametrize("pieces", [[b"abcdef"], [b"ab", b"cd", b"ef"]])
def test_a_write_that_the_kernel_cuts_short_is_continued(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pieces: list[bytes]
) -> None:
    files = Files()
    file = files.open(tmp_path / "a", create=True)
    real = os.pwritev
    monkeypatch.setattr(os, "pwrite", lambda fd, data, at: real(fd, [data[:1]], at))
    monkeypatch.setattr(os, "pwritev", lambda fd, data, at: real(fd, [data[0][:1]], at))
    files.pwrite(file, pieces, 0)
    assert (tmp_path / "a").read_bytes() == b"abcdef"


def test_a_write_that_goes_nowhere_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = Files()
    file = files.open(tmp_path / "a", create=True)
    monkeypatch.setattr(os, "pwritev", lambda fd, data, at: 0)
    with pytest.raises(OSError, match="No space"):
        files.pwrite(file, [b"a", b"b"], 0)


@pytest.mark.skipif(not hasattr(os, "RWF_DSYNC"), reason="the system has no such flag")
def test_where_no_call_writes_and_syncs_at_once_there_are_two(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    real = os.pwritev

    def refusing(fd: int, data: list[bytes], at: int, flags: int = 0) -> int:
        if flags:
            raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))
        calls.append("write")
        return real(fd, data, at)

    monkeypatch.setattr(os, "pwritev", refusing)
    monkeypatch.setattr(os, "fdatasync", lambda fd: calls.append("sync"))
    files = Files()
    files.write_through(files.open(tmp_path / "a", create=True), (b"ab", b"c"), 0)
    assert calls == ["write", "sync"]
    assert (tmp_path / "a").read_bytes() == b"abc"


@given(st.lists(st.binary(max_size=5), max_size=6), st.integers(0, 30))
def test_what_is_left_of_buffers_is_their_end(pieces: list[bytes], written: int) -> None:
    whole = b"".join(pieces)
    assert b"".join(_rest(pieces, written)) == whole[written:]


def test_a_read_returns_less_only_at_the_end_of_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = Files()
    (tmp_path / "a").write_bytes(b"0123456789")
    file = files.open(tmp_path / "a")
    real = os.pread
    monkeypatch.setattr(os, "pread", lambda fd, size, at: real(fd, min(size, 3), at))
    assert files.pread(file, 8, 1) == b"12345678"
    assert files.pread(file, 8, 5) == b"56789"
    assert files.pread(file, 8, 10) == b""


def test_a_descriptor_lives_as_long_as_somebody_refers_to_its_file(tmp_path: Path) -> None:
    files = Files()
    file = files.open(tmp_path / "a", create=True)
    again, fd = file, file.fd
    del file
    assert is_open(fd)
    del again
    assert not is_open(fd)


def test_the_cache_of_open_files_is_bounded_and_closes_the_oldest(tmp_path: Path) -> None:
    files = Files()
    for name in "abc":
        (tmp_path / name).write_bytes(b"content")
    cache = OpenFiles(files, limit=2)
    held = cache.get(tmp_path / "a")
    first = cache.get(tmp_path / "b").fd
    assert cache.get(tmp_path / "a") is held  # now b is the oldest
    cache.get(tmp_path / "c")
    assert not is_open(first)
    assert is_open(held.fd)
    mapped = cache.map(tmp_path / "c")
    assert bytes(mapped) == b"content"
    assert cache.map(tmp_path / "c") is mapped
    cache.forget(tmp_path / "c")
    assert cache.map(tmp_path / "c") is not mapped
    assert cache.map(tmp_path / "missing") == b""


def test_a_lock_is_held_by_one_until_it_is_let_go(tmp_path: Path) -> None:
    files = Files()
    held = files.lock(tmp_path / "lock")
    assert held is not None
    assert files.lock(tmp_path / "lock") is None
    del held
    assert files.lock(tmp_path / "lock") is not None


def test_replacing_leaves_the_new_bytes_and_nothing_else(tmp_path: Path) -> None:
    files = Files()
    files.replace(tmp_path / "a", b"a longer text")
    files.replace(tmp_path / "a", b"short")
    assert files.read(tmp_path / "a") == b"short"
    assert files.names(tmp_path) == ["a"]
    assert files.read(tmp_path / "b") is None


def test_syncing_reaches_files_and_directories(tmp_path: Path) -> None:
    files = Files()
    file = files.write(tmp_path / "a", b"x")
    files.sync(file)
    files.sync_directory(tmp_path)
    with pytest.raises(FileNotFoundError):
        files.sync_directory(tmp_path / "missing")
    assert files.size(tmp_path / "a") == 1


# --- few descriptors -----------------------------------------------------------------------------


def test_a_directory_is_synced_although_no_descriptor_is_left(tmp_path: Path) -> None:
    program = (
        "import os, pathlib, resource, sys\n"
        "from mq.log.files import Files\n"
        "path, files, taken = pathlib.Path(sys.argv[1]), Files(), []\n"
        "file = files.open(path / 'first', create=True)\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))\n"
        "try:\n"
        "    while True: taken.append(os.open('/dev/null', os.O_RDONLY))\n"
        "except OSError: pass\n"
        "for _ in range(20): files.sync_directory(path)\n"
        "held = [files.open(path / f'{n}', create=True) for n in range(4)]\n"
        "os.close(taken.pop()); os.close(taken.pop())\n"
        "files.sync_directory(path)\n"
        "print(len(held))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr) == ("4\n", "")


def test_many_partitions_need_few_descriptors(tmp_path: Path) -> None:
    program = (
        "import pathlib, resource, sys, uuid\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (128, 128))\n"
        "from mq.log.config import LogConfig\n"
        "from mq.log.directory import DataDirectory\n"
        "from mq.wire.batch import BatchRecord, encode_batch\n"
        "d = DataDirectory.open(pathlib.Path(sys.argv[1]), now_ms=0, journal_bytes=1 << 20)\n"
        "commit = d.group_commit()\n"
        "d.prepare()\n"
        "parts = [d.create_partition('t', n, uuid.UUID(int=7), LogConfig()) for n in range(300)]\n"
        "for turn in range(2):\n"
        "    for part in parts:\n"
        "        part.append(encode_batch([BatchRecord(None, b'v')]), now_ms=0)\n"
        "    commit.run(parts, lambda synced: [part.synced(end) for part, end in synced])\n"
        "ends = {part.high_watermark for part in parts}\n"
        "print(ends, {len(part.read(0, 99)) for part in parts})\n"
        "d.close()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "data")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("{2} {99}\n", "")


def test_many_files_are_synced_at_once(tmp_path: Path) -> None:
    files = Files()
    within = files.open(tmp_path / "lock", create=True)
    paths = [tmp_path / str(number) for number in range(100)]
    for path in paths:
        files.write(path, b"x")
    files.sync_all(within, paths, [tmp_path])
    with pytest.raises(FileNotFoundError):  # one by one, where they are few
        files.sync_all(within, [tmp_path / "missing"], [])
    with pytest.raises(FileNotFoundError):
        files.sync_all(within, paths, [tmp_path / "missing"])

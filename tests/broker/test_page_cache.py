"""What the system says of its page cache."""

from __future__ import annotations

import asyncio
import errno
import os
from pathlib import Path

import pytest

from mq.broker.page_cache import PageCache, read_slice
from mq.log.files import File, Files
from mq.log.slices import Slice

PAGE = os.sysconf("SC_PAGE_SIZE")


@pytest.fixture
def file(tmp_path: Path) -> File:
    file = Files().write(tmp_path / "a.log", os.urandom(16 * PAGE))
    os.fdatasync(file.fd)
    return file


def whole(file: File, *, hot: bool = False) -> Slice:
    return Slice(file.fd, 0, 16 * PAGE, hot, file)


def forget(file: File) -> None:
    """Have the system drop the file's pages."""
    os.posix_fadvise(file.fd, 0, 0, os.POSIX_FADV_DONTNEED)


def run(scenario, **options):
    async def main():
        cache = PageCache(asyncio.get_running_loop(), **options)
        await scenario(cache)
        cache.close()

    asyncio.run(main())


def test_what_was_written_is_held_until_it_is_dropped(file):
    async def scenario(cache):
        if not cache.holds(whole(file), 0, PAGE):
            pytest.skip("this system does not tell what is cached")
        assert cache.holds(whole(file), 0, 16 * PAGE)
        forget(file)
        if cache.holds(whole(file), 0, 16 * PAGE):
            pytest.skip("this file system has nothing but its cache")
        fetched = asyncio.Event()
        cache.fetch(whole(file), fetched.set)
        await fetched.wait()
        assert cache.holds(whole(file), 0, 16 * PAGE)

    run(scenario)


def test_one_page_that_is_held_says_nothing_of_its_neighbours(file):
    async def scenario(cache):
        forget(file)
        os.posix_fadvise(file.fd, 0, 0, os.POSIX_FADV_RANDOM)  # no reading ahead
        os.pread(file.fd, 1, 4 * PAGE)
        if not cache.holds(whole(file), 4 * PAGE + 1, PAGE - 1):
            pytest.skip("this system does not tell what is cached")
        if cache.holds(whole(file), 0, PAGE):
            pytest.skip("this file system has nothing but its cache")
        assert not cache.holds(whole(file), 4 * PAGE, PAGE + 1)
        assert not cache.holds(whole(file), 4 * PAGE - 1, 2)

    run(scenario)


@pytest.mark.parametrize("hot", [True, False])
def test_where_the_system_cannot_tell_only_what_was_just_written_counts(file, hot):
    async def scenario(cache):
        piece = whole(file, hot=hot)
        assert cache.holds(piece, 0, PAGE) is hot
        assert cache.read(piece) == (read_slice(piece) if hot else None)

    run(scenario, tells=False, reads_nowait=False)


def test_a_system_call_that_does_not_exist_is_asked_for_once(file, monkeypatch):
    async def scenario(cache):
        calls = []
        monkeypatch.setattr(cache, "_syscall", lambda *arguments: calls.append(arguments) or -1)
        assert cache.holds(whole(file, hot=True), 0, PAGE)
        assert not cache.holds(whole(file, hot=False), 0, PAGE)
        assert len(calls) == 1

    run(scenario)


def test_a_file_system_without_reads_that_do_not_wait_is_noticed(file, monkeypatch):
    def preadv(*_):
        raise OSError(errno.EOPNOTSUPP, "Operation not supported")

    async def scenario(cache):
        monkeypatch.setattr(os, "preadv", preadv)
        assert cache.read(whole(file, hot=True)) == read_slice(whole(file))
        monkeypatch.undo()
        assert cache.read(whole(file, hot=False)) is None

    run(scenario)

"""The disk in memory: like a real one while it runs, and as unkind as is legal when it crashes."""

from __future__ import annotations

import errno
import inspect
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mq.log.files import File, Files
from mq.testing.disk import Disk
from mq.testing.pending import SECTOR_BYTES, Fate

ROOT = Path("/disk")
A, B = ROOT / "a", ROOT / "b"


@pytest.fixture
def disk() -> Disk:
    """A disk with a durable directory."""
    disk = Disk({str(ROOT): None})
    assert disk.unsettled().units == []
    return disk


def durable_file(disk: Disk, content: bytes) -> File:
    file = disk.write(A, content)
    disk.sync(file)
    disk.sync_directory(ROOT)
    return file


def survivors(disk: Disk, *fates: Fate) -> dict[str, bytes | None]:
    """What the pending units leave when they have these fates, in their order."""
    image = disk.unsettled().image(fates)
    return {path: data for path, data in image.items() if path != str(ROOT)}


def test_the_twin_has_every_verb_of_the_real_disk() -> None:
    composed = {"write", "replace", "sync_each"}  # of other verbs
    verbs = {name for name, _ in inspect.getmembers(Files, inspect.isfunction) if name[0] != "_"}
    assert {name for name in verbs if name in vars(Disk)} == verbs - composed


# --- like a real one -----------------------------------------------------------------------------

NAMES = st.sampled_from(["a", "b", "c/d", "c/e"])
ACTIONS = st.one_of(
    st.tuples(st.just("write"), NAMES, st.binary(max_size=9)),
    st.tuples(st.just("pwrite"), NAMES, st.binary(max_size=9), st.integers(0, 12)),
    st.tuples(st.just("truncate"), NAMES, st.integers(0, 20)),
    st.tuples(st.just("rename"), st.sampled_from(["a", "b"]), st.sampled_from(["a", "b"])),
    st.tuples(st.just("unlink"), NAMES),
    st.tuples(st.just("rmdir"), st.just("c")),
    st.tuples(st.just("mkdir"), st.just("c")),
    st.tuples(st.just("replace"), NAMES, st.binary(max_size=9)),
)


def perform(files: Files, root: Path, verb: str, name: str, *rest: Any) -> str:
    try:
        if verb == "pwrite":
            files.pwrite(files.open(root / name), [rest[0][:4], rest[0][4:]], rest[1])
        elif verb == "truncate":
            files.truncate(files.open(root / name), rest[0])
        elif verb == "rename":
            files.rename(root / name, root / rest[0])
        else:
            getattr(files, verb)(root / name, *rest)
    except OSError as error:
        return errno.errorcode[error.errno or 0]
    return "done"


def content(files: Files, root: Path) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name in files.names(root):
        if name in files.directories(root):
            found[name] = content(files, root / name)
        else:
            file = files.open(root / name)
            found[name] = files.read(root / name), files.size(root / name)
            assert files.pread(file, 5, 3) == found[name][0][3:8]
            assert bytes(files.map(root / name)) == found[name][0]
        assert files.exists(root / name)
    return found


@settings(max_examples=50)
@given(actions=st.lists(ACTIONS, max_size=12))
def test_the_twin_does_what_the_real_disk_does(
    tmp_path_factory: pytest.TempPathFactory, actions: list[tuple[Any, ...]]
) -> None:
    real, root = Files(), tmp_path_factory.mktemp("real")
    twin = Disk({str(ROOT): None})
    for action in actions:
        assert perform(twin, ROOT, *action) == perform(real, root, *action)
    assert content(twin, ROOT) == content(real, root)
    assert twin.read(ROOT / "none") is None
    assert twin.map(ROOT / "none") == b""


def test_a_lock_is_held_as_long_as_it_lives(disk: Disk) -> None:
    held = disk.lock(A)
    assert held is not None
    assert disk.lock(A) is None
    del held
    assert disk.lock(A) is not None


# --- what a crash may leave ----------------------------------------------------------------------


def test_what_was_synced_is_all_that_is_promised(disk: Disk) -> None:
    file = durable_file(disk, b"first")
    disk.pwrite(file, (b"second",), 5)
    disk.write(B, b"new")
    pending = [str(unit) for unit in disk.unsettled().units]
    assert pending == [
        "/disk/a: 5 to 11", "/disk/a: size", "/disk: nothing -> b", "/disk/b: 0 to 3",
        "/disk/b: size",
    ]  # fmt: skip
    assert survivors(disk, *[Fate.OLD] * 5) == {"/disk/a": b"first"}
    assert survivors(disk, *[Fate.KEPT] * 5) == {"/disk/a": b"firstsecond", "/disk/b": b"new"}
    assert disk.image() == {"/disk": None, "/disk/a": b"firstsecond", "/disk/b": b"new"}


def test_a_name_without_its_data_is_an_empty_file(disk: Disk) -> None:
    disk.write(A, b"data")
    assert survivors(disk, Fate.KEPT, Fate.OLD, Fate.OLD) == {"/disk/a": b""}


def test_the_size_may_outrun_the_data_or_lag_behind(disk: Disk) -> None:
    file = durable_file(disk, b"ab")
    disk.pwrite(file, (b"cd",), 2)
    assert survivors(disk, Fate.OLD, Fate.KEPT) == {"/disk/a": b"ab\0\0"}
    assert survivors(disk, Fate.KEPT, Fate.OLD) == {"/disk/a": b"ab"}
    assert survivors(disk, Fate.KEPT, Fate.GARBAGE) == {"/disk/a": b"abc"}


def test_sectors_survive_each_by_itself(disk: Disk) -> None:
    file = durable_file(disk, b"o" * 2 * SECTOR_BYTES)
    disk.pwrite(file, (b"n" * SECTOR_BYTES,), SECTOR_BYTES // 2)
    half = SECTOR_BYTES // 2
    for first, start in ((Fate.OLD, b"o"), (Fate.ZERO, b"\0"), (Fate.KEPT, b"n")):
        (left,) = survivors(disk, first, Fate.KEPT).values()
        assert left == b"o" * half + start * half + b"n" * half + b"o" * half
    (left,) = survivors(disk, Fate.GARBAGE, Fate.OLD).values()
    assert left is not None
    assert left[half:SECTOR_BYTES] not in (b"o" * half, b"n" * half, bytes(half))
    assert left[:half] + left[SECTOR_BYTES:] == b"o" * (half + SECTOR_BYTES)


def test_a_cut_that_is_lost_brings_the_bytes_back(disk: Disk) -> None:
    file = durable_file(disk, b"abcd")
    disk.truncate(file, 1)
    assert disk.read(A) == b"a"
    assert survivors(disk, Fate.OLD, Fate.OLD) == {"/disk/a": b"abcd"}
    assert survivors(disk, Fate.KEPT, Fate.KEPT) == {"/disk/a": b"a"}


def test_names_survive_in_any_order(disk: Disk) -> None:
    durable_file(disk, b"old")
    scratch = disk.write(B, b"new")
    disk.sync(scratch)
    disk.rename(B, A)
    assert survivors(disk, Fate.OLD, Fate.OLD) == {"/disk/a": b"old"}
    assert survivors(disk, Fate.KEPT, Fate.OLD) == {"/disk/a": b"old", "/disk/b": b"new"}
    assert survivors(disk, Fate.OLD, Fate.KEPT) == {"/disk/a": b"new"}
    disk.sync_directory(ROOT)
    assert survivors(disk) == {"/disk/a": b"new"}


def test_a_file_that_was_removed_may_come_back(disk: Disk) -> None:
    file = durable_file(disk, b"old")
    disk.unlink(A)
    assert survivors(disk, Fate.OLD) == {"/disk/a": b"old"}
    assert disk.pread(file, 3, 0) == b"old"


def test_a_write_through_promises_its_own_bytes_only(disk: Disk) -> None:
    file = durable_file(disk, b"aaaa")
    disk.pwrite(file, (b"b",), 0)
    disk.write_through(file, (b"c", b"c"), 2)
    assert survivors(disk, Fate.OLD) == {"/disk/a": b"aacc"}
    assert survivors(disk, Fate.KEPT) == {"/disk/a": b"bacc"}


# --- syncs ---------------------------------------------------------------------------------------


def test_a_sync_promises_nothing_that_comes_while_it_runs(disk: Disk) -> None:
    file = durable_file(disk, b"a")
    disk.pwrite(file, (b"b",), 1)

    def write_beside(what: str) -> None:
        if what == f"end of sync {A}":
            disk.observer = None
            disk.pwrite(file, (b"c",), 2)

    disk.observer = write_beside
    disk.sync(file)
    assert survivors(disk, Fate.OLD, Fate.OLD) == {"/disk/a": b"ab"}
    assert disk.read(A) == b"abc"


def test_a_write_through_that_fails_promises_nothing(disk: Disk) -> None:
    file = durable_file(disk, b"aaaa")
    disk.fail("write_through", written=1)
    with pytest.raises(OSError, match="Input/output error"):
        disk.write_through(file, (b"bb",), 0)
    disk.sync(file)
    assert disk.read(A) == b"baaa"
    assert survivors(disk, Fate.OLD) == {"/disk/a": b"aaaa"}


def test_no_sync_makes_up_for_one_that_failed(disk: Disk) -> None:
    file = durable_file(disk, b"a")
    disk.pwrite(file, (b"b",), 1)
    disk.fail("sync")
    with pytest.raises(OSError, match="Input/output error"):
        disk.sync(file)
    disk.pwrite(file, (b"c",), 2)
    disk.sync(file)
    assert survivors(disk, Fate.OLD) == {"/disk/a": b"a\0c"}
    assert disk.read(A) == b"abc"


def test_a_write_may_fail_half_way(disk: Disk) -> None:
    disk.fail("pwrite", errno.ENOSPC, ending="a", at=2, written=2)
    disk.write(B, b"full")
    file = disk.write(A, b"full")
    with pytest.raises(OSError, match="No space left"):
        disk.pwrite(file, (b"half",), 4)
    assert disk.read(A) == b"fullha"
    disk.pwrite(file, (b"half",), 4)
    assert disk.operations == {"create": 2, "pwrite": 4}


def test_an_observer_sees_the_disk_before_each_change(disk: Disk) -> None:
    told: list[tuple[str, bool]] = []
    disk.observer = lambda what: told.append((what, disk.exists(A)))
    disk.replace(A, b"x")
    assert told == [
        ("create /disk/a.tmp", False), ("pwrite /disk/a.tmp", False),
        ("sync /disk/a.tmp", False), ("end of sync /disk/a.tmp", False),
        ("rename /disk/a", False), ("sync_directory /disk", True),
        ("end of sync_directory /disk", True),
    ]  # fmt: skip

"""A disk in memory that forgets what was not synced, and fails when it is told to.

A :class:`Disk` has the verbs of :class:`mq.log.files.Files`. It keeps apart what it has promised
(content as of a file's last completed sync, names as of the last completed sync of their directory)
and what is pending. A crash may keep or lose each pending thing by itself; what a legal crash is
made of is said in :class:`Unsettled`, and is harsher than any file system:

* data survives by sectors of 512 bytes, in any order: each as it was written, as it was before, as
  zeros or as garbage. Bytes of a sector that were not written lately stay as they are; so much
  every drive and every database relies on.
* the size of a file is a thing of its own: it may outrun the data, or lag behind;
* making, removing and renaming survive each by itself and in any order, but each wholly or not.

A sync promises what was written before it began, not what came while it ran. One that fails
promises nothing, and no later one makes up for it: the kernel may have dropped the pages.

Every verb that changes something is announced to ``observer`` before it takes effect (a sync twice:
before it begins and before it ends), so that an observer can look at all crashes that are possible
at this moment, or do what another thread would do.
"""

from __future__ import annotations

import errno
import os
import random
import weakref
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Final, NamedTuple, TypeAlias

from mq.log.files import Buffer, File, Files

__all__ = ["SECTOR_BYTES", "Disk", "Fate", "Image", "Unit", "Unsettled"]

SECTOR_BYTES: Final = 512

Image: TypeAlias = dict[str, bytes | None]
"""All that is on a disk, by absolute path; a directory has no content."""

# What nobody wrote; long enough for any sector, the same in every run.
_GARBAGE: Final = random.Random(512).randbytes(SECTOR_BYTES)


class Fate(Enum):
    """What a crash made of a pending change; of a size, ``ZERO`` and ``GARBAGE`` lie between."""

    KEPT = "kept"
    OLD = "old"
    ZERO = "zero"
    GARBAGE = "garbage"


class _Write(NamedTuple):
    """Bytes that were written; a ``resize`` made zeros of them without touching a sector."""

    position: int
    data: bytes
    resize: bool = False


class _Edit(NamedTuple):
    """Names of a directory: ``gone`` stands for the node no longer, ``made`` does from now on."""

    gone: str | None
    made: str | None
    node: _Node


@dataclass(slots=True, eq=False, weakref_slot=True)
class _FileNode:
    data: bytearray = field(default_factory=bytearray)
    promised: bytes = b""
    pending: list[_Write] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)  # one after each pending write
    dropped: int = 0  # pending writes that a failed sync has put beyond any promise
    modified_ms: int = 0  # outside of the model: no crash changes it
    holder: weakref.ref[File] | None = None


@dataclass(slots=True, eq=False)
class _Directory:
    names: dict[str, _Node] = field(default_factory=dict)
    promised: dict[str, _Node] = field(default_factory=dict)
    pending: list[_Edit] = field(default_factory=list)


_Node: TypeAlias = _FileNode | _Directory


class _OpenFile(File):
    """A file of a :class:`Disk`; it has no descriptor."""

    __slots__ = ("node",)

    def __init__(self, path: Path, node: _FileNode) -> None:
        super().__init__(-1, path)
        self.node = node

    def __del__(self) -> None:
        pass


@dataclass(slots=True)
class _Fault:
    verb: str
    ending: str
    calls_left: int
    error: int
    written: int


class Disk(Files):
    """A disk; it begins empty, or with what an image holds, all of it promised.

    Attributes:
        observer: told of every change before it takes effect, in words.
        operations: how many changes there were, by verb.
        failures: how many were told to fail, and did.
    """

    def __init__(self, image: Image | None = None) -> None:
        self.observer: Callable[[str], None] | None = None
        self.operations: Counter[str] = Counter()
        self.failures = 0
        self._root = _Directory()
        self._unsettled: dict[_Node, Path] = {}  # nodes with something pending
        self._faults: list[_Fault] = []
        for path, data in sorted((image or {}).items()):
            self._put(path, data)

    def _put(self, path: str, data: bytes | None) -> None:
        *above, name = path.split("/")[1:]
        directory = self._root
        for part in above:
            inner = directory.names[part]
            assert isinstance(inner, _Directory)
            directory = inner
        node = _Directory() if data is None else _FileNode(bytearray(data), data)
        directory.names[name] = directory.promised[name] = node

    # --- trouble ---------------------------------------------------------------------------------

    def fail(
        self, verb: str, error: int = errno.EIO, *, ending: str = "", at: int = 1, written: int = 0
    ) -> None:
        """Let one call of ``verb`` fail.

        Args:
            ending: how the names of files that count end.
            at: which call of those to come, from 1.
            written: how many bytes a ``pwrite`` leaves behind.
        """
        self._faults.append(_Fault(verb, ending, at, error, written))

    def _begin(self, verb: str, path: Path) -> _Fault | None:
        """Announce a change, and count it; the fault it is to run into, if any."""
        if self.observer is not None:
            self.observer(f"{verb} {path}")
        self.operations[verb] += 1
        for fault in self._faults:
            if fault.verb == verb and path.name.endswith(fault.ending):
                fault.calls_left -= 1
                if not fault.calls_left:
                    self._faults.remove(fault)
                    self.failures += 1
                    return fault
        return None

    def _change(self, verb: str, path: Path) -> None:
        if fault := self._begin(verb, path):
            raise OSError(fault.error, os.strerror(fault.error), str(path))

    # --- names -----------------------------------------------------------------------------------

    def _find(self, path: Path) -> _Node | None:
        node: _Node | None = self._root
        for part in path.parts[1:]:
            if not isinstance(node, _Directory):
                return None
            node = node.names.get(part)
        return node

    def _directory(self, path: Path) -> _Directory:
        node = self._find(path)
        if isinstance(node, _Directory):
            return node
        raise _missing(path) if node is None else NotADirectoryError(errno.ENOTDIR, str(path))

    def _file(self, path: Path) -> _FileNode:
        node = self._find(path)
        if isinstance(node, _FileNode):
            return node
        raise _missing(path) if node is None else IsADirectoryError(errno.EISDIR, str(path))

    def _edit(self, path: Path, edit: _Edit) -> None:
        directory = self._directory(path)
        _apply(directory.names, edit)
        directory.pending.append(edit)
        self._unsettled[directory] = path

    def open(self, path: Path, *, create: bool = False) -> File:
        if create and self._find(path) is None:
            self._change("create", path)
            self._edit(path.parent, _Edit(None, path.name, _FileNode()))
        return _OpenFile(path, self._file(path))

    def mkdir(self, path: Path) -> None:
        for each in (*reversed(path.parents), path):
            if self._find(each) is None:
                self._change("mkdir", each)
                self._edit(each.parent, _Edit(None, each.name, _Directory()))

    def rename(self, source: Path, target: Path) -> None:
        node = self._find(source)
        if node is None:
            raise _missing(source)
        assert source.parent == target.parent, "the log renames within a directory only"
        self._change("rename", target)
        self._edit(source.parent, _Edit(source.name, target.name, node))

    def unlink(self, path: Path) -> None:
        node = self._find(path)
        if node is not None:
            self._change("unlink", path)
            self._edit(path.parent, _Edit(path.name, None, node))

    def rmdir(self, path: Path) -> None:
        node = self._directory(path)
        if node.names:
            raise OSError(errno.ENOTEMPTY, os.strerror(errno.ENOTEMPTY), str(path))
        self._change("rmdir", path)
        self._edit(path.parent, _Edit(path.name, None, node))

    def names(self, path: Path) -> list[str]:
        return sorted(self._directory(path).names)

    def directories(self, path: Path) -> list[str]:
        inside = self._directory(path).names.items()
        return sorted(name for name, node in inside if isinstance(node, _Directory))

    def exists(self, path: Path) -> bool:
        return self._find(path) is not None

    def sync_directory(self, path: Path) -> None:
        self._change("sync_directory", path)
        directory = self._directory(path)
        covered = len(directory.pending)
        if self.observer is not None:
            self.observer(f"end of sync_directory {path}")
        for edit in directory.pending[:covered]:
            _apply(directory.promised, edit)
        del directory.pending[:covered]
        if not directory.pending:
            self._unsettled.pop(directory, None)

    def lock(self, path: Path) -> File | None:
        file = self.open(path, create=True)
        assert isinstance(file, _OpenFile)
        if file.node.holder is not None and file.node.holder() is not None:
            return None
        file.node.holder = weakref.ref(file)
        return file

    # --- content ---------------------------------------------------------------------------------

    def size(self, path: Path) -> int:
        return len(self._file(path).data)

    def modified_ms(self, path: Path) -> int:
        return self._file(path).modified_ms

    def set_modified(self, file: File, modified_ms: int) -> None:
        _node(file).modified_ms = modified_ms

    def pread(self, file: File, size: int, position: int) -> bytes:
        return bytes(_node(file).data[position : position + size])

    def read(self, path: Path) -> bytes | None:
        node = self._find(path)
        return bytes(node.data) if isinstance(node, _FileNode) else None

    def map(self, path: Path) -> Buffer:
        return self.read(path) or b""

    def pwrite(self, file: File, buffers: Sequence[Buffer], position: int) -> None:
        fault = self._begin("pwrite", file.path)
        data = b"".join(buffers)
        if fault is not None:
            data = data[: fault.written]
        self._write(file, position, data)
        if fault is not None:
            raise OSError(fault.error, os.strerror(fault.error), str(file.path))

    def _write(self, file: File, position: int, data: bytes) -> None:
        if data:
            node = _node(file)
            _overlay(node.data, position, data)
            self._pend(file, _Write(position, data))

    def write_through(self, file: File, buffers: Sequence[Buffer], position: int) -> None:
        node, data = _node(file), b"".join(buffers)
        fault = self._begin("write_through", file.path)
        self._write(file, position, data if fault is None else data[: fault.written])
        if fault is not None:
            node.dropped = len(node.pending)
            raise OSError(fault.error, os.strerror(fault.error), str(file.path))
        if data:
            write = node.pending[-1]
            if self.observer is not None:
                self.observer(f"end of write_through {file.path}")
            self._promise_one(node, write)

    def _promise_one(self, node: _FileNode, write: _Write) -> None:
        """Promise a single write; also those before it, if its place was written before."""
        number = next(n for n, pending in enumerate(node.pending) if pending is write)
        end = write.position + len(write.data)
        if number == 0 or any(
            each.position < end and write.position < each.position + len(each.data)
            for each in node.pending[:number]
        ):
            self._promise(node, number + 1)
            return
        data = bytearray(node.promised)
        _overlay(data, write.position, write.data)
        node.promised = bytes(data)
        del node.pending[number], node.sizes[number]
        node.sizes = [max(size, len(data)) for size in node.sizes]

    def truncate(self, file: File, size: int) -> None:
        node = _node(file)
        if size == len(node.data):
            return
        self._change("truncate", file.path)
        if size < len(node.data):
            zeros = _Write(size, bytes(len(node.data) - size), resize=True)
            del node.data[size:]
        else:
            zeros = _Write(len(node.data), bytes(size - len(node.data)), resize=True)
            node.data += zeros.data
        self._pend(file, zeros)

    def _pend(self, file: File, write: _Write) -> None:
        node = _node(file)
        node.pending.append(write)
        node.sizes.append(len(node.data))
        self._unsettled[node] = file.path

    def sync(self, file: File) -> None:
        node = _node(file)
        if fault := self._begin("sync", file.path):
            node.dropped = len(node.pending)
            raise OSError(fault.error, os.strerror(fault.error), str(file.path))
        covered = len(node.pending)
        if self.observer is not None:
            self.observer(f"end of sync {file.path}")
        self._promise(node, covered)

    def _promise(self, node: _FileNode, covered: int) -> None:
        """Promise the first ``covered`` pending writes, except those that were dropped."""
        if covered == len(node.pending) and not node.dropped:
            node.promised = bytes(node.data)
            node.pending, node.sizes = [], []
            self._unsettled.pop(node, None)
        elif covered > node.dropped:
            data = bytearray(node.promised)
            for write in node.pending[node.dropped : covered]:
                _overlay(data, write.position, write.data)
            size = node.sizes[covered - 1]
            data.extend(bytes(max(0, size - len(data))))
            node.promised = bytes(data[:size])
            del node.pending[node.dropped : covered], node.sizes[node.dropped : covered]
            node.sizes[: node.dropped] = [size] * node.dropped  # the size was not dropped

    # --- the crash -------------------------------------------------------------------------------

    def unsettled(self) -> Unsettled:
        """What a crash at this moment would decide."""
        return Unsettled(self._root, self._unsettled)

    def image(self) -> Image:
        """All that a process sees, synced or not: what is left if only the process dies."""
        everything = self.unsettled()
        return everything.image([Fate.KEPT] * len(everything.units))


@dataclass(frozen=True, slots=True)
class Unit:
    """One pending thing; ``start`` to ``end`` are the bytes of a sector, if it is one."""

    node: _Node
    name: str
    change: int = 0
    start: int = -1
    end: int = -1

    def __str__(self) -> str:
        return self.name

    @property
    def is_name(self) -> bool:
        """Whether it is about a name in a directory."""
        return isinstance(self.node, _Directory)


class Unsettled:
    """What a disk has not promised at one moment, in units that each survive by themselves.

    Attributes:
        units: sectors, sizes and names; of a name only ``KEPT`` and ``OLD`` differ.
    """

    def __init__(self, root: _Directory, nodes: dict[_Node, Path]) -> None:
        self._root = root
        self.units: list[Unit] = []
        for node, path in nodes.items():
            if isinstance(node, _Directory):
                self.units += _names_of(node, path)
            else:
                self.units += _sectors_of(node, path)

    def image(self, fates: Sequence[Fate]) -> Image:
        """The disk after a crash that gave each of ``units`` one of ``fates``."""
        decided: dict[_Node, list[tuple[Unit, Fate]]] = {}
        for unit, fate in zip(self.units, fates, strict=True):
            decided.setdefault(unit.node, []).append((unit, fate))
        image: Image = {}
        self._leave(self._root, "", decided, image)
        return image

    def _leave(
        self,
        directory: _Directory,
        path: str,
        decided: dict[_Node, list[tuple[Unit, Fate]]],
        image: Image,
    ) -> None:
        names = directory.promised
        if directory in decided:
            names = dict(names)
            for unit, fate in decided[directory]:
                if fate is Fate.KEPT:
                    _apply(names, directory.pending[unit.change])
        for name, node in names.items():
            inner = f"{path}/{name}"
            if isinstance(node, _Directory):
                image[inner] = None
                self._leave(node, inner, decided, image)
            elif node in decided:
                image[inner] = _survivor(node, decided[node])
            else:
                image[inner] = node.promised


def _names_of(directory: _Directory, path: Path) -> list[Unit]:
    return [
        Unit(directory, f"{path}: {edit.gone or 'nothing'} -> {edit.made or 'nothing'}", number)
        for number, edit in enumerate(directory.pending)
    ]


def _sectors_of(node: _FileNode, path: Path) -> list[Unit]:
    units = []
    for number, (position, data, resize) in enumerate(node.pending):
        end = position + len(data)
        while position < end:
            stop = end if resize else min(end, (position // SECTOR_BYTES + 1) * SECTOR_BYTES)
            units.append(Unit(node, f"{path}: {position} to {stop}", number, position, stop))
            position = stop
    if any(size != len(node.promised) for size in node.sizes):
        units.append(Unit(node, f"{path}: size"))
    return units


def _survivor(node: _FileNode, decided: list[tuple[Unit, Fate]]) -> bytes:
    data = bytearray(node.promised)
    size = len(node.promised)
    for unit, fate in decided:
        if unit.start < 0:
            size = _size(node, fate)
            continue
        position, written, resize = node.pending[unit.change]
        if fate is Fate.KEPT:
            _overlay(data, unit.start, written[unit.start - position : unit.end - position])
        elif fate is Fate.ZERO and not resize:
            _overlay(data, unit.start, bytes(unit.end - unit.start))
        elif fate is Fate.GARBAGE and not resize:
            _overlay(data, unit.start, _GARBAGE[: unit.end - unit.start])
    data.extend(bytes(max(0, size - len(data))))
    return bytes(data[:size])


def _size(node: _FileNode, fate: Fate) -> int:
    """The new size, the old one, one of those between, or one that no write ever had."""
    match fate:
        case Fate.KEPT:
            return node.sizes[-1]
        case Fate.OLD:
            return len(node.promised)
        case Fate.ZERO:
            return node.sizes[(len(node.sizes) - 1) // 2]
        case _:
            return (len(node.promised) + node.sizes[-1]) // 2


def _apply(names: dict[str, _Node], edit: _Edit) -> None:
    if edit.gone is not None and names.get(edit.gone) is edit.node:
        del names[edit.gone]
    if edit.made is not None:
        names[edit.made] = edit.node


def _overlay(data: bytearray, position: int, written: bytes) -> None:
    if position > len(data):
        data.extend(bytes(position - len(data)))
    data[position : position + len(written)] = written


def _node(file: File) -> _FileNode:
    assert isinstance(file, _OpenFile)
    return file.node


def _missing(path: Path) -> FileNotFoundError:
    return FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))

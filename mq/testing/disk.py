"""A disk in memory that forgets what was not synced, and fails when it is told to.

A :class:`Disk` has the verbs of :class:`mq.log.files.Files`. It keeps apart what it has promised
(content as of a file's last completed sync, names as of the last completed sync of their directory)
and what is pending. A crash may keep or lose each pending thing by itself; what a legal crash is
made of is said in :class:`~mq.testing.pending.Unsettled`, and is harsher than any file system:

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
import weakref
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from mq.log.files import Buffer, File, Files
from mq.testing.pending import (
    DirectoryNode,
    Edit,
    Fate,
    FileNode,
    Image,
    Node,
    Unsettled,
    Write,
    apply,
    overlay,
)

__all__ = ["Disk"]


class _OpenFile(File):
    """A file of a :class:`Disk`; it has no descriptor."""

    __slots__ = ("node",)

    def __init__(self, path: Path, node: FileNode) -> None:
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
        self._root = DirectoryNode()
        self._unsettled: dict[Node, Path] = {}  # nodes with something pending
        self._faults: list[_Fault] = []
        for path, data in sorted((image or {}).items()):
            self._put(path, data)

    def _put(self, path: str, data: bytes | None) -> None:
        *above, name = path.split("/")[1:]
        directory = self._root
        for part in above:
            inner = directory.names[part]
            assert isinstance(inner, DirectoryNode)
            directory = inner
        node = DirectoryNode() if data is None else FileNode(bytearray(data), data)
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

    def _find(self, path: Path) -> Node | None:
        node: Node | None = self._root
        for part in path.parts[1:]:
            if not isinstance(node, DirectoryNode):
                return None
            node = node.names.get(part)
        return node

    def _directory(self, path: Path) -> DirectoryNode:
        node = self._find(path)
        if isinstance(node, DirectoryNode):
            return node
        raise _missing(path) if node is None else NotADirectoryError(errno.ENOTDIR, str(path))

    def _file(self, path: Path) -> FileNode:
        node = self._find(path)
        if isinstance(node, FileNode):
            return node
        raise _missing(path) if node is None else IsADirectoryError(errno.EISDIR, str(path))

    def _edit(self, path: Path, edit: Edit) -> None:
        directory = self._directory(path)
        apply(directory.names, edit)
        directory.pending.append(edit)
        self._unsettled[directory] = path

    def open(self, path: Path, *, create: bool = False) -> File:
        if create and self._find(path) is None:
            self._change("create", path)
            self._edit(path.parent, Edit(None, path.name, FileNode()))
        return _OpenFile(path, self._file(path))

    def mkdir(self, path: Path) -> None:
        for each in (*reversed(path.parents), path):
            if self._find(each) is None:
                self._change("mkdir", each)
                self._edit(each.parent, Edit(None, each.name, DirectoryNode()))

    def rename(self, source: Path, target: Path) -> None:
        node = self._find(source)
        if node is None:
            raise _missing(source)
        assert source.parent == target.parent, "the log renames within a directory only"
        self._change("rename", target)
        self._edit(source.parent, Edit(source.name, target.name, node))

    def unlink(self, path: Path) -> None:
        node = self._find(path)
        if node is not None:
            self._change("unlink", path)
            self._edit(path.parent, Edit(path.name, None, node))

    def rmdir(self, path: Path) -> None:
        node = self._directory(path)
        if node.names:
            raise OSError(errno.ENOTEMPTY, os.strerror(errno.ENOTEMPTY), str(path))
        self._change("rmdir", path)
        self._edit(path.parent, Edit(path.name, None, node))

    def names(self, path: Path) -> list[str]:
        return sorted(self._directory(path).names)

    def directories(self, path: Path) -> list[str]:
        inside = self._directory(path).names.items()
        return sorted(name for name, node in inside if isinstance(node, DirectoryNode))

    def exists(self, path: Path) -> bool:
        return self._find(path) is not None

    def sync_directory(self, path: Path) -> None:
        self._change("sync_directory", path)
        directory = self._directory(path)
        covered = len(directory.pending)
        if self.observer is not None:
            self.observer(f"end of sync_directory {path}")
        for edit in directory.pending[:covered]:
            apply(directory.promised, edit)
        del directory.pending[:covered]
        if not directory.pending:
            self._unsettled.pop(directory, None)

    def sync_all(
        self,
        within: File,  # noqa: ARG002 - a real disk needs it
        files: Collection[File | Path],
        directories: Collection[Path],
    ) -> None:
        # Not all that is pending, as syncfs would: who relies on more than what is named here
        # would be wrong on systems that sync file by file.
        self.sync_each(files, directories)

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
        return bytes(node.data) if isinstance(node, FileNode) else None

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
            overlay(node.data, position, data)
            self._pend(file, Write(position, data))

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

    def _promise_one(self, node: FileNode, write: Write) -> None:
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
        overlay(data, write.position, write.data)
        node.promised = bytes(data)
        del node.pending[number], node.sizes[number]
        node.sizes = [max(size, len(data)) for size in node.sizes]

    def truncate(self, file: File, size: int) -> None:
        node = _node(file)
        if size == len(node.data):
            return
        self._change("truncate", file.path)
        if size < len(node.data):
            zeros = Write(size, bytes(len(node.data) - size), resize=True)
            del node.data[size:]
        else:
            zeros = Write(len(node.data), bytes(size - len(node.data)), resize=True)
            node.data += zeros.data
        self._pend(file, zeros)

    def _pend(self, file: File, write: Write) -> None:
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

    def _promise(self, node: FileNode, covered: int) -> None:
        """Promise the first ``covered`` pending writes, except those that were dropped."""
        if covered == len(node.pending) and not node.dropped:
            node.promised = bytes(node.data)
            node.pending, node.sizes = [], []
            self._unsettled.pop(node, None)
        elif covered > node.dropped:
            data = bytearray(node.promised)
            for write in node.pending[node.dropped : covered]:
                overlay(data, write.position, write.data)
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


def _node(file: File) -> FileNode:
    assert isinstance(file, _OpenFile)
    return file.node


def _missing(path: Path) -> FileNotFoundError:
    return FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))

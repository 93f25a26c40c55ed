"""What a disk has not promised, and what a crash may make of it.

A file and a directory are nodes that keep two states apart: what everybody sees, and what is
promised, with the changes between the two. At any moment these fall into *units*, each of which
survives a crash by itself: a sector of 512 bytes, the size of a file, a change of names. Giving
each unit a fate gives one of the disks that a crash may leave, as an *image*.

Knows no verbs: who changes what, and what a sync promises, is the business of ``disk``.
"""

from __future__ import annotations

import random
import weakref
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Final, NamedTuple, TypeAlias

from mq.log.files import File

__all__ = [
    "SECTOR_BYTES",
    "DirectoryNode",
    "Edit",
    "Fate",
    "FileNode",
    "Image",
    "Node",
    "Unit",
    "Unsettled",
    "Write",
    "apply",
    "overlay",
]

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


class Write(NamedTuple):
    """Bytes that were written; a ``resize`` made zeros of them without touching a sector."""

    position: int
    data: bytes
    resize: bool = False


class Edit(NamedTuple):
    """Names of a directory: ``gone`` stands for the node no longer, ``made`` does from now on."""

    gone: str | None
    made: str | None
    node: Node


@dataclass(slots=True, eq=False, weakref_slot=True)
class FileNode:
    data: bytearray = field(default_factory=bytearray)
    promised: bytes = b""
    pending: list[Write] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)  # one after each pending write
    dropped: int = 0  # pending writes that a failed sync has put beyond any promise
    modified_ms: int = 0  # outside of the model: no crash changes it
    holder: weakref.ref[File] | None = None


@dataclass(slots=True, eq=False)
class DirectoryNode:
    names: dict[str, Node] = field(default_factory=dict)
    promised: dict[str, Node] = field(default_factory=dict)
    pending: list[Edit] = field(default_factory=list)


Node: TypeAlias = FileNode | DirectoryNode


@dataclass(frozen=True, slots=True)
class Unit:
    """One pending thing; ``start`` to ``end`` are the bytes of a sector, if it is one."""

    node: Node
    name: str
    change: int = 0
    start: int = -1
    end: int = -1

    def __str__(self) -> str:
        return self.name

    @property
    def is_name(self) -> bool:
        """Whether it is about a name in a directory."""
        return isinstance(self.node, DirectoryNode)


class Unsettled:
    """What a disk has not promised at one moment, in units that each survive by themselves.

    Attributes:
        units: sectors, sizes and names; of a name only ``KEPT`` and ``OLD`` differ.
    """

    def __init__(self, root: DirectoryNode, nodes: dict[Node, Path]) -> None:
        self._root = root
        self.units: list[Unit] = []
        for node, path in nodes.items():
            if isinstance(node, DirectoryNode):
                self.units += _names_of(node, path)
            else:
                self.units += _sectors_of(node, path)

    def image(self, fates: Sequence[Fate]) -> Image:
        """The disk after a crash that gave each of ``units`` one of ``fates``."""
        decided: dict[Node, list[tuple[Unit, Fate]]] = {}
        for unit, fate in zip(self.units, fates, strict=True):
            decided.setdefault(unit.node, []).append((unit, fate))
        image: Image = {}
        self._leave(self._root, "", decided, image)
        return image

    def _leave(
        self,
        directory: DirectoryNode,
        path: str,
        decided: dict[Node, list[tuple[Unit, Fate]]],
        image: Image,
    ) -> None:
        names = directory.promised
        if directory in decided:
            names = dict(names)
            for unit, fate in decided[directory]:
                if fate is Fate.KEPT:
                    apply(names, directory.pending[unit.change])
        for name, node in names.items():
            inner = f"{path}/{name}"
            if isinstance(node, DirectoryNode):
                image[inner] = None
                self._leave(node, inner, decided, image)
            elif node in decided:
                image[inner] = _survivor(node, decided[node])
            else:
                image[inner] = node.promised


def _names_of(directory: DirectoryNode, path: Path) -> list[Unit]:
    return [
        Unit(directory, f"{path}: {edit.gone or 'nothing'} -> {edit.made or 'nothing'}", number)
        for number, edit in enumerate(directory.pending)
    ]


def _sectors_of(node: FileNode, path: Path) -> list[Unit]:
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


def _survivor(node: FileNode, decided: list[tuple[Unit, Fate]]) -> bytes:
    data = bytearray(node.promised)
    size = len(node.promised)
    for unit, fate in decided:
        if unit.start < 0:
            size = _size(node, fate)
            continue
        position, written, resize = node.pending[unit.change]
        if fate is Fate.KEPT:
            overlay(data, unit.start, written[unit.start - position : unit.end - position])
        elif fate is Fate.ZERO and not resize:
            overlay(data, unit.start, bytes(unit.end - unit.start))
        elif fate is Fate.GARBAGE and not resize:
            overlay(data, unit.start, _GARBAGE[: unit.end - unit.start])
    data.extend(bytes(max(0, size - len(data))))
    return bytes(data[:size])


def _size(node: FileNode, fate: Fate) -> int:
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


def apply(names: dict[str, Node], edit: Edit) -> None:
    if edit.gone is not None and names.get(edit.gone) is edit.node:
        del names[edit.gone]
    if edit.made is not None:
        names[edit.made] = edit.node


def overlay(data: bytearray, position: int, written: bytes) -> None:
    if position > len(data):
        data.extend(bytes(position - len(data)))
    data[position : position + len(written)] = written

"""Which of the journal's two files takes the next group.

One file is written, from its start to its end. When a group does not fit any more, the other file
takes over, with a generation one higher, provided that it is free: the one that is full has to be
checkpointed first, which means that all partitions with entries in it are synced. Where there is no
room, there is none: nobody waits here, the partitions are synced one by one.

Pure: the journal does what is decided here.
"""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["Place", "Rotation"]


class Place(NamedTuple):
    """Where a group goes.

    Attributes:
        file: 0 or 1.
        position: in the file.
        generation, sequence: what the group is numbered.
        oldest: the oldest generation that is still needed.
    """

    file: int
    position: int
    generation: int
    sequence: int
    oldest: int


class Rotation:
    """Two files of ``capacity`` bytes, both free; the first one to be written is file 0.

    Attributes:
        full: the generation in the file that waits to be checkpointed, if one does.
        active: which file is written; the full one is the other.
    """

    __slots__ = ("_capacity", "_generation", "_position", "_sequence", "active", "full")

    def __init__(self, capacity: int, generation: int) -> None:
        """Begin with ``generation``, higher than all that were ever used."""
        self._capacity = capacity
        self.active = 0
        self._generation = generation
        self._position = 0
        self._sequence = 0
        self.full: int | None = None

    def room(self) -> int:
        """The largest group that has a place now, in bytes."""
        if self.full is None:
            return self._capacity
        return self._capacity - self._position

    def place(self, size: int) -> Place | None:
        """Take the place for a group of ``size`` bytes, if there is room."""
        if size > self.room():
            return None
        if size > self._capacity - self._position:
            self.full = self._generation
            self.active = 1 - self.active
            self._generation += 1
            self._position = self._sequence = 0
        oldest = self._generation if self.full is None else self.full
        place = Place(self.active, self._position, self._generation, self._sequence, oldest)
        self._position += size
        self._sequence += 1
        return place

    def free(self, generation: int) -> None:
        """The full file of this generation has been checkpointed."""
        assert generation == self.full, (generation, self.full)
        self.full = None

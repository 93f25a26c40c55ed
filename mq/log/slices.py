"""Stretches of a log file that can go to a reader as they lie on the disk.

A slice names bytes instead of holding them: the server sends them from the page cache. It begins
with a whole batch and ends at, or inside, a later one; a client expects and drops a batch that is
cut off.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from typing import Final

import msgspec

from mq.log.files import File
from mq.log.index import OffsetIndex

__all__ = ["Slice", "Tail", "cut"]

# How many of the latest batches have their places in memory: more than one group commit brings.
TAIL_BATCHES: Final = 512


class Slice(msgspec.Struct, frozen=True, gc=False):
    """Bytes of a log file.

    ``file`` is the descriptor, valid as long as somebody refers to ``keep``. ``hot`` says that the
    bytes were written so lately that they are in the page cache.
    """

    file: int
    position: int
    size: int
    hot: bool
    keep: File

    def __len__(self) -> int:
        """Its bytes: in a message a slice stands for them (``mq.wire.schema.encode_parts``)."""
        return self.size


class Tail:
    """Where the latest batches of an active segment begin, so that readers at the end of a log,
    which are nearly all readers, find their place without looking into a file."""

    __slots__ = ("offsets", "positions")

    def __init__(self) -> None:
        self.offsets = array("q")
        self.positions = array("q")

    def add(self, base_offset: int, position: int) -> None:
        """A batch was written."""
        if len(self.offsets) >= TAIL_BATCHES:
            del self.offsets[: TAIL_BATCHES // 2], self.positions[: TAIL_BATCHES // 2]
        self.offsets.append(base_offset)
        self.positions.append(position)

    def find(self, offset: int) -> int:
        """Where the batch that holds ``offset`` begins, -1 if that is not known.

        The caller makes sure that ``offset`` is below the log end.
        """
        place = bisect_right(self.offsets, offset)
        return self.positions[place - 1] if place else -1

    def find_with_end(self, offset: int, log_size: int) -> tuple[int, int] | None:
        """Where the batch that holds ``offset`` begins and ends."""
        place = bisect_right(self.offsets, offset)
        if not place:
            return None
        end = self.positions[place] if place < len(self.positions) else log_size
        return self.positions[place - 1], end


def cut(
    file: File,
    start: int,
    first_end: int,
    stop: int,
    max_bytes: int,
    *,
    hot: bool,
    index: OffsetIndex,
) -> Slice | None:
    """The bytes from ``start``: the first batch whole and what else fits, up to ``stop``.

    A reader drops a batch that is cut off, so it is left out where ``index`` knows its beginning;
    of large batches that may be half of all that would be sent.
    """
    size = min(max(max_bytes, first_end - start), stop - start)
    if size <= 0:
        return None
    if size < stop - start:
        whole = index.batch_before(start + size) - start
        if whole >= max(first_end - start, size // 2):
            size = whole
    return Slice(file.fd, start, size, hot, file)

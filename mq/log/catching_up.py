"""Behind a log goes what the journal holds and a crash took from the segments.

Entries repeat what group commits made durable, from at or below the point up to which segments
were synced. So they may overlap the log, and each other, but they leave no gap. What lies below the
log's end is skipped, also what was deleted there. An entry that begins beyond the end shows that
synced data is missing before it: that is no work of a crash, so nothing is put there, and what the
journal holds beyond is kept beside the log for a human to look at.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mq.log import damage
from mq.log.backlog import Backlog
from mq.log.config import LogConfig
from mq.log.files import File, Files
from mq.log.recovery import Replay
from mq.log.segment import Segment, file_name
from mq.wire.batch import BatchHeader, batches

__all__ = ["CatchUp"]


@dataclass(slots=True)
class CatchUp:
    """One log that catches up; nothing is synced.

    Attributes:
        segments: of the log, the last one active; more are made as it is full.
        create: makes a segment at an offset.
        replay: where the log ends, and what it adds up to.
        written_bytes: how much was put behind the log.
        set_aside: the file with what found no place, synced but for its name; None in good order.
    """

    files: Files
    path: Path
    segments: list[Segment]
    create: Callable[[int], Segment]
    replay: Replay
    now_ms: int
    written_bytes: int = 0
    set_aside: Path | None = None
    _aside: File | None = None
    _aside_bytes: int = 0

    def run(self, backlog: Backlog) -> None:
        """Put the entries of ``backlog`` behind the log.

        Raises:
            OSError: the disk refuses.
        """
        for piece in backlog:
            if piece.end_offset > self.replay.end_offset:
                self._add(backlog.read(piece))
        if self._aside is not None:
            self.files.sync(self._aside)

    def _add(self, data: bytes) -> None:
        missing = [
            (position, header)
            for position, header in batches(data)
            if header.last_offset >= self.replay.end_offset
        ]
        start, first = missing[0]
        if self.set_aside is not None or first.base_offset != self.replay.end_offset:
            self._keep(data[start:], first.base_offset)
        else:
            self._write(data, missing)

    def _write(self, data: bytes, missing: list[tuple[int, BatchHeader]]) -> None:
        start, first = missing[0]
        last_offset = missing[-1][1].last_offset
        active, size = self.segments[-1], len(data) - start
        if active.is_full_for(size, last_offset, first.max_timestamp, LogConfig(), self.now_ms):
            active = self.create(first.base_offset)
            self.segments.append(active)
        self.files.pwrite(active.file, (memoryview(data)[start:],), active.size)
        for position, header in missing:
            batch = data[position : position + header.length] if header.is_control else None
            accepted = self.replay.accept(header, batch, gapless=True)
            assert accepted, header
            active.add(header.last_offset, header.max_timestamp, header.length, self.now_ms)
            if self.replay.aborted is not None:
                active.abort(self.replay.aborted)
        self.written_bytes += size

    def _keep(self, data: bytes, base_offset: int) -> None:
        if self._aside is None:
            self.set_aside = self.path / file_name(base_offset, damage.KIND)
            self._aside = self.files.write(self.set_aside, b"")
        self.files.pwrite(self._aside, (data,), self._aside_bytes)
        self._aside_bytes += len(data)

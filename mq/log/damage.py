"""What is cut off a log although it had been synced: looked at, and set aside.

A crash tears what was not synced yet, so that a cut is nothing to speak of. No crash takes what was
synced: there the disk has rotted, or somebody has changed a file. Batches behind the rot may be
whole, hence nothing of it is thrown away: it is kept in a file ``<base offset>.log.damaged`` beside
the log, and stays until a human removes it.

Knows nothing of recovery points: who calls decides what had been synced.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Final

from mq.log.files import Buffer, File, Files
from mq.log.scan import SCAN_BYTES, Span, scan
from mq.log.segment import Segment
from mq.wire.batch import MAGIC

__all__ = ["KIND", "holds_batch", "set_aside", "set_aside_whole"]

KIND: Final = "log.damaged"

# Where in a batch its leader epoch (4 bytes) lies, which the magic byte follows.
_EPOCH_AT: Final = 12


def holds_batch(files: Files, file: File, span: Span, epochs: Iterable[int]) -> bool:
    """Whether there is a whole batch of one of these leader epochs anywhere in ``span``.

    The lengths in what is damaged lead nowhere, so that a batch is looked for at every byte.
    """
    signs = [epoch.to_bytes(4, "big", signed=True) + bytes((MAGIC,)) for epoch in epochs]
    overlap = _EPOCH_AT + 4
    start = span.position
    while start + overlap < span.end:
        data = files.pread(file, min(SCAN_BYTES + overlap, span.end - start), start)
        for sign in signs:
            at = data.find(sign, _EPOCH_AT)
            while at >= 0:
                here = span._replace(position=start + at - _EPOCH_AT)
                if any(True for _ in scan(files, file, here, verify=True)):
                    return True
                at = data.find(sign, at + 1)
        start += SCAN_BYTES
    return False


def set_aside(files: Files, segment: Segment, end: int) -> Path:
    """Copy what the log file holds behind the segment's batches, up to ``end``; durable."""
    path = segment.path(KIND)
    copy = files.write(path, b"")
    for start in range(segment.size, end, SCAN_BYTES):
        data: Buffer = files.pread(segment.file, min(SCAN_BYTES, end - start), start)
        files.pwrite(copy, (data,), start - segment.size)
    files.sync(copy)
    files.sync_directory(path.parent)
    return path


def set_aside_whole(files: Files, segment: Segment) -> Path:
    """Keep the log file of a segment that is about to be deleted; the caller syncs the name."""
    path = segment.path(KIND)
    files.rename(segment.path("log"), path)
    return path

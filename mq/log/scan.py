"""Walking through a log file from batch to batch.

Batches lie end to end, each with its length in its header, so that one leads to the next until
something is no batch. That is how a start finds the end of a log, and how an index is built anew.

Knows nothing of segments beyond the offset that their log file is named after.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from mq.errors import KafkaError
from mq.log.files import File, Files
from mq.log.index import RELATIVE_OFFSET_MAX
from mq.wire.batch import HEADER_BYTES, MAGIC, BatchHeader, check, read_header

__all__ = ["SCAN_BYTES", "Span", "scan"]

SCAN_BYTES: Final = 1024 * 1024
"""How much is read at once by who passes a whole file."""


class Span(NamedTuple):
    """What to scan of a log file that begins at ``base_offset``: bytes ``position`` to ``end``."""

    base_offset: int
    position: int
    end: int


def scan(
    files: Files,
    file: File,
    span: Span,
    *,
    verify: bool,
    trusted: int = 0,
    chunk: int = SCAN_BYTES,
) -> Iterator[tuple[int, BatchHeader]]:
    """Place and header of each whole batch in a stretch of a log file.

    Ends early at what cannot be the next batch; with ``verify`` also at a wrong checksum, but for
    batches that lie below the offset ``trusted``.
    """
    lowest, position, end = span
    start, data = position, b""
    while position + HEADER_BYTES <= end:
        if position + HEADER_BYTES > start + len(data):
            start, data = position, files.pread(file, min(chunk, end - position), position)
        header = read_header(data, position - start)
        if not (
            HEADER_BYTES <= header.length <= end - position
            and header.magic == MAGIC
            and lowest <= header.base_offset <= header.last_offset
            and header.last_offset - span.base_offset <= RELATIVE_OFFSET_MAX
        ):
            return
        if verify and header.last_offset >= trusted:
            if position + header.length > start + len(data):
                length = min(max(chunk, header.length), end - position)
                start, data = position, files.pread(file, length, position)
            if not _is_intact(data, position - start):
                return
        yield position, header
        lowest = header.last_offset + 1
        position += header.length


def _is_intact(data: bytes, position: int) -> bool:
    """Whether the batch at ``position`` is the one that was written there."""
    try:
        check(data, position)
    except KafkaError:
        return False
    return True

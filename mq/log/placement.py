"""Giving batches their place: offsets, epoch and, where the topic says so, the broker's time.

The records stay untouched, and those of large batches are not even copied: only the header is made
anew in front of them. With LogAppendTime the checksum changes too, which takes the whole batch.
Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

from mq.wire.batch import HEADER_BYTES, NO_TIMESTAMP, BatchHeader, stamp, stamp_append_time

if TYPE_CHECKING:
    from mq.log.files import Buffer

__all__ = ["Appended", "Placed", "place"]

# Up to here one more copy costs less than handing the kernel two pieces.
COPIED_BYTES_MAX: Final = 8 * 1024


class Placed(NamedTuple):
    """Batches ready to be written, in pieces; the offset after them; their latest timestamp."""

    buffers: list[Buffer]
    end_offset: int
    latest: int


class Appended(NamedTuple):
    """Where a batch lies. Of a ``duplicate`` this is where its first copy lies.

    ``log_append_time`` is -1 unless the topic's timestamps are the broker's.
    """

    base_offset: int
    last_offset: int
    log_append_time: int
    log_start_offset: int
    duplicate: bool


def place(
    batches: Buffer,
    headers: Sequence[BatchHeader],
    base_offset: int,
    leader_epoch: int,
    append_time: int = NO_TIMESTAMP,
) -> Placed:
    """Put batches at ``base_offset``; an ``append_time`` (ms) becomes the time of all records."""
    buffers: list[Buffer] = []
    position, offset, latest = 0, base_offset, append_time
    for header in headers:
        end = position + header.length
        if append_time != NO_TIMESTAMP:
            head = bytearray(batches[position:end])
            stamp_append_time(head, 0, append_time)
            buffers.append(head)
        else:
            if header.max_timestamp > latest:
                latest = header.max_timestamp
            if header.length <= COPIED_BYTES_MAX:
                head = bytearray(batches[position:end])
                buffers.append(head)
            else:
                head = bytearray(batches[position : position + HEADER_BYTES])
                buffers += (head, memoryview(batches)[position + HEADER_BYTES : end])
        stamp(head, 0, offset, leader_epoch)
        offset += header.last_offset_delta + 1
        position = end
    return Placed(buffers, offset, latest)

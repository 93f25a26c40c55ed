"""Finding records by their time, across the segments of a partition.

A batch that is not compressed is opened to find the very record. A compressed one is not: the
broker decompresses nothing that a client could have made to burst. Its first offset stands for the
record that is looked for (a reader that begins there misses nothing), its last one for the latest.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from mq.log.segment import Segment
from mq.wire.batch import BatchHeader, Codec, decode_batch

__all__ = ["Timestamped", "find_latest", "find_timestamp"]


class Timestamped(NamedTuple):
    """A record found by its time (ms)."""

    offset: int
    timestamp: int
    leader_epoch: int


def find_timestamp(segments: Sequence[Segment], timestamp: int, start: int) -> Timestamped | None:
    """The first record of ``timestamp`` or later, from the offset ``start`` on.

    Raises:
        KafkaError: CORRUPT_MESSAGE, the log is damaged.
    """
    for segment in segments:
        if segment.latest[0] < timestamp:
            continue
        for position, header in segment.find_time(timestamp):
            found = _record_in(segment, position, header, timestamp, start)
            if found is not None:
                return found
    return None


def find_latest(segments: Sequence[Segment], start: int) -> Timestamped | None:
    """The first record with the highest timestamp; None if no record has a timestamp.

    Raises:
        KafkaError: CORRUPT_MESSAGE, the log is damaged.
    """
    segment = max(segments, key=lambda each: each.latest[0])
    timestamp, last_offset = segment.latest
    found = segment.find(last_offset) if timestamp >= 0 else None
    if found is None:
        return None
    position, header = found
    if header.codec != Codec.NONE:
        return Timestamped(last_offset, timestamp, header.leader_epoch)
    return _record_in(segment, position, header, timestamp, start)


def _record_in(
    segment: Segment, position: int, header: BatchHeader, timestamp: int, start: int
) -> Timestamped | None:
    """The first record of ``timestamp`` or later in a batch that has one."""
    if header.last_offset < start:
        return None
    if header.codec != Codec.NONE:
        exact = header.base_timestamp >= timestamp and not header.has_append_time
        found = header.base_timestamp if exact else header.max_timestamp
        return Timestamped(max(header.base_offset, start), found, header.leader_epoch)
    for record in decode_batch(segment.read(position, header.length)):
        if record.timestamp >= timestamp and record.offset >= start:
            return Timestamped(record.offset, record.timestamp, header.leader_epoch)
    return None

"""Finding records by their time, across the segments of a partition.

A batch has to be opened to find the very record in it. A compressed one takes a while to open, so
it is handed out unopened, to be opened elsewhere than on the owner's thread; and it may have been
made to burst, so it is opened up to a bound only. Beyond that its first offset stands for the
record that is looked for: a reader that begins there misses nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple, TypeAlias

from mq.errors import ErrorCode, KafkaError
from mq.log.segment import Segment
from mq.wire.batch import BatchHeader, Codec, decode_batch, read_header

__all__ = ["Found", "Timestamped", "Unopened", "find_latest", "find_timestamp"]

OPENED_BYTES_MAX: Final = 16 * 1024 * 1024
"""So much of a batch is decompressed to answer the question of a client, which costs it nothing."""


class Timestamped(NamedTuple):
    """A record found by its time (ms)."""

    offset: int
    timestamp: int
    leader_epoch: int


class Unopened(NamedTuple):
    """The compressed batch that may hold the record.

    Attributes:
        timestamp: the record's, at least.
        start: no record below this offset counts.
    """

    batch: bytes
    timestamp: int
    start: int

    @property
    def end_offset(self) -> int:
        """Where to look on if the record is not in the batch."""
        return read_header(self.batch).last_offset + 1

    def open(self) -> Timestamped | None:
        """The record, if it is in the batch. Any thread may call this.

        Raises:
            KafkaError: CORRUPT_MESSAGE or another reason why the batch cannot be opened.
        """
        try:
            return _record_in(self.batch, self.timestamp, self.start)
        except KafkaError as error:
            if error.code != ErrorCode.MESSAGE_TOO_LARGE:
                raise
        header = read_header(self.batch)
        first = max(header.base_offset, self.start)
        return Timestamped(first, header.max_timestamp, header.leader_epoch)


Found: TypeAlias = Timestamped | Unopened | None
"""What a search has come to."""


def find_timestamp(segments: Sequence[Segment], timestamp: int, start: int) -> Found:
    """The first record of ``timestamp`` or later, from the offset ``start`` on.

    Raises:
        KafkaError: CORRUPT_MESSAGE, the log is damaged.
    """
    for segment in segments:
        if segment.latest[0] < timestamp:
            continue
        for position, header in segment.find_time(timestamp):
            if header.last_offset >= start:
                found = _look_into(segment, position, header, timestamp, start)
                if found is not None:
                    return found
    return None


def find_latest(segments: Sequence[Segment], start: int) -> Found:
    """The first record with the highest timestamp; None if no record has a timestamp.

    Raises:
        KafkaError: CORRUPT_MESSAGE, the log is damaged.
    """
    segment = max(segments, key=lambda each: each.latest[0])
    timestamp, last_offset = segment.latest
    found = segment.find(last_offset) if timestamp >= 0 else None
    if found is None or found[1].last_offset < start:
        return None
    return _look_into(segment, *found, timestamp, start)


def _look_into(
    segment: Segment, position: int, header: BatchHeader, timestamp: int, start: int
) -> Found:
    batch = segment.read(position, header.length)
    if header.codec == Codec.NONE:
        return _record_in(batch, timestamp, start)
    return Unopened(batch, timestamp, start)


def _record_in(batch: bytes, timestamp: int, start: int) -> Timestamped | None:
    """The first record of ``timestamp`` or later in a batch."""
    for record in decode_batch(batch, bytes_max=OPENED_BYTES_MAX):
        if record.timestamp >= timestamp and record.offset >= start:
            return Timestamped(record.offset, record.timestamp, read_header(batch).leader_epoch)
    return None

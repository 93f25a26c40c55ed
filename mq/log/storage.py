"""What the partitions of a data directory share, and what one is made of when it is loaded.

Knows nothing of what partitions do with it.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from mq.errors import ErrorCode, KafkaError
from mq.log.bookmarks import Bookmarks
from mq.log.epochs import LeaderEpochs
from mq.log.files import Files, OpenFiles
from mq.log.producers import Producers
from mq.log.recovery import Recovered
from mq.log.segment import Segment
from mq.log.unsynced import Crowd, Unsynced

__all__ = ["Loaded", "Storage", "storage_error", "storage_errors"]


@dataclass(slots=True)
class Storage:
    """What all partitions of a data directory share.

    Attributes:
        files: the disk.
        open_files: what is open of sealed segments.
        durable: whether the high watermark waits for syncs.
        save_log_starts: makes the log start offsets of all partitions durable.
        crowd: the partitions that have unsynced files.
    """

    files: Files
    open_files: OpenFiles
    durable: bool
    save_log_starts: Callable[[], None]
    crowd: Crowd = field(init=False)

    def __post_init__(self) -> None:
        self.crowd = Crowd(self.files, self.open_files.limit)


@dataclass(slots=True)
class Loaded:
    """A partition's state as found on disk; the last segment is active."""

    segments: list[Segment]
    producers: Producers
    epochs: LeaderEpochs
    log_start_offset: int
    log_end_offset: int
    topic_id: uuid.UUID
    recovered: Recovered
    unsynced: Unsynced
    bookmarks: Bookmarks


def storage_error(doing: str, error: OSError) -> KafkaError:
    """What a client hears of an error of the disk: KAFKA_STORAGE_ERROR, and doing what."""
    return KafkaError(ErrorCode.KAFKA_STORAGE_ERROR, f"cannot {doing}: {error.strerror or error}")


@contextmanager
def storage_errors(doing: str) -> Iterator[None]:
    """Turn errors of the disk into what a client hears of them."""
    try:
        yield
    except OSError as error:
        raise storage_error(doing, error) from error

"""What is done to the sealed segments of a partition while others read and write it.

Old segments are deleted, dirty ones are replaced by compacted ones. Both change the list of
segments, which only the owner's thread may do, and both wait for the disk, which that thread must
not do. So each is a sequence of steps: what follows runs on a thread of its own, and passes to
``on_owner`` the steps that belong to the owner, none of which is longer than a few renames.

The order of the steps is what makes a crash harmless at any moment. It rests on renames being
indivisible, and on nothing else being durable before a sync.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final, Protocol, TypeVar

from mq.errors import KafkaError
from mq.log.compaction import Job, Swap
from mq.log.partition import Partition
from mq.log.retention import count_expired
from mq.log.storage import storage_errors
from mq.log.uncleaned import Uncleaned, assess

__all__ = [
    "OnOwner",
    "compaction_job",
    "delete_old",
    "expired_segments",
    "here",
    "roll_old",
    "swap",
    "uncleaned",
]

T = TypeVar("T")

# So many segments get other names in one step of the owner, which takes a millisecond or two.
_AT_ONCE: Final = 16


class OnOwner(Protocol):
    """Runs a step on the owner's thread and gives back what it returns or raises."""

    def __call__(self, step: Callable[[], T], /) -> T: ...


def here(step: Callable[[], T], /) -> T:
    """For who is on the owner's thread already."""
    return step()


# --- deletion ------------------------------------------------------------------------------------


def expired_segments(partition: Partition, now_ms: int) -> int:
    """How many of the oldest segments retention no longer wants; on the owner's thread.

    Raises:
        KafkaError: KAFKA_STORAGE_ERROR.
    """
    with storage_errors(f"read {partition.topic_partition}"):
        return count_expired(
            partition.segments.extents(partition.log_end_offset),
            partition.config,
            log_start_offset=partition.log_start_offset,
            high_watermark=partition.high_watermark,
            now_ms=now_ms,
        )


def delete_old(partition: Partition, now_ms: int, on_owner: OnOwner = here) -> int:
    """Delete segments that retention no longer wants; how many.

    The log start goes first: should a crash undo some deletions and not others, what is left under
    it is known to be old. If the disk is too full to write that, the segments go one at a time,
    each durably before the next one, so that no crash leaves a hole.

    Raises:
        KafkaError: KAFKA_STORAGE_ERROR.
    """
    begin = on_owner(lambda: _expire(partition, now_ms))
    deleted, is_saved = 0, False
    with storage_errors(f"delete segments of {partition.topic_partition}"):
        while on_owner(lambda: _count_below(partition, begin)):
            is_saved = is_saved or _saved_log_start(partition, on_owner)
            at_most = _AT_ONCE if is_saved else 1
            count, retired = on_owner(lambda: _retire(partition, begin, at_most))  # noqa: B023 - runs at once
            _remove(partition, retired)
            deleted += count
    return deleted


def _expire(partition: Partition, now_ms: int) -> int:
    """Raise the log start over what is to go; where what stays begins."""
    if partition.deleted:
        return 0
    count = expired_segments(partition, now_ms)
    if count == len(partition.segments):
        try:
            partition.roll()
        except KafkaError:  # a full disk? then what is sealed has to do
            count -= 1
            if not count:
                raise
    begin = partition.segments.base_offset(count)
    if count:
        partition.begin_at(max(partition.log_start_offset, begin))
    return begin


def _count_below(partition: Partition, begin: int) -> int:
    return 0 if partition.deleted else partition.segments.count_below(begin)


def _saved_log_start(partition: Partition, on_owner: OnOwner) -> bool:
    """Make the log start durable; False if the disk is too full for that.

    What is above the recovery point that is written down must not go without: a start would take
    the log for one that has lost its beginning.
    """
    try:
        partition.checkpoint()
    except OSError as error:
        is_full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        following = on_owner(lambda: partition.segments.base_offset(1))
        if not is_full or following > partition.checkpointed_offset:
            raise
        return False
    return True


def _retire(partition: Partition, begin: int, at_most: int) -> tuple[int, list[Path]]:
    """Give up some of what lies below ``begin``; how many segments, and their files.

    Told by offsets: compaction may have merged the segments since they were counted.
    """
    count = min(at_most, _count_below(partition, begin))
    return count, partition.segments.retire_oldest(count)


def _remove(partition: Partition, retired: Iterable[Path]) -> None:
    """Make it durable that files have other names, and unlink them, which may take a while."""
    _sync_names(partition)
    for path in retired:
        partition.files.unlink(path)


def _sync_names(partition: Partition) -> None:
    try:
        partition.files.sync_directory(partition.path)
    except FileNotFoundError:  # the whole partition was deleted under our hands
        if not partition.deleted:
            raise


# --- compaction ----------------------------------------------------------------------------------


def uncleaned(partition: Partition, now_ms: int) -> Uncleaned:
    """What compaction could clean now; on the owner's thread.

    Raises:
        KafkaError: KAFKA_STORAGE_ERROR.
    """
    with storage_errors(f"read {partition.topic_partition}"):
        return assess(
            partition.segments.sealed(),
            partition.config,
            checkpoint=partition.cleaned_offset,
            log_start_offset=partition.log_start_offset,
            log_end_offset=partition.log_end_offset,
            settled=partition.last_stable_offset,
            now_ms=now_ms,
        )


def compaction_job(partition: Partition, found: Uncleaned, now_ms: int) -> Job:
    """One pass over what was found uncleaned; on the owner's thread.

    Raises:
        KafkaError: CORRUPT_MESSAGE or KAFKA_STORAGE_ERROR, the log cannot be read.
    """
    segments, config = partition.segments, partition.config
    with storage_errors(f"read {partition.topic_partition}"):
        aborted = segments.collect_aborted(0, found.end)
    return Job(
        directory=str(partition.path),
        segments=[(each.base_offset, each.size) for each in segments.sealed()[: found.segments]],
        end=found.end,
        dirty_from=found.start,
        aborted=[(*each,) for each in aborted],
        producers={
            each: (state.epoch, state.batches[-1].last_offset if state.batches else -1)
            for each, state in partition.producers
        },
        now_ms=now_ms,
        delete_retention_ms=config.delete_retention_ms,
        segment_bytes=config.segment_bytes,
        index_bytes=config.segment_index_bytes,
        index_interval_bytes=config.index_interval_bytes,
    )


def roll_old(partition: Partition, now_ms: int) -> bool:
    """Seal an active segment that is old enough, so that it can be cleaned; whether it was.

    On the owner's thread.

    Raises:
        KafkaError: KAFKA_STORAGE_ERROR.
    """
    is_old = partition.segments.active.is_old(now_ms, partition.config)
    if is_old:
        partition.roll()
    return is_old


def swap(partition: Partition, made: Swap, on_owner: OnOwner = here) -> bool:
    """Put a compacted segment, whose files end in ``.swap``, in the place of what it is made of.

    At first it is read under that name, while the old names go; it gets theirs when that is
    durable. A crash before finds a ``.swap``, which replaces whatever it was made of and is left of
    that; a crash after finds no trace of the old.

    Returns:
        False if the log has changed meanwhile and nothing was done.

    Raises:
        OSError: it was done in part, and a restart will do the rest; until then nothing more may be
            done to the partition's segments.
    """
    retired = on_owner(lambda: _replace(partition, made))
    if retired is None:
        return False
    _sync_names(partition)
    on_owner(lambda: _settle(partition))
    _remove(partition, retired)
    return True


def _replace(partition: Partition, made: Swap) -> list[Path] | None:
    return None if partition.deleted else partition.segments.replace(made.bases, made.size)


def _settle(partition: Partition) -> None:
    if not partition.deleted:
        partition.segments.settle()

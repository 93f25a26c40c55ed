"""State read back at a start: what a machine has to hear of one partition of its topic.

A state topic is compacted, so a machine must come to the same state from the last value of every
key as from all of them. That is what it gets here, whether or not the topic has been compacted
lately: a group that committed a million times costs one decoding. What belongs to transactions has
an order that counts, and is passed on batch by batch.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from mq.errors import MqError
from mq.log.partition import Partition
from mq.wire.batch import BatchHeader, read_header
from mq.wire.last_values import LastValues

__all__ = ["Damaged", "replay"]

_READ_BYTES: Final = 1024 * 1024

_KEYS_MAX: Final = 100_000
"""So many keys are held at a time; a topic of more of them is folded in stretches."""


class Damaged(Exception):
    """The log cannot be understood; nothing is known of what follows ``offset``."""

    def __init__(self, offset: int) -> None:
        super().__init__(f"damaged at offset {offset}")
        self.offset = offset


def replay(
    partition: Partition,
    apply: Callable[[bytes, bytes | None], None],
    apply_batch: Callable[[BatchHeader, bytes], None],
) -> None:
    """Tell all that ``partition`` holds.

    Args:
        apply: hears keys and their last values.
        apply_batch: hears batches of transactions, control batches and compressed ones, whole.

    Raises:
        Damaged: the log cannot be read, or it is refused with an MqError.
    """
    last = LastValues()
    offset = partition.log_start_offset
    while offset < partition.log_end_offset:
        following = offset
        try:
            data = partition.read_batches(offset, _READ_BYTES)
            position = 0
            while position < len(data):
                position = last.take(data, position)
                following = max(following, last.end_offset)
                if position < len(data):
                    _tell(last, apply)
                    header = read_header(data, position)
                    following = header.base_offset
                    apply_batch(header, data[position : position + header.length])
                    following = header.last_offset + 1
                    position += header.length
        except MqError as error:
            raise Damaged(following) from error
        if following == offset:
            raise Damaged(offset)
        offset = following
        if len(last) > _KEYS_MAX:
            _tell(last, apply)
    _tell(last, apply)


def _tell(last: LastValues, apply: Callable[[bytes, bytes | None], None]) -> None:
    for key, (value, offset) in last.items():
        try:
            apply(key, value)
        except MqError as error:
            raise Damaged(offset) from error
    last.clear()

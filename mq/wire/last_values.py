"""The last value of every key in a run of record batches, found without making records.

A log that is compacted may hold any older values besides; who rebuilds state from it needs the last
ones only. Of the others nothing is decoded but lengths, which makes reading a long log an order of
magnitude cheaper than opening its batches one by one.

Knows nothing of what keys and values say. Batches that say more than their records do (of a
transaction, control batches) and compressed ones are left to the caller.
"""

from __future__ import annotations

from struct import Struct
from typing import Final

from mq.errors import ErrorCode, KafkaError
from mq.wire.batch import CODEC_MASK, CONTROL, HEADER_BYTES, TRANSACTIONAL
from mq.wire.varint import read_signed_varint

__all__ = ["LastValues"]

# base offset, length, attributes, last offset delta, count
_HEADER: Final = Struct(">qi9xhi30xi")
_UNCOUNTED: Final = 12
_NOT_PLAIN: Final = CODEC_MASK | TRANSACTIONAL | CONTROL


class LastValues(dict[bytes, tuple[bytes | None, int]]):
    """By key, in the order of their places: the last value, and the base offset of its batch.

    Attributes:
        end_offset: the offset after the last batch that was taken.
    """

    __slots__ = ("end_offset",)

    def __init__(self) -> None:
        super().__init__()
        self.end_offset = 0

    def take(self, data: bytes, position: int) -> int:
        """Take the whole batches from ``position`` on, up to one that is not plain; its place.

        Raises:
            KafkaError: a batch is not what its header says (``INVALID_RECORD``).
        """
        end = len(data)
        while position < end:
            base_offset, length, attributes, delta, count = _HEADER.unpack_from(data, position)
            if attributes & _NOT_PLAIN:
                break
            stop = position + length + _UNCOUNTED
            try:
                self._take_records(data, position + HEADER_BYTES, stop, count, base_offset)
            except (IndexError, ValueError) as error:
                text = f"a batch cannot be read: {error}"
                raise KafkaError(ErrorCode.INVALID_RECORD, text) from error
            self.end_offset = base_offset + delta + 1
            position = stop
        return position

    def _take_records(
        self, data: bytes, position: int, stop: int, count: int, base_offset: int
    ) -> None:
        """Lengths below 64 are one byte without its highest bit (more follows) and its lowest
        (negative), and read in place: a call costs as much as all the rest."""
        for _ in range(count):
            if (twice := data[position]) & 0x81:
                length, position = read_signed_varint(data, position)
            else:
                length, position = twice >> 1, position + 1
            end = position + length
            position += 1  # past the attributes
            while data[position] & 0x80:  # the time
                position += 1
            position += 1
            while data[position] & 0x80:  # the offset
                position += 1
            position += 1
            if (twice := data[position]) & 0x81:
                length, position = read_signed_varint(data, position)
            else:
                length, position = twice >> 1, position + 1
            key = b""
            if length > 0:
                key = data[position : position + length]
                position += length
            if (twice := data[position]) & 0x81:
                length, position = read_signed_varint(data, position)
            else:
                length, position = twice >> 1, position + 1
            value = None
            if length >= 0:
                value = data[position : position + length]
                position += length
            if not position < end <= stop:  # the number of headers follows
                raise ValueError("a record does not end where it says")
            if key in self:
                del self[key]  # so that it comes last
            self[key] = value, base_offset
            position = end
        if position != stop:
            raise ValueError(f"{stop - position} bytes follow its last record")

"""What stands in the journal: groups of entries, as bytes.

A group is what one synced write makes durable: a head, then one entry for each partition that the
group commit is about. An entry names topic, topic id and partition, and holds batches exactly as
they stand in the segment. A group begins at a multiple of ``BLOCK_BYTES``, and what is left of its
last block is nobody's: so no write ever touches a block that holds something acknowledged.

The head, all numbers big-endian::

    magic 4s | crc u32 | length u32 | count u32
    generation i64 | oldest i64 | sequence i64 | salt 8s

The CRC-32C covers everything after itself; ``length`` counts head and entries. ``generation``
numbers the uses of the journal's files and only ever rises; ``sequence`` numbers the groups of one
generation from 0; ``oldest`` is the oldest generation that was still needed. What an earlier use
left in a file is told apart by generation and ``salt``, random bytes of each generation: no client
can write records that pass for a group of a generation to come.

An entry::

    topic id 16s | partition i32 | first offset i64 | end offset i64 | name u16 | size u32

followed by the name of the topic (UTF-8) and ``size`` bytes of batches.

Another format gets another magic, and is read as well as this one. Pure: bytes and values.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple
from uuid import UUID

import google_crc32c

from mq.record import TopicPartition

if TYPE_CHECKING:
    from mq.log.files import Buffer

__all__ = [
    "BLOCK_BYTES",
    "GROUP_BYTES_MAX",
    "HEAD_BYTES",
    "SALT_BYTES",
    "Entry",
    "EntryHead",
    "GroupHead",
    "decode_entries",
    "decode_head",
    "encode_entries",
    "encode_head",
    "entry_bytes",
    "is_whole",
    "padded",
]

# A page of memory, a block of the file system and, at most, a sector of the disk.
BLOCK_BYTES: Final = 4096

# What a reader has to keep in memory at once.
GROUP_BYTES_MAX: Final = 4 * 1024 * 1024

_MAGIC: Final = b"mqj1"
_HEAD: Final = struct.Struct(">4sIIIqqq8s")
_UNSUMMED: Final = 8  # magic and the checksum itself
_ENTRY: Final = struct.Struct(">16siqqHI")

HEAD_BYTES: Final = _HEAD.size
SALT_BYTES: Final = 8


class Entry(NamedTuple):
    """Batches of one partition, from ``first_offset`` up to but not including ``end_offset``."""

    topic_id: UUID
    name: TopicPartition
    first_offset: int
    end_offset: int
    batches: Sequence[Buffer]


class EntryHead(NamedTuple):
    """An entry without its batches: they are the ``size`` bytes at ``position`` of the group."""

    topic_id: UUID
    name: TopicPartition
    first_offset: int
    end_offset: int
    position: int
    size: int


class GroupHead(NamedTuple):
    """The head of a group; see the module. ``length`` includes the head, but no padding."""

    generation: int
    oldest: int
    sequence: int
    salt: bytes
    length: int = 0
    count: int = 0  # type: ignore[assignment]  # hides tuple's method of this name
    crc: int = 0

    def is_before(self, other: GroupHead) -> bool:
        """Whether both are of the same use of a file, and this one was written earlier."""
        same = (self.generation, self.salt) == (other.generation, other.salt)
        return same and self.sequence < other.sequence


def entry_bytes(topic: str, size: int) -> int:
    """The most that an entry for ``size`` bytes of batches takes."""
    return _ENTRY.size + 4 * len(topic) + size


def padded(length: int) -> int:
    """How many bytes a group of this length takes: whole blocks."""
    return -(-length // BLOCK_BYTES) * BLOCK_BYTES


def encode_entries(entries: Iterable[Entry]) -> bytes:
    """The entries of a group, end to end."""
    parts: list[Buffer] = []
    for topic_id, (topic, partition), first, end, batches in entries:
        name = topic.encode()
        size = sum(map(len, batches))
        parts.append(_ENTRY.pack(topic_id.bytes, partition, first, end, len(name), size))
        parts.append(name)
        parts += batches
    return b"".join(parts)


def encode_head(head: GroupHead, count: int, entries: bytes) -> bytes:
    """The head of a group of these encoded entries; the head's own length and sum are ignored."""
    length = HEAD_BYTES + len(entries)
    fields = (length, count, head.generation, head.oldest, head.sequence, head.salt)
    summed = _HEAD.pack(_MAGIC, 0, *fields)[_UNSUMMED:]
    crc = google_crc32c.extend(google_crc32c.value(summed), entries)
    return _HEAD.pack(_MAGIC, crc, *fields)


def decode_head(data: bytes) -> GroupHead | None:
    """The head at the start of ``data``, if there is one; its sum is not checked."""
    if len(data) < HEAD_BYTES:
        return None
    magic, crc, length, count, generation, oldest, sequence, salt = _HEAD.unpack_from(data)
    if magic != _MAGIC or not HEAD_BYTES <= length <= GROUP_BYTES_MAX:
        return None
    return GroupHead(generation, oldest, sequence, salt, length, count, crc)


def is_whole(head: GroupHead, data: bytes) -> bool:
    """Whether ``data`` begins with the whole group of this head."""
    if len(data) < head.length:
        return False
    return bool(google_crc32c.value(data[_UNSUMMED : head.length]) == head.crc)


def decode_entries(head: GroupHead, data: bytes) -> Iterator[EntryHead]:
    """The entries of a whole group; positions count from the start of ``data``."""
    position = HEAD_BYTES
    for _ in range(head.count):
        topic_id, partition, first, end, name_length, size = _ENTRY.unpack_from(data, position)
        position += _ENTRY.size
        topic = data[position : position + name_length].decode()
        position += name_length
        yield EntryHead(
            UUID(bytes=topic_id), TopicPartition(topic, partition), first, end, position, size
        )
        position += size
    assert position == head.length

"""One flipped bit anywhere on the disk is found, or it is harmless.

A data directory that holds something of everything is given, as an image of a :class:`Disk`, with
the promises about it. For a bit that is flipped in one of its files a start has to end in one of
two ways. *Found*: the start refuses, with a sentence; a partition is known to have lost something
that was synced; or a reader is told that the log is damaged. *Harmless*: every acknowledged record
is there, byte for byte and in its place, and the rest of what was promised is kept.

A bit in the records of a segment that a start does not scan is for the consumer to find, by the
checksum of the batch. So the judge reads as a consumer does, and looks at checksums.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum
from typing import NamedTuple

from mq.errors import ConfigurationError, KafkaError
from mq.testing.disk import Disk
from mq.testing.owner import Owner
from mq.testing.pending import Image
from mq.testing.promises import BrokenPromise, Promises
from mq.wire.batch import batches, check

__all__ = ["Flip", "Outcome", "flip", "flips", "judge", "without"]


class Flip(NamedTuple):
    """A bit of a file."""

    path: str
    byte: int
    bit: int


class Outcome(Enum):
    """What became of it; only the last one is a defect."""

    FOUND = "found"
    HARMLESS = "harmless"
    UNSEEN = "unseen"


def flips(image: Image) -> Iterator[Flip]:
    """A bit of every byte of every file, another one from byte to byte."""
    for path, data in sorted(image.items()):
        for byte in range(len(data or b"")):
            yield Flip(path, byte, (byte * 5 + 3) % 8)


def flip(image: Image, where: Flip) -> Image:
    """The image with that bit flipped."""
    data = bytearray(image[where.path] or b"")
    data[where.byte] ^= 1 << where.bit
    return {**image, where.path: bytes(data)}


def without(image: Image, *paths: str) -> Image:
    """The image without these files."""
    return {path: data for path, data in image.items() if path not in paths}


def judge(image: Image, promises: Promises) -> tuple[Outcome, str]:
    """Start on an image; what became of its damage, and how that showed."""
    try:
        owner = Owner(Disk(image), promises)
    except (ConfigurationError, KafkaError) as error:
        return Outcome.FOUND, f"refused: {error}"
    try:
        if owner.directory.damaged or any(p.recovered.set_aside for p in owner.logs):
            return Outcome.FOUND, f"damaged: {owner.directory.damaged}"
        if strange := [p for p in owner.logs if p.topic_id not in owner.catalog.by_id]:
            return Outcome.FOUND, f"kept, and said to belong to no topic: {strange}"
        if told := _told_to_readers(owner):
            return Outcome.FOUND, told
        owner.check()
    except BrokenPromise as error:
        return Outcome.UNSEEN, str(error)
    finally:
        owner.kill()
    return Outcome.HARMLESS, ""


def _told_to_readers(owner: Owner) -> str:
    """What a consumer that reads everything would complain of, or nothing."""
    for partition in owner.directory.partitions.values():
        offset = partition.log_start_offset
        while offset < partition.log_end_offset:
            try:
                data = partition.read_batches(offset, 1 << 20)
                for position, header in batches(data):
                    check(data, position)
                    offset = header.last_offset + 1
            except KafkaError as error:
                return f"{partition} at {offset}: {error}"
            if not data:
                return f"{partition} ends at {offset}"
    return ""

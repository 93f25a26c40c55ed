"""The small text files of a data directory, byte for byte as Kafka writes them.

``*-offset-checkpoint`` and ``leader-epoch-checkpoint`` hold a version, the number of entries, and
an entry a line. ``partition.metadata`` ties a directory to a topic id, ``meta.properties`` the
whole data directory to a broker and a cluster, ``.kafka_cleanshutdown`` says that the last stop
was in order.

Decoding raises ValueError for anything that is not whole: the caller knows how to do without. Pure:
bytes in, values out.
"""

from __future__ import annotations

import base64
import json
import uuid
from collections.abc import Iterable, Mapping

from mq.record import TopicPartition

__all__ = [
    "decode_epochs",
    "decode_offsets",
    "decode_properties",
    "decode_topic_id",
    "decode_uuid",
    "encode_clean_shutdown",
    "encode_epochs",
    "encode_offsets",
    "encode_properties",
    "encode_topic_id",
    "encode_uuid",
]


def encode_epochs(entries: Iterable[tuple[int, int]]) -> bytes:
    """``leader-epoch-checkpoint``: epochs with their first offsets."""
    return _encode_lines(f"{epoch} {start}" for epoch, start in entries)


def decode_epochs(data: bytes) -> list[tuple[int, int]]:
    """The entries of ``leader-epoch-checkpoint``."""
    return [(int(epoch), int(start)) for epoch, start in map(str.split, _decode_lines(data))]


def encode_offsets(offsets: Mapping[TopicPartition, int]) -> bytes:
    """A checkpoint of one offset per partition."""
    return _encode_lines(f"{topic} {index} {at}" for (topic, index), at in offsets.items())


def decode_offsets(data: bytes) -> dict[TopicPartition, int]:
    """The offsets in a checkpoint."""
    fields = map(str.split, _decode_lines(data))
    return {TopicPartition(topic, int(index)): int(offset) for topic, index, offset in fields}


def encode_topic_id(topic_id: uuid.UUID) -> bytes:
    """``partition.metadata``."""
    return f"version: 0\ntopic_id: {encode_uuid(topic_id)}".encode()


def decode_topic_id(data: bytes) -> uuid.UUID:
    """The topic id in ``partition.metadata``."""
    fields = dict(line.split(": ", 1) for line in data.decode().splitlines())
    if fields.get("version") != "0" or "topic_id" not in fields:
        raise ValueError("not a partition.metadata of version 0")
    return decode_uuid(fields["topic_id"])


def encode_properties(properties: Mapping[str, str], written_at: str) -> bytes:
    """``meta.properties``, as Java stores properties; ``written_at`` goes into its comment."""
    lines = [f"{name}={value}" for name, value in properties.items()]
    return "\n".join(["#", f"#{written_at}", *lines, ""]).encode()


def decode_properties(data: bytes) -> dict[str, str]:
    """The properties in ``meta.properties``; version 1, with all that it must have."""
    lines = (line.strip() for line in data.decode().splitlines())
    found = dict(line.split("=", 1) for line in lines if line and not line.startswith(("#", "!")))
    missing = {"version", "cluster.id", "node.id"} - found.keys()
    if missing or found["version"] != "1":
        raise ValueError(f"not a meta.properties of version 1 ({', '.join(missing) or 'version'})")
    return found


def encode_clean_shutdown(broker_epoch: int) -> bytes:
    """``.kafka_cleanshutdown``; what counts is that it is there."""
    return json.dumps({"version": 0, "brokerEpoch": broker_epoch}, separators=(",", ":")).encode()


def encode_uuid(value: uuid.UUID) -> str:
    """An id as Kafka spells it: URL-safe base64 without padding."""
    return base64.urlsafe_b64encode(value.bytes).rstrip(b"=").decode()


def decode_uuid(text: str) -> uuid.UUID:
    """The id that Kafka's spelling stands for."""
    return uuid.UUID(bytes=base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))


def _encode_lines(lines: Iterable[str]) -> bytes:
    entries = list(lines)
    return "\n".join(["0", str(len(entries)), *entries, ""]).encode()


def _decode_lines(data: bytes) -> list[str]:
    lines = data.decode().split("\n")
    if len(lines) < 3 or lines[0] != "0" or lines[-1] or int(lines[1]) != len(lines) - 3:
        raise ValueError("a checkpoint is cut short, damaged, or of an unknown version")
    return lines[2:-1]

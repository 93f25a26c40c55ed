"""The records of ``__consumer_offsets``, as Kafka 4.3 writes and reads them.

Values are written at the versions that Kafka writes, and read at all that it ever wrote. Those of
groups of the consumer protocol are in :mod:`~mq.coordinators.consumer_group_records`.

A broker meets records here that it cannot read: of group kinds it does not serve, or of a later
release. :func:`read` names them and lets its caller go on; what it cannot read it cannot lose
either, for nobody ever writes to such a key.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from mq.coordinators import consumer_group_records
from mq.coordinators.effects import StateRecord
from mq.errors import ErrorCode, KafkaError
from mq.wire.fields import Message
from mq.wire.messages.records.group_metadata import (
    GroupMetadataKey,
    GroupMetadataValue,
    MemberMetadata,
)
from mq.wire.messages.records.offset_commit import OffsetCommitKey, OffsetCommitValue
from mq.wire.state_record import GROUP

__all__ = [
    "APPEND_FAILED",
    "ConsumerGroupRecord",
    "GroupMetadata",
    "OffsetCommit",
    "Unknown",
    "group_metadata",
    "group_tombstone",
    "offset_commit",
    "offset_tombstone",
    "read",
]

APPEND_FAILED: Final = ErrorCode.NOT_COORDINATOR
"""What a client is told when a record that its request needs cannot be stored, as by Kafka."""

_GROUP_METADATA_VERSION: Final = 3  # the last one that is not flexible, as Kafka does
_OFFSET_COMMIT_VERSION: Final = 4  # the first one with the topic's id
_OFFSET_COMMIT_EXPIRING_VERSION: Final = 1  # the only one with a time of expiry


class OffsetCommit(NamedTuple):
    """How far a group has come in a partition, or that it is forgotten."""

    group_id: str
    topic: str
    partition: int
    value: OffsetCommitValue | None


class GroupMetadata(NamedTuple):
    """A classic group as it is from now on, or its removal."""

    group_id: str
    value: GroupMetadataValue | None


class ConsumerGroupRecord(NamedTuple):
    """One of the records that make up a group of the consumer protocol, or its removal."""

    group_id: str
    key: consumer_group_records.Key
    value: Message | None


class Unknown(NamedTuple):
    """A record that this coordinator does not understand, and why."""

    reason: str


def offset_commit(
    group_id: str, topic: str, partition: int, value: OffsetCommitValue
) -> StateRecord:
    """The record that stores a committed offset; its time of expiry is -1 if it has none."""
    expires = value.expire_timestamp != -1
    version = _OFFSET_COMMIT_EXPIRING_VERSION if expires else _OFFSET_COMMIT_VERSION
    key = OffsetCommitKey(group_id, topic, partition)
    return StateRecord(*GROUP.encode(key, value, version))


def offset_tombstone(group_id: str, topic: str, partition: int) -> StateRecord:
    """The record that removes a committed offset."""
    return StateRecord(*GROUP.encode(OffsetCommitKey(group_id, topic, partition), None))


def group_metadata(
    group_id: str,
    *,
    generation: int,
    protocol_type: str | None,
    protocol: str | None,
    leader: str | None,
    state_timestamp_ms: int,
    members: Sequence[MemberMetadata],
) -> StateRecord:
    """The record that stores a classic group at rest: stable, or empty if it has no members."""
    value = GroupMetadataValue(
        protocol_type=protocol_type or "",
        generation=generation,
        protocol=protocol,
        leader=leader,
        current_state_timestamp=state_timestamp_ms,
        members=list(members),
    )
    return StateRecord(*GROUP.encode(GroupMetadataKey(group_id), value, _GROUP_METADATA_VERSION))


def group_tombstone(group_id: str) -> StateRecord:
    """The record that removes a classic group."""
    return StateRecord(*GROUP.encode(GroupMetadataKey(group_id), None))


def read(
    key: bytes, value: bytes | None
) -> OffsetCommit | GroupMetadata | ConsumerGroupRecord | Unknown:
    """What a record says.

    Raises:
        PeerError: the record is of a known type and version, but malformed.
    """
    try:
        decoded = GROUP.decode(key, value)
    except KafkaError as error:
        return Unknown(str(error))
    if decoded is None:
        return Unknown(f"a record of type {int.from_bytes(key[:2], 'big', signed=True)}")
    name, stored = decoded
    if isinstance(name, GroupMetadataKey):
        assert stored is None or isinstance(stored, GroupMetadataValue)
        return GroupMetadata(name.group, stored)
    if isinstance(name, OffsetCommitKey):
        assert stored is None or isinstance(stored, OffsetCommitValue)
        return OffsetCommit(name.group, name.topic, name.partition, stored)
    if isinstance(name, consumer_group_records.KEYS):
        return ConsumerGroupRecord(name.group_id, name, stored)
    return Unknown(type(name).__name__)

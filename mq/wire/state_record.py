"""The keys and values of Kafka's state topics, framed as Kafka's own tools expect them.

Coordinators (``__consumer_offsets``, ``__transaction_state``, ``__share_group_state``) write a key
that begins with the type of the record (int16) and a value that begins with the version of its
format (int16). The metadata log (``__cluster_metadata``) has no keys; its values begin with three
unsigned varints: the version of this framing (1), the type and the version.

Which types exist is generated: :mod:`mq.wire.messages.records`.
"""

from __future__ import annotations

import importlib
import struct
from collections.abc import Mapping
from typing import Final

from mq.errors import PeerError
from mq.wire import schema
from mq.wire.fields import Message
from mq.wire.messages import records
from mq.wire.varint import UNSIGNED, read_unsigned_varint

__all__ = [
    "GROUP",
    "SHARE",
    "TRANSACTION",
    "CoordinatorRecords",
    "decode_metadata",
    "encode_metadata",
]

_INT16: Final = struct.Struct(">h")
_METADATA_FRAME: Final = 1

Place = tuple[str, str]


def _load(place: Place) -> type[Message]:
    module, name = place
    kind: type[Message] = getattr(importlib.import_module(f"{records.__name__}.{module}"), name)
    return kind


class CoordinatorRecords:
    """The records of one coordinator's topic."""

    def __init__(self, places: Mapping[int, tuple[Place, Place]]) -> None:
        self._places = places
        self._kinds: dict[int, tuple[type[Message], type[Message]]] = {}

    def encode(
        self, key: Message, value: Message | None, version: int = 0
    ) -> tuple[bytes, bytes | None]:
        """Key and value; ``version`` is the value's (keys have one only), None is a tombstone.

        Raises:
            KafkaError, ValueError: as :func:`mq.wire.schema.encode`.
        """
        head = _INT16.pack(key.API_KEY) + schema.encode(key, key.VERSIONS[-1])
        if value is None:
            return head, None
        return head, _INT16.pack(version) + schema.encode(value, version)

    def decode(self, key: bytes, value: bytes | None) -> tuple[Message, Message | None] | None:
        """The record, or None if its type is not known: a later Kafka wrote it, skip it.

        Raises:
            PeerError: the bytes are not what the type says.
            KafkaError: the value's version is not known (``UNSUPPORTED_VERSION``).
        """
        number = _int16(key)
        kinds = self._kinds.get(number)
        if kinds is None:
            places = self._places.get(number)
            if places is None:
                return None
            kinds = self._kinds[number] = (_load(places[0]), _load(places[1]))
        key_kind, value_kind = kinds
        decoded, _ = schema.decode(key_kind, key, key_kind.VERSIONS[-1], 2)
        if value is None:
            return decoded, None
        return decoded, schema.decode(value_kind, value, _int16(value), 2)[0]


def _int16(data: bytes) -> int:
    if len(data) < 2:
        raise PeerError("a state record is shorter than its prefix")
    number: int = _INT16.unpack_from(data)[0]
    return number


GROUP: Final = CoordinatorRecords(records.GROUP)
TRANSACTION: Final = CoordinatorRecords(records.TRANSACTION)
SHARE: Final = CoordinatorRecords(records.SHARE)


def encode_metadata(record: Message, version: int = 0) -> bytes:
    """The value of a record of ``__cluster_metadata``.

    Raises:
        KafkaError, ValueError: as :func:`mq.wire.schema.encode`.
    """
    head = UNSIGNED[_METADATA_FRAME] + UNSIGNED[record.API_KEY] + UNSIGNED[version]
    return head + schema.encode(record, version)


def decode_metadata(value: bytes) -> Message | None:
    """The record, or None if its type is not known: a later Kafka wrote it.

    Raises:
        PeerError: the bytes are not a record of the metadata log.
        KafkaError: the version of the record is not known (``UNSUPPORTED_VERSION``).
    """
    try:
        frame, position = read_unsigned_varint(value, 0)
        number, position = read_unsigned_varint(value, position)
        version, position = read_unsigned_varint(value, position)
    except (IndexError, ValueError) as error:
        raise PeerError("a metadata record is shorter than its prefix") from error
    if frame != _METADATA_FRAME:
        raise PeerError(f"a metadata record is framed in version {frame}")
    place = records.METADATA.get(number)
    if place is None:
        return None
    record, end = schema.decode(_load(place), value, version, position)
    if end != len(value):
        raise PeerError(f"{len(value) - end} bytes follow a {type(record).__name__}")
    return record

"""A record as one JSON object, and back, without losing a byte.

What ``mq consume -o ndjson`` prints, ``mq produce --from`` reads: key, value and every header in
its order, duplicates too. Bytes that are UTF-8 are strings; others are ``{"base64": "…"}``. A value
that is MessagePack is also shown decoded, for people and for ``jq``; that field is not read back.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from typing import Any

import msgspec

from mq.app.codecs import CODECS, CONTENT_TYPE, codec_of
from mq.errors import ConfigurationError
from mq.record import Headers, Record

__all__ = ["Draft", "decoded", "from_json", "to_json"]


@dataclass(frozen=True, slots=True)
class Draft:
    """A record that is about to be sent."""

    key: bytes | None
    value: bytes | None
    headers: Headers = ()
    topic: str | None = None
    partition: int | None = None
    timestamp: int | None = None


def to_json(record: Record) -> dict[str, Any]:
    """``record`` as an object for ``json.dumps``."""
    found: dict[str, Any] = {
        "topic": record.topic,
        "partition": record.partition,
        "offset": record.offset,
        "timestamp": record.timestamp,
        "key": _to_text(record.key),
        "value": _to_text(record.value),
        "headers": [[name, _to_text(value)] for name, value in record.headers],
    }
    if codec_of(record.header(CONTENT_TYPE) or b"") is CODECS["msgpack"]:
        found["decoded"] = decoded(record)
    return found


def decoded(record: Record) -> Any:
    """The value as plain builtins, by its content type, or JSON where it names none.

    Bytes that are not what they should be are shown as text, or as base64.
    """
    if record.value is None:
        return None
    content_type = record.header(CONTENT_TYPE)
    codec = CODECS["json"] if content_type is None else codec_of(content_type)
    if codec is None or codec is CODECS["raw"]:
        return _to_text(record.value)
    try:
        value = codec.decoder(Any)(record.value)
        return msgspec.to_builtins(value, str_keys=True)
    except Exception:  # whatever a decoder raises, the bytes are still worth seeing
        return _to_text(record.value)


def from_json(fields: Any) -> Draft:
    """The record in what ``json.loads`` made of it. Fields that are absent are null.

    Raises:
        ConfigurationError: a field is not what it should be.
    """
    try:
        if not isinstance(fields, dict):
            raise TypeError(f"{fields!r} is no object")
        headers = tuple((str(name), _from_text(value)) for name, value in fields.get("headers", ()))
        return Draft(
            key=_from_text(fields.get("key")),
            value=_from_text(fields.get("value")),
            headers=headers,
            topic=_of_type(str, fields.get("topic")),
            partition=_of_type(int, fields.get("partition")),
            timestamp=_of_type(int, fields.get("timestamp")),
        )
    except (TypeError, ValueError) as error:
        raise ConfigurationError(f"this is no record as mq consume prints it: {error}") from error


def _to_text(value: bytes | None) -> str | dict[str, str] | None:
    if value is None:
        return None
    try:
        return value.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(value).decode()}


def _from_text(value: Any) -> bytes | None:
    match value:
        case None:
            return None
        case str():
            return value.encode()
        case {"base64": str(coded)}:
            try:
                return base64.b64decode(coded, validate=True)
            except binascii.Error as error:
                raise ValueError(f"{coded!r} is not base64") from error
    raise TypeError(f"{value!r} is neither a string nor base64")


def _of_type(kind: type, value: Any) -> Any:
    if value is not None and type(value) is not kind:
        raise TypeError(f"{value!r} should be of type {kind.__name__}")
    return value

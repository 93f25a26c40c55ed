"""Kafka's messages: how they are declared, and the way between them and their bytes.

The classes themselves are in :mod:`mq.wire.messages`. The first use of a class at a version writes
and compiles the function that does the work, later ones only call it. Which versions a broker
serves, headers and frames are no concern of this module; see :mod:`mq.wire.framing`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from mq.errors import ErrorCode, KafkaError
from mq.wire.decoder import Decoder, compile_decoder
from mq.wire.encoder import Encoder, compile_encoder
from mq.wire.fields import ZERO_UUID, Message, Records, Request, Response, Struct

__all__ = [
    "ZERO_UUID",
    "Message",
    "Records",
    "Request",
    "Response",
    "Struct",
    "decode",
    "decoder",
    "encode",
    "encode_parts",
]

M = TypeVar("M", bound=Message)

_ENCODERS: dict[type[Message], dict[int, Encoder]] = {}
_DECODERS: dict[type[Message], dict[int, Decoder]] = {}


def decode(kind: type[M], buffer: bytes, version: int, position: int = 0) -> tuple[M, int]:
    """Read a ``kind`` at ``position``; the message and the position after it.

    What follows the message is the caller's. Unknown tagged fields are skipped (KIP-482).

    Raises:
        PeerError: the bytes are not such a message.
        KafkaError: there is no such version (``UNSUPPORTED_VERSION``).
    """
    return decoder(kind, version)(buffer, position)


def decoder(kind: type[M], version: int) -> Callable[[bytes, int], tuple[M, int]]:
    """:func:`decode` for one class and version, for those who keep it.

    Raises:
        KafkaError: there is no such version (``UNSUPPORTED_VERSION``).
    """
    try:
        return _DECODERS[kind][version]
    except KeyError:
        _check_version(kind, version)
        compiled = compile_decoder(kind, version)
        return _DECODERS.setdefault(kind, {}).setdefault(version, compiled)


def encode(message: Message, version: int) -> bytes:
    """The bytes of ``message`` at ``version``.

    Raises:
        KafkaError: there is no such version, or it lacks a field that is set and not ignorable
            (``UNSUPPORTED_VERSION``).
        ValueError: a value does not fit its type.
    """
    return b"".join(encode_parts(message, version))


def encode_parts(message: Message, version: int) -> list[Any]:
    """As :func:`encode`, in pieces. Record batches are passed on as they are, so they may be
    anything that has a length: a range of a file that is sent from there, for instance.
    """
    return _encoder(type(message), version)(message)


def _encoder(kind: type[Message], version: int) -> Encoder:
    try:
        return _ENCODERS[kind][version]
    except KeyError:
        _check_version(kind, version)
        compiled = compile_encoder(kind, version)
        return _ENCODERS.setdefault(kind, {}).setdefault(version, compiled)


def _check_version(kind: type[Message], version: int) -> None:
    if version not in kind.VERSIONS:
        low, high = kind.VERSIONS[0], kind.VERSIONS[-1]
        text = f"{kind.__name__} has versions {low} to {high}, not {version}"
        raise KafkaError(ErrorCode.UNSUPPORTED_VERSION, text)

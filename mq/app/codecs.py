"""Bytes to values and back, by content type.

What a record's value is written in is said by its header ``content-type`` and by nothing else: the
bytes ``b"1"`` are 1 in JSON and 49 in MessagePack, so guessing would be wrong silently. A record
that does not say is read with the codec that its handler names, JSON unless told otherwise.

Values take the type that the handler's parameter is annotated with: builtins, dataclasses, typed
dictionaries, ``msgspec.Struct``, unions of these, and pydantic models if pydantic is installed.
msgspec reads and writes them (or pydantic); untyped MessagePack is read by msgpack. An annotation
of ``bytes`` asks for the value as it was sent, whatever is in it.

There is no codec for pickle: a message must not be able to run code.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from types import NoneType, UnionType
from typing import Any, Final, Protocol, TypeAlias, Union, get_args, get_origin

import msgpack
import msgspec

from mq.errors import ConfigurationError, MqError

__all__ = [
    "CODECS",
    "CONTENT_TYPE",
    "Codec",
    "Decoder",
    "EncodeError",
    "InvalidPayloadError",
    "PayloadError",
    "Payloads",
    "UndecodableError",
    "codec_named",
    "codec_of",
]

CONTENT_TYPE: Final = "content-type"
"""The header that says what a value is written in (also that of CloudEvents' binary mode)."""

Decoder: TypeAlias = Callable[[bytes], Any]


class PayloadError(MqError):
    """The value of a record cannot be given to its handler. Trying again cannot help."""

    __module__ = "mq"


class UndecodableError(PayloadError):
    """The bytes are not what the content type says. Look at the producer."""

    __module__ = "mq"


class InvalidPayloadError(PayloadError):
    """The value was read, but is not of the handler's type. Correct one of the two."""

    __module__ = "mq"


class EncodeError(MqError):
    """A value cannot be written by the codec chosen for it. Send another type, or name a codec."""

    __module__ = "mq"


class Codec(Protocol):
    """One way to write values. Give your own to ``handler(codec=…)`` or ``publish(codec=…)``."""

    @property
    def name(self) -> str:
        """What the codec is called in configuration."""

    @property
    def content_type(self) -> str:
        """What goes into the header ``content-type`` of records written by it."""

    def encode(self, value: Any) -> bytes:
        """The bytes of ``value``."""

    def decoder(self, annotation: Any) -> Decoder:
        """What turns bytes into values of a type; ``typing.Any`` means any type."""


def _model_to_builtins(value: Any) -> Any:
    """A pydantic model as builtins; anything else cannot be written."""
    if hasattr(value, "__pydantic_validator__"):
        dumped: Any = value.model_dump(mode="json")
        return dumped
    raise NotImplementedError(f"no way is known to write a {type(value).__qualname__}")


class _MessagePack:
    name = "msgpack"
    content_type = "application/msgpack"

    def __init__(self) -> None:
        self.encode = msgspec.msgpack.Encoder(enc_hook=_model_to_builtins).encode

    def decoder(self, annotation: Any) -> Decoder:
        if annotation is Any:
            return _unpack
        if _is_pydantic(annotation):
            validate = _pydantic_adapter(annotation).validate_python
            return lambda value: validate(_unpack(value))
        return msgspec.msgpack.Decoder(annotation).decode


class _Json:
    name = "json"
    content_type = "application/json"

    def __init__(self) -> None:
        self.encode = msgspec.json.Encoder(enc_hook=_model_to_builtins).encode

    def decoder(self, annotation: Any) -> Decoder:
        if annotation is not Any and _is_pydantic(annotation):
            validate: Decoder = _pydantic_adapter(annotation).validate_json
            return validate
        return msgspec.json.Decoder(annotation).decode


class _Text:
    name = "text"
    content_type = "text/plain; charset=utf-8"

    def encode(self, value: Any) -> bytes:
        if not isinstance(value, str):
            raise TypeError(f"the codec text writes str, not {type(value).__name__}")
        return value.encode()

    def decoder(self, annotation: Any) -> Decoder:
        if annotation in (str, Any):
            return lambda value: str(value, "utf-8")
        if _is_pydantic(annotation):
            validate = _pydantic_adapter(annotation).validate_python
            return lambda value: validate(str(value, "utf-8"))
        return lambda value: msgspec.convert(str(value, "utf-8"), annotation)


class _Raw:
    name = "raw"
    content_type = "application/octet-stream"

    def encode(self, value: Any) -> bytes:
        if not isinstance(value, bytes | bytearray | memoryview):
            raise TypeError(f"the codec raw writes bytes, not {type(value).__name__}")
        return bytes(value)

    def decoder(self, annotation: Any) -> Decoder:
        if annotation is Any:
            return bytes
        return lambda value: msgspec.convert(value, annotation, builtin_types=(bytes,))


CODECS: Final[dict[str, Codec]] = {
    codec.name: codec for codec in (_MessagePack(), _Json(), _Text(), _Raw())
}
"""The codecs that can be named in ``codec=``."""

_MEDIA_TYPES: Final[dict[str, Codec]] = {
    "application/msgpack": CODECS["msgpack"],
    "application/x-msgpack": CODECS["msgpack"],
    "application/vnd.msgpack": CODECS["msgpack"],
    "application/json": CODECS["json"],
    "text/json": CODECS["json"],
    "text/plain": CODECS["text"],
    "application/octet-stream": CODECS["raw"],
}


def codec_named(codec: str | Codec) -> Codec:
    """The codec of that name, or the codec itself.

    Raises:
        ConfigurationError: there is none of that name.
    """
    if not isinstance(codec, str):
        return codec
    if codec not in CODECS:
        raise ConfigurationError(f"there is no codec {codec!r}; there are {', '.join(CODECS)}")
    return CODECS[codec]


def codec_of(content_type: bytes) -> Codec | None:
    """The codec that reads a content type, parameters and letter case aside; None if none does."""
    media = content_type.partition(b";")[0].strip().lower().decode("latin-1")
    if media.endswith("+json"):
        return CODECS["json"]
    return _MEDIA_TYPES.get(media)


class Payloads:
    """Reads the values of one handler's records.

    Args:
        annotation: the type of the payload parameter; ``typing.Any`` if it has none.
        codec: for records that do not say what they are written in; None means JSON, and raw for
            an annotation of ``bytes``.

    Raises:
        ConfigurationError: no value can be read as this type.
    """

    def __init__(self, annotation: Any, codec: str | Codec | None = None) -> None:
        annotation = Any if annotation is object else annotation
        self.nullable = annotation is Any or _allows_none(annotation)
        self._verbatim = codec is None and _without_none(annotation) is bytes
        self._annotation = annotation
        self._default = codec_named(codec or ("raw" if self._verbatim else "json"))
        self._decoders: dict[bytes | None, Decoder] = {None: self._decoder(self._default)}

    def read(self, value: bytes | None, content_type: bytes | None) -> Any:
        """The value, typed.

        Raises:
            PayloadError: it cannot be read, or not as this type.
        """
        if value is None:
            if self.nullable:
                return None
            raise InvalidPayloadError("the value is null, and the handler's type has no `| None`")
        decode = self._decoders.get(content_type) or self._learn(content_type)
        try:
            return decode(value)
        except msgspec.ValidationError as error:
            raise InvalidPayloadError(str(error)) from error
        except Exception as error:  # whatever a decoder raises, the bytes are to blame
            if type(error).__name__ == "ValidationError":  # pydantic's, without importing it
                raise InvalidPayloadError(str(error)) from error
            raise UndecodableError(f"{type(error).__name__}: {error}") from error

    def _learn(self, content_type: bytes | None) -> Decoder:
        if content_type is None or self._verbatim:
            return self._decoders[None]
        codec = self._default
        if content_type.decode("latin-1") != codec.content_type:
            found = codec_of(content_type)
            if found is None:
                raise UndecodableError(f"no codec reads the content type {content_type!r}")
            codec = found
        decode = self._decoder(codec)
        if len(self._decoders) < _DECODERS_MAX:
            self._decoders[content_type] = decode
        return decode

    def _decoder(self, codec: Codec) -> Decoder:
        _refuse_opaque_classes(self._annotation)
        try:
            return codec.decoder(self._annotation)
        except (TypeError, NotImplementedError) as error:
            raise ConfigurationError(
                f"no payload can be read as {_shown(self._annotation)}: {error}"
            ) from error


_DECODERS_MAX: Final = 64
"""How many spellings of content types are remembered; a producer could invent more for ever."""


def encode(codec: Codec, value: Any) -> bytes:
    """The bytes of ``value``.

    Raises:
        EncodeError: the codec does not write such values.
    """
    try:
        return codec.encode(value)
    except Exception as error:
        kind = type(value).__qualname__
        raise EncodeError(f"a {kind} cannot be written as {codec.name}: {error}") from error


def _unpack(value: bytes) -> Any:
    # 3: timestamps become aware datetimes, as msgspec reads them
    return msgpack.unpackb(value, timestamp=3, strict_map_key=False)


def _parts(annotation: Any) -> Iterable[Any]:
    """The annotation and everything inside its brackets."""
    yield annotation
    for inner in get_args(annotation):
        yield from _parts(inner)


def _is_pydantic(annotation: Any) -> bool:
    """Whether pydantic has to read it; if pydantic was never imported, it has not."""
    if "pydantic" not in sys.modules:
        return False
    return any(hasattr(part, "__pydantic_validator__") for part in _parts(annotation))


def _pydantic_adapter(annotation: Any) -> Any:
    return sys.modules["pydantic"].TypeAdapter(annotation)


def _refuse_opaque_classes(annotation: Any) -> None:
    """A class that msgspec does not know would fail for every single record: say so now."""
    if annotation is Any or _is_pydantic(annotation):
        return
    try:
        known = msgspec.inspect.type_info(annotation)
    except (TypeError, NotImplementedError):
        return  # the decoder tells this one better
    opaque = _find_opaque(known, set())
    if opaque is not None:
        raise ConfigurationError(
            f"no payload can be read as {_shown(opaque)}: "
            "use builtins, a dataclass, a TypedDict, a msgspec.Struct or a pydantic model"
        )


def _find_opaque(node: Any, seen: set[int]) -> Any:
    """The first class inside a type that msgspec does not know, or None."""
    if isinstance(node, msgspec.inspect.CustomType):
        return node.cls
    if isinstance(node, tuple | list):
        parts: Iterable[Any] = node
    elif isinstance(node, msgspec.inspect.Type | msgspec.inspect.Field) and id(node) not in seen:
        seen.add(id(node))
        parts = [getattr(node, name) for name in node.__struct_fields__ if name != "cls"]
    else:
        return None
    return next((found for part in parts if (found := _find_opaque(part, seen)) is not None), None)


def _allows_none(annotation: Any) -> bool:
    if get_origin(annotation) in (Union, UnionType):
        return any(_allows_none(part) for part in get_args(annotation))
    return annotation in (None, NoneType)


def _without_none(annotation: Any) -> Any:
    if get_origin(annotation) in (Union, UnionType):
        left = [part for part in get_args(annotation) if part is not NoneType]
        if len(left) == 1:
            return left[0]
    return annotation


def _shown(annotation: Any) -> str:
    return annotation.__qualname__ if isinstance(annotation, type) else str(annotation)

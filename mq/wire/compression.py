"""The codecs of record batches, always with a bound on what comes out.

gzip is in the standard library. The others come with ``pip install 'mq[compression]'`` and are
imported when they are first needed, so that who never meets them does not pay for them.

Knows nothing of batches.
"""

from __future__ import annotations

import importlib
import struct
import zlib
from collections.abc import Callable
from enum import IntEnum
from typing import Any, Final

from mq.errors import ErrorCode, KafkaError

__all__ = ["Codec", "compress", "decompress"]


class Codec(IntEnum):
    """How the records of a batch are compressed: the low three bits of its attributes."""

    NONE = 0
    GZIP = 1
    SNAPPY = 2
    LZ4 = 3
    ZSTD = 4


def compress(codec: Codec, data: bytes) -> bytes:
    """``data`` as Java's producer would compress it.

    Raises:
        KafkaError: the library for ``codec`` is not installed (``UNSUPPORTED_COMPRESSION_TYPE``).
    """
    return data if codec is Codec.NONE else _COMPRESS[codec](data)


def decompress(codec: Codec, data: bytes, bytes_max: int) -> bytes:
    """What :func:`compress` was given, by Java's or librdkafka's producer.

    Raises:
        KafkaError: the result exceeds ``bytes_max`` (``MESSAGE_TOO_LARGE``), the data is not of
            this codec (``CORRUPT_MESSAGE``), or its library is not installed
            (``UNSUPPORTED_COMPRESSION_TYPE``).
    """
    if codec is Codec.NONE:
        return data
    try:
        return _DECOMPRESS[codec](data, bytes_max)
    except KafkaError:
        raise
    except Exception as error:  # each library has its own errors; whatever it is, the data is bad
        text = f"records are not {codec.name.lower()}: {error}"
        raise KafkaError(ErrorCode.CORRUPT_MESSAGE, text) from error


def _library(name: str, codec: Codec) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        text = f"{codec.name.lower()} needs the extra: pip install 'mq[compression]'"
        raise KafkaError(ErrorCode.UNSUPPORTED_COMPRESSION_TYPE, text) from error


def _bounded(data: bytes, bytes_max: int) -> bytes:
    if len(data) > bytes_max:
        raise _too_large(bytes_max)
    return data


def _too_large(bytes_max: int) -> KafkaError:
    text = f"records exceed {bytes_max} bytes when decompressed"
    return KafkaError(ErrorCode.MESSAGE_TOO_LARGE, text)


# --- gzip ------------------------------------------------------------------------------------

_GZIP_WINDOW: Final = 31  # the largest window, with gzip's header and trailer


def _compress_gzip(data: bytes) -> bytes:
    compressor = zlib.compressobj(wbits=_GZIP_WINDOW)
    return compressor.compress(data) + compressor.flush()


def _decompress_gzip(data: bytes, bytes_max: int) -> bytes:
    decompressor = zlib.decompressobj(wbits=_GZIP_WINDOW)
    out = _bounded(decompressor.decompress(data, bytes_max + 1), bytes_max)
    if not decompressor.eof:
        raise ValueError("the data ends too early")
    return out


# --- snappy: Java frames its blocks in its own way ("xerial"), librdkafka sends one bare block --

_XERIAL_MAGIC: Final = b"\x82SNAPPY\0"
_XERIAL_HEADER: Final = _XERIAL_MAGIC + struct.pack(">ii", 1, 1)
_XERIAL_BLOCK: Final = 32 * 1024


def _compress_snappy(data: bytes) -> bytes:
    snappy = _library("cramjam", Codec.SNAPPY).snappy
    parts = [_XERIAL_HEADER]
    for start in range(0, len(data), _XERIAL_BLOCK):
        block = bytes(snappy.compress_raw(data[start : start + _XERIAL_BLOCK]))
        parts += [struct.pack(">i", len(block)), block]
    return b"".join(parts)


def _decompress_snappy(data: bytes, bytes_max: int) -> bytes:
    if not data.startswith(_XERIAL_MAGIC):
        return _snappy_block(data, bytes_max)
    parts: list[bytes] = []
    position, room = len(_XERIAL_HEADER), bytes_max
    while position < len(data):
        (size,) = struct.unpack_from(">i", data, position)
        position += 4
        if not 0 <= size <= len(data) - position:
            raise ValueError(f"a block of {size} bytes")
        parts.append(_snappy_block(data[position : position + size], room))
        position += size
        room -= len(parts[-1])
    return b"".join(parts)


def _snappy_block(block: bytes, bytes_max: int) -> bytes:
    """A block begins with its size when decompressed, so the bound is checked beforehand."""
    size = shift = 0
    for byte in block[:5]:
        size |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            break
    if size > bytes_max:
        raise _too_large(bytes_max)
    return bytes(_library("cramjam", Codec.SNAPPY).snappy.decompress_raw(block))


# --- lz4: Kafka reads only frames whose blocks stand alone -------------------------------------


def _compress_lz4(data: bytes) -> bytes:
    frame = _library("lz4.frame", Codec.LZ4)
    out: bytes = frame.compress(data, block_linked=False, store_size=False)
    return out


def _decompress_lz4(data: bytes, bytes_max: int) -> bytes:
    decompressor = _library("lz4.frame", Codec.LZ4).LZ4FrameDecompressor()
    out = _bounded(decompressor.decompress(data, max_length=bytes_max + 1), bytes_max)
    if not decompressor.eof:
        raise ValueError("the data ends too early")
    return out


# --- zstd ------------------------------------------------------------------------------------


def _compress_zstd(data: bytes) -> bytes:
    out: bytes = _library("zstandard", Codec.ZSTD).ZstdCompressor().compress(data)
    return out


def _decompress_zstd(data: bytes, bytes_max: int) -> bytes:
    decompressor = _library("zstandard", Codec.ZSTD).ZstdDecompressor()
    with decompressor.stream_reader(data, read_across_frames=True) as reader:
        return _bounded(reader.read(bytes_max + 1), bytes_max)


_COMPRESS: Final[dict[Codec, Callable[[bytes], bytes]]] = {
    Codec.GZIP: _compress_gzip,
    Codec.SNAPPY: _compress_snappy,
    Codec.LZ4: _compress_lz4,
    Codec.ZSTD: _compress_zstd,
}
_DECOMPRESS: Final[dict[Codec, Callable[[bytes, int], bytes]]] = {
    Codec.GZIP: _decompress_gzip,
    Codec.SNAPPY: _decompress_snappy,
    Codec.LZ4: _decompress_lz4,
    Codec.ZSTD: _decompress_zstd,
}

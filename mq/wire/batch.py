"""Record batches, version 2: the one form that records have on the wire and on disk.

A batch is a header of 61 bytes and its records, perhaps compressed. The broker reads the header,
checks the sum and changes two fields that lie outside of it (base offset and leader epoch);
records stay opaque from producer to disk to consumer. Only compaction, the state topics and
tests open a batch.

Sizes, offsets and times are plain integers: bytes, records, milliseconds since the epoch. Message
formats 0 and 1, which Kafka 4 dropped (KIP-724), are refused.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple, TypeAlias

import google_crc32c

from mq.errors import ErrorCode, KafkaError
from mq.record import Headers
from mq.wire.compression import Codec, compress, decompress
from mq.wire.encoder import unsigned_varint

__all__ = [
    "CONTROL",
    "HEADER_BYTES",
    "LOG_APPEND_TIME",
    "NO_PRODUCER",
    "NO_TIMESTAMP",
    "TRANSACTIONAL",
    "BatchHeader",
    "BatchRecord",
    "Codec",
    "Producer",
    "batches",
    "check",
    "decode_batch",
    "encode_batch",
    "read_header",
    "rewrite",
    "stamp",
    "stamp_append_time",
]

Buffer: TypeAlias = bytes | bytearray | memoryview

MAGIC: Final = 2
HEADER_BYTES: Final = 61
NO_TIMESTAMP: Final = -1
DECOMPRESSED_BYTES_MAX: Final = 128 * 1024 * 1024  # what opening one batch may cost in memory

CODEC_MASK: Final = 0x07
LOG_APPEND_TIME: Final = 0x08
TRANSACTIONAL: Final = 0x10
CONTROL: Final = 0x20

_HEADER: Final = struct.Struct(">qiibIhiqqqhii")
_PLACE: Final = struct.Struct(">qi")  # what says where a batch ends: base offset and length
_SUMMED: Final = 21  # the checksum covers everything from the attributes on
_UNCOUNTED: Final = 12  # the length field does not count itself nor the base offset


class Producer(NamedTuple):
    """Who wrote a batch idempotently; ``base_sequence`` numbers its first record."""

    id: int
    epoch: int
    base_sequence: int


NO_PRODUCER: Final = Producer(-1, -1, -1)


class BatchHeader(NamedTuple):
    """The header of a batch. ``length`` is that of the whole batch, unlike the wire's field."""

    base_offset: int
    length: int
    leader_epoch: int
    magic: int
    crc: int
    attributes: int
    last_offset_delta: int
    base_timestamp: int
    max_timestamp: int
    producer_id: int
    producer_epoch: int
    base_sequence: int
    count: int  # type: ignore[assignment]  # as Kafka calls it; hides tuple's method of this name

    @property
    def last_offset(self) -> int:
        return self.base_offset + self.last_offset_delta

    @property
    def last_sequence(self) -> int:
        """The sequence of the last record; they wrap from 2**31 - 1 to 0."""
        if self.base_sequence < 0:
            return -1
        return (self.base_sequence + self.last_offset_delta) & 0x7FFFFFFF

    @property
    def codec(self) -> int:
        """A :class:`Codec`, unless the batch is from a future that has more of them."""
        return self.attributes & CODEC_MASK

    @property
    def is_transactional(self) -> bool:
        return bool(self.attributes & TRANSACTIONAL)

    @property
    def is_control(self) -> bool:
        return bool(self.attributes & CONTROL)

    @property
    def has_append_time(self) -> bool:
        """Whether its time is the broker's (``LogAppendTime``), the same for all records."""
        return bool(self.attributes & LOG_APPEND_TIME)


class BatchRecord(NamedTuple):
    """A record inside a batch."""

    key: bytes | None
    value: bytes | None
    headers: Headers = ()
    timestamp: int = NO_TIMESTAMP
    offset: int = 0


# --- the header ------------------------------------------------------------------------------


def read_header(buffer: Buffer, position: int = 0) -> BatchHeader:
    """The header at ``position``, whatever it claims.

    Raises:
        KafkaError: fewer than 61 bytes are left (``CORRUPT_MESSAGE``).
    """
    try:
        base, length, *rest = _HEADER.unpack_from(buffer, position)
    except struct.error as error:
        text = f"a batch has {len(buffer) - position} bytes, its header alone needs {HEADER_BYTES}"
        raise KafkaError(ErrorCode.CORRUPT_MESSAGE, text) from error
    return BatchHeader(base, length + _UNCOUNTED, *rest)


def check(buffer: Buffer, position: int = 0) -> BatchHeader:
    """The header of a batch that lies whole in ``buffer`` and is what its writer wrote.

    Raises:
        KafkaError: it is cut off or its checksum is wrong (``CORRUPT_MESSAGE``), or it has one of
            the old message formats (``INVALID_RECORD``).
    """
    header = read_header(buffer, position)
    if header.magic in (0, 1):
        text = f"message format {header.magic} is no longer accepted"
        raise KafkaError(ErrorCode.INVALID_RECORD, text)
    if header.magic != MAGIC:
        raise KafkaError(ErrorCode.CORRUPT_MESSAGE, f"a batch has magic {header.magic}")
    left = len(buffer) - position
    if not HEADER_BYTES <= header.length <= left:
        text = f"a batch claims {header.length} bytes, {left} are there"
        raise KafkaError(ErrorCode.CORRUPT_MESSAGE, text)
    if _checksum(buffer, position, header.length) != header.crc:
        raise KafkaError(ErrorCode.CORRUPT_MESSAGE, "the checksum of a batch is wrong")
    return header


def batches(buffer: Buffer, position: int = 0) -> Iterator[tuple[int, BatchHeader]]:
    """The place and the header of each whole batch; one that is cut off ends the sequence.

    Raises:
        KafkaError: a batch claims less than a header (``CORRUPT_MESSAGE``).
    """
    end = len(buffer)
    while end - position >= HEADER_BYTES:
        header = read_header(buffer, position)
        if header.length < HEADER_BYTES:
            text = f"a batch claims {header.length} bytes"
            raise KafkaError(ErrorCode.CORRUPT_MESSAGE, text)
        if header.length > end - position:
            return
        yield position, header
        position += header.length


def stamp(buffer: bytearray, position: int, base_offset: int, leader_epoch: int) -> None:
    """Give the batch at ``position`` its place in the log. The checksum does not cover these."""
    struct.pack_into(">q", buffer, position, base_offset)
    struct.pack_into(">i", buffer, position + 12, leader_epoch)


def stamp_append_time(buffer: bytearray, position: int, timestamp: int) -> None:
    """Make ``timestamp`` the time of all records of a batch (``LogAppendTime``)."""
    header = read_header(buffer, position)
    struct.pack_into(">h", buffer, position + 21, header.attributes | LOG_APPEND_TIME)
    struct.pack_into(">q", buffer, position + 35, timestamp)
    struct.pack_into(">I", buffer, position + 17, _checksum(buffer, position, header.length))


def _checksum(buffer: Buffer, position: int, length: int) -> int:
    # The library takes nothing but bytes, which costs one copy unless the slice is bytes already.
    crc: int = google_crc32c.value(bytes(buffer[position + _SUMMED : position + length]))
    return crc


# --- writing ---------------------------------------------------------------------------------


def encode_batch(
    records: Sequence[BatchRecord],
    *,
    base_offset: int = 0,
    leader_epoch: int = -1,
    attributes: int = Codec.NONE,
    producer: Producer = NO_PRODUCER,
) -> bytes:
    """A batch of ``records``, which get consecutive offsets from ``base_offset`` on.

    ``attributes`` joins a :class:`Codec` with ``TRANSACTIONAL`` and ``CONTROL``.

    Raises:
        KafkaError: the codec's library is not installed (``UNSUPPORTED_COMPRESSION_TYPE``).
        ValueError: there are no records.
    """
    if not records:
        raise ValueError("a batch needs at least one record")
    header = BatchHeader(
        base_offset=base_offset,
        length=0,
        leader_epoch=leader_epoch,
        magic=MAGIC,
        crc=0,
        attributes=attributes,
        last_offset_delta=len(records) - 1,
        base_timestamp=0,
        max_timestamp=0,
        producer_id=producer.id,
        producer_epoch=producer.epoch,
        base_sequence=producer.base_sequence,
        count=0,
    )
    return _assemble(header, records, range(len(records)))


def rewrite(header: BatchHeader, records: Sequence[BatchRecord]) -> bytes:
    """The batch of ``header`` with only these of its records left: same offsets, same producer.

    With none left, the header alone remains, as it does in Kafka's log to keep the last sequence.
    """
    deltas = [record.offset - header.base_offset for record in records]
    return _assemble(header, records, deltas)


def _assemble(header: BatchHeader, records: Sequence[BatchRecord], deltas: Sequence[int]) -> bytes:
    first = records[0].timestamp if records else header.base_timestamp
    latest = max((record.timestamp for record in records), default=header.max_timestamp)
    if header.has_append_time:
        latest = header.max_timestamp
    body = b"".join(
        _encode_record(record, record.timestamp - first, delta)
        for record, delta in zip(records, deltas, strict=True)
    )
    if records:
        body = compress(Codec(header.codec), body)
    finished = header._replace(
        length=HEADER_BYTES - _UNCOUNTED + len(body),
        base_timestamp=first,
        max_timestamp=latest,
        count=len(records),
    )
    crc = google_crc32c.value(_HEADER.pack(*finished)[_SUMMED:] + body)
    return _HEADER.pack(*finished._replace(crc=crc)) + body


def _encode_record(record: BatchRecord, timestamp_delta: int, offset_delta: int) -> bytes:
    parts = [b"\0", _varint(timestamp_delta), _varint(offset_delta)]
    _append_bytes(parts, record.key)
    _append_bytes(parts, record.value)
    parts.append(_varint(len(record.headers)))
    for name, value in record.headers:
        _append_bytes(parts, name.encode())
        _append_bytes(parts, value)
    body = b"".join(parts)
    return _varint(len(body)) + body


def _append_bytes(parts: list[bytes], value: bytes | None) -> None:
    if value is None:
        parts.append(b"\x01")  # -1
    else:
        parts += (_varint(len(value)), value)


def _varint(value: int) -> bytes:
    """Zigzag: the sign moves to the lowest bit, so that small negative numbers stay short."""
    return unsigned_varint(value << 1 if value >= 0 else ~(value << 1))


# --- reading ---------------------------------------------------------------------------------


def decode_batch(
    buffer: Buffer, position: int = 0, *, bytes_max: int = DECOMPRESSED_BYTES_MAX
) -> list[BatchRecord]:
    """The records of the batch at ``position``, with their offsets and times. The checksum is not
    looked at; see :func:`check`.

    Raises:
        KafkaError: what is inside does not fit the header (``INVALID_RECORD``), or see
            :func:`mq.wire.compression.decompress` and :func:`read_header`.
    """
    header = read_header(buffer, position)
    if header.codec > Codec.ZSTD:
        text = f"there is no codec {header.codec}"
        raise KafkaError(ErrorCode.UNSUPPORTED_COMPRESSION_TYPE, text)
    body = bytes(buffer[position + HEADER_BYTES : position + header.length])
    if header.count > 0:
        body = decompress(Codec(header.codec), body, bytes_max)
    try:
        return _decode_records(header, body)
    except (IndexError, ValueError) as error:
        text = f"a batch cannot be read: {error}"
        raise KafkaError(ErrorCode.INVALID_RECORD, text) from error


def _decode_records(header: BatchHeader, body: bytes) -> list[BatchRecord]:
    records: list[BatchRecord] = []
    fixed_time = header.max_timestamp if header.has_append_time else None
    end = len(body)
    if not 0 <= header.count <= end:
        raise ValueError(f"{header.count} records in {end} bytes")
    position = 0
    for _ in range(header.count):
        length, position = _read_varint(body, position)
        stop = position + length
        if length < 0 or stop > end:
            raise ValueError(f"a record of {length} bytes, {end - position} are left")
        timestamp_delta, position = _read_varint(body, position + 1)  # attributes are unused
        offset_delta, position = _read_varint(body, position)
        key, position = _read_bytes(body, position, stop)
        value, position = _read_bytes(body, position, stop)
        headers: Headers = ()
        if body[position]:
            headers, position = _read_headers(body, position, stop)
        else:
            position += 1
        if position != stop:
            raise ValueError(f"a record of {length} bytes ends {stop - position} bytes early")
        timestamp = header.base_timestamp + timestamp_delta if fixed_time is None else fixed_time
        offset = header.base_offset + offset_delta
        records.append(BatchRecord(key, value, headers, timestamp, offset))
    if position != end:
        raise ValueError(f"{end - position} bytes follow its last record")
    return records


def _read_headers(body: bytes, position: int, stop: int) -> tuple[Headers, int]:
    count, position = _read_varint(body, position)
    if not 0 <= count <= stop - position:
        raise ValueError(f"{count} headers in {stop - position} bytes")
    headers: list[tuple[str, bytes | None]] = []
    for _ in range(count):
        name, position = _read_bytes(body, position, stop)
        if name is None:
            raise ValueError("the name of a header is null")
        value, position = _read_bytes(body, position, stop)
        headers.append((name.decode(), value))
    return tuple(headers), position


def _read_bytes(body: bytes, position: int, stop: int) -> tuple[bytes | None, int]:
    length, position = _read_varint(body, position)
    if length == -1:
        return None, position
    end = position + length
    if not position <= end <= stop:
        raise ValueError(f"{length} bytes where {stop - position} are left")
    return body[position:end], end


def _read_varint(body: bytes, position: int) -> tuple[int, int]:
    """The zigzag number at ``position``, of at most 64 bits, and the position after it."""
    value = body[position]
    position += 1
    if value > 0x7F:
        value &= 0x7F
        shift = 7
        while True:
            byte = body[position]
            position += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                break
            shift += 7
            if shift > 63:
                raise ValueError("a varint is longer than 10 bytes")
    return (value >> 1) ^ -(value & 1), position

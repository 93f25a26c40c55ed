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
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple, TypeAlias

import google_crc32c
import msgspec

from mq.errors import ErrorCode, KafkaError
from mq.record import Headers
from mq.wire.compression import Codec, compress, decompress
from mq.wire.varint import UNSIGNED, read_signed_varint, signed_varint

__all__ = [
    "CONTROL",
    "DELETE_HORIZON",
    "HEADER_BYTES",
    "LOG_APPEND_TIME",
    "NO_PRODUCER",
    "NO_TIMESTAMP",
    "TRANSACTIONAL",
    "BatchHeader",
    "BatchRecord",
    "Buffer",
    "Codec",
    "Producer",
    "batches",
    "check",
    "decode_batch",
    "encode_batch",
    "read_header",
    "rewrite",
    "sound_bytes",
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
DELETE_HORIZON: Final = 0x40

_HEAD: Final = struct.Struct(">qiibI")
_TAIL: Final = struct.Struct(">hiqqqhii")
_HEADER: Final = struct.Struct(">qiibIhiqqqhii")
_LENGTH_AND_CRC: Final = struct.Struct(">8xi5xI")
_SUMMED: Final = _HEAD.size  # the checksum covers everything from the attributes on
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

    @property
    def delete_horizon_ms(self) -> int | None:
        """When compaction may drop the batch's tombstones or marker (KIP-534), if that is set.

        It takes the place of the base timestamp, and the records' times count from it.
        """
        return self.base_timestamp if self.attributes & DELETE_HORIZON else None


class BatchRecord(msgspec.Struct, frozen=True, gc=False):
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
        fields = list(_HEADER.unpack_from(buffer, position))
    except struct.error as error:
        text = f"a batch has {len(buffer) - position} bytes, its header alone needs {HEADER_BYTES}"
        raise KafkaError(ErrorCode.CORRUPT_MESSAGE, text) from error
    fields[1] += _UNCOUNTED
    return tuple.__new__(BatchHeader, fields)


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


def sound_bytes(buffer: Buffer) -> int:
    """Where the last of the batches ends that lie whole in ``buffer`` and have a right checksum.

    Raises:
        KafkaError: the first one is damaged (``CORRUPT_MESSAGE``).
    """
    position, end = 0, len(buffer)
    while end - position >= HEADER_BYTES:
        length, crc = _LENGTH_AND_CRC.unpack_from(buffer, position)
        length += _UNCOUNTED
        if length >= HEADER_BYTES and end - position < length:
            break
        if length < HEADER_BYTES or _checksum(buffer, position, length) != crc:
            if position == 0:
                raise KafkaError(ErrorCode.CORRUPT_MESSAGE, "the checksum of a batch is wrong")
            break
        position += length
    return position


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
    first, latest, body = _encode_records(records, range(len(records)))
    count = len(records)
    tail = (attributes, count - 1, first, latest, *producer, count)
    if attributes & CODEC_MASK:
        body = compress(Codec(attributes & CODEC_MASK), body)
    return _join(base_offset, leader_epoch, tail, body)


def rewrite(
    header: BatchHeader, records: Sequence[BatchRecord], *, delete_horizon_ms: int | None = None
) -> bytes:
    """The batch of ``header`` with only these of its records left: same offsets, same producer.

    With none left, the header alone remains, as it does in Kafka's log to keep the last sequence;
    it has no time then, so that nobody looks in it for a record of that time.
    A delete horizon (ms, KIP-534) is set if one is given, and kept if the batch has one.

    Raises:
        KafkaError: the codec's library is not installed (``UNSUPPORTED_COMPRESSION_TYPE``).
    """
    attributes, first, latest, body = header.attributes, NO_TIMESTAMP, NO_TIMESTAMP, b""
    if records:
        horizon = header.delete_horizon_ms if delete_horizon_ms is None else delete_horizon_ms
        if horizon is not None:
            attributes |= DELETE_HORIZON
        deltas = [record.offset - header.base_offset for record in records]
        first, latest, body = _encode_records(records, deltas, horizon)
        body = compress(Codec(header.codec), body)
        if header.has_append_time:
            latest = header.max_timestamp
    else:
        attributes &= ~(CODEC_MASK | DELETE_HORIZON)
    tail = (
        attributes,
        header.last_offset_delta,
        first,
        latest,
        header.producer_id,
        header.producer_epoch,
        header.base_sequence,
        len(records),
    )
    return _join(header.base_offset, header.leader_epoch, tail, body)


def _join(base_offset: int, leader_epoch: int, tail: tuple[int, ...], body: bytes) -> bytes:
    summed = _TAIL.pack(*tail) + body
    length = _SUMMED - _UNCOUNTED + len(summed)
    head = _HEAD.pack(base_offset, length, leader_epoch, MAGIC, google_crc32c.value(summed))
    return head + summed


def _encode_records(
    records: Sequence[BatchRecord], deltas: Iterable[int], base_timestamp: int | None = None
) -> tuple[int, int, bytes]:
    """The base time, the latest time, and the bytes of ``records`` at these offset deltas.

    The base time is that of the first record unless another one is given.
    """
    first = records[0].timestamp if base_timestamp is None else base_timestamp
    latest = max(record.timestamp for record in records)
    parts = [
        _encode_record(record, record.timestamp - first, delta)
        for record, delta in zip(records, deltas, strict=True)
    ]
    return first, latest, b"".join(parts)


def _encode_record(record: BatchRecord, timestamp_delta: int, offset_delta: int) -> bytes:
    parts = [
        b"\0",  # attributes, of which there are none
        signed_varint(timestamp_delta),
        signed_varint(offset_delta),
        _encode_bytes(record.key),
        _encode_bytes(record.value),
        UNSIGNED[len(record.headers) << 1],
    ]
    for name, value in record.headers:
        parts += (_encode_bytes(name.encode()), _encode_bytes(value))
    body = b"".join(parts)
    return UNSIGNED[len(body) << 1] + body


def _encode_bytes(value: bytes | None) -> bytes:
    return b"\x01" if value is None else UNSIGNED[len(value) << 1] + value


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
    codec = header.codec
    if codec > Codec.ZSTD:
        text = f"there is no codec {codec}"
        raise KafkaError(ErrorCode.UNSUPPORTED_COMPRESSION_TYPE, text)
    body = bytes(buffer[position + HEADER_BYTES : position + header.length])
    if codec and header.count > 0:
        body = decompress(Codec(codec), body, bytes_max)
    try:
        return _decode_records(header, body)
    except (IndexError, ValueError) as error:
        text = f"a batch cannot be read: {error}"
        raise KafkaError(ErrorCode.INVALID_RECORD, text) from error


def _decode_records(header: BatchHeader, body: bytes) -> list[BatchRecord]:
    """All records. Numbers of one byte that are not negative are read in place, for speed: a byte
    with neither the highest bit (more follows) nor the lowest (negative) is twice the number.

    Nothing moves the position backwards, so one comparison at the end of a record finds every
    length that was wrong.
    """
    records: list[BatchRecord] = []
    base_offset, base_time = header.base_offset, header.base_timestamp
    append_time = header.max_timestamp if header.has_append_time else None
    end = len(body)
    if not 0 <= header.count <= end:
        raise ValueError(f"{header.count} records in {end} bytes")
    position = 0
    for _ in range(header.count):
        length, position = read_signed_varint(body, position)
        stop = position + length
        position += 1  # past the attributes, of which there are none
        if (twice := body[position]) & 0x81:
            time, position = read_signed_varint(body, position)
        else:
            time, position = twice >> 1, position + 1
        if (twice := body[position]) & 0x81:
            offset, position = read_signed_varint(body, position)
        else:
            offset, position = twice >> 1, position + 1
        key, position = _read_bytes(body, position)
        value, position = _read_bytes(body, position)
        headers: Headers = ()
        if body[position]:
            headers, position = _read_headers(body, position, stop)
        else:
            position += 1
        if position != stop:
            raise ValueError(f"a record of {length} bytes ends {stop - position} bytes early")
        time = base_time + time if append_time is None else append_time
        records.append(BatchRecord(key, value, headers, time, base_offset + offset))
    if position != end:
        raise ValueError(f"{end - position} bytes follow its last record")
    return records


def _read_headers(body: bytes, position: int, stop: int) -> tuple[Headers, int]:
    count, position = read_signed_varint(body, position)
    if not 0 <= count <= stop - position:
        raise ValueError(f"{count} headers in {stop - position} bytes")
    headers: list[tuple[str, bytes | None]] = []
    for _ in range(count):
        name, position = _read_bytes(body, position)
        if name is None:
            raise ValueError("the name of a header is null")
        value, position = _read_bytes(body, position)
        headers.append((name.decode(), value))
    return tuple(headers), position


def _read_bytes(body: bytes, position: int) -> tuple[bytes | None, int]:
    twice = body[position]
    if not twice & 0x81:
        end = position + 1 + (twice >> 1)
        return body[position + 1 : end], end
    length, position = read_signed_varint(body, position)
    if length >= 0:
        end = position + length
        return body[position:end], end
    if length != -1:
        raise ValueError(f"a key or a value of {length} bytes")
    return None, position

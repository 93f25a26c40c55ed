"""What a client's batch must be before it may enter a log, and with which code it is refused.

The order and the codes are those of Kafka (ProduceRequest, UnifiedLog and LogValidator there). All
is decided by the header, except where a topic asks for more: keys in compacted topics, and a limit
on old timestamps, are looked up in the records, which means to decompress them.

Pure. What depends on earlier batches (sequences, epochs) is decided by ``producers``, whether a
transaction is open here by the partition.
"""

from __future__ import annotations

from typing import Final, NoReturn

from mq.errors import ErrorCode, KafkaError
from mq.log.config import LONG_MAX, LogConfig
from mq.wire.batch import (
    HEADER_BYTES,
    NO_PRODUCER,
    NO_TIMESTAMP,
    BatchHeader,
    Buffer,
    Codec,
    check,
    decode_batch,
)

__all__ = ["admit"]

_UNCOUNTED_BYTES: Final = 12  # of a batch: what comes before what its length counts
_COUNTED_BYTES_MIN: Final = 14  # of any message format
_MAGIC_AT: Final = 16
_RECORD_BYTES_MIN: Final = 7  # an empty record
_PLAIN_BYTES: Final = 1024 * 1024  # so much may be looked into whatever max.message.bytes is,
_DECOMPRESSED_BYTES: Final = 8 * 1024 * 1024  # or so much, if it comes in few records


def admit(batch: Buffer, config: LogConfig, now_ms: int) -> BatchHeader:
    """The header of the one batch that a client sent for a partition, if it may be stored.

    Raises:
        KafkaError: MESSAGE_TOO_LARGE, CORRUPT_MESSAGE, INVALID_RECORD, INVALID_TIMESTAMP,
            UNSUPPORTED_COMPRESSION_TYPE or RECORD_LIST_TOO_LARGE.
    """
    if len(batch) < HEADER_BYTES or int.from_bytes(batch[8:12]) + _UNCOUNTED_BYTES != len(batch):
        _refuse_pieces(batch)
    if len(batch) > config.max_message_bytes:
        _refuse(
            ErrorCode.MESSAGE_TOO_LARGE,
            f"a batch of {len(batch)} bytes exceeds max.message.bytes={config.max_message_bytes}",
        )
    header = check(batch)
    if not Codec.NONE <= header.attributes <= Codec.ZSTD:  # more than a known codec is set
        _check_attributes(header)
    if header.producer_id != NO_PRODUCER.id and (
        header.producer_id < 0 or header.base_sequence < 0 or header.producer_epoch < 0
    ):
        _refuse(
            ErrorCode.INVALID_RECORD,
            f"producer {header.producer_id} sends epoch {header.producer_epoch} and sequence "
            f"{header.base_sequence}",
        )
    if header.base_offset or header.count <= 0 or header.last_offset_delta != header.count - 1:
        _refuse(
            ErrorCode.INVALID_RECORD,
            f"a batch of {header.count} records has the offsets {header.base_offset} to "
            f"{header.last_offset}",
        )
    if header.codec == Codec.NONE and header.count * _RECORD_BYTES_MIN > header.length:
        _refuse(
            ErrorCode.INVALID_RECORD, f"no {header.count} records fit into {header.length} bytes"
        )
    if not config.log_append_time:
        _check_times(header.base_timestamp, header.max_timestamp, config, now_ms)
    if config.compact or config.message_timestamp_before_max_ms != LONG_MAX:
        _check_records(batch, header, config, now_ms)
    if header.length > config.segment_bytes:
        _refuse(
            ErrorCode.RECORD_LIST_TOO_LARGE,
            f"a batch of {header.length} bytes exceeds segment.bytes={config.segment_bytes}",
        )
    return header


def _refuse_pieces(data: Buffer) -> NoReturn:
    """Say what is wrong with bytes that are not one whole batch, as Kafka reads them.

    Kafka does not count a batch that is cut off: what was sent then holds none.
    """
    if len(data) >= _UNCOUNTED_BYTES:
        counted = int.from_bytes(data[8:12], signed=True)
        if counted < _COUNTED_BYTES_MIN:
            _refuse(ErrorCode.CORRUPT_MESSAGE, f"a batch claims {counted} bytes")
        if len(data) > _MAGIC_AT and data[_MAGIC_AT] not in (0, 1, 2):
            _refuse(ErrorCode.CORRUPT_MESSAGE, f"a batch has magic {data[_MAGIC_AT]}")
        if len(data) > counted + _UNCOUNTED_BYTES:
            check(data)
            _refuse(ErrorCode.INVALID_RECORD, "there is more than one batch for the partition")
    _refuse(ErrorCode.INVALID_RECORD, "there is no whole batch of format 2 for the partition")


def _check_attributes(header: BatchHeader) -> None:
    if header.codec > Codec.ZSTD:
        _refuse(ErrorCode.UNSUPPORTED_COMPRESSION_TYPE, f"there is no codec {header.codec}")
    if header.has_append_time:
        _refuse(ErrorCode.INVALID_TIMESTAMP, "only a broker sets LogAppendTime")
    if header.is_control:
        _refuse(ErrorCode.INVALID_RECORD, "a client may not write control records")


def _check_times(first: int, latest: int, config: LogConfig, now_ms: int) -> None:
    """Hold the time of the first record and the latest of all against the bounds of the topic."""
    earliest, latest = min(first, latest), max(first, latest)
    if latest != NO_TIMESTAMP and latest - now_ms > config.message_timestamp_after_max_ms:
        _refuse(
            ErrorCode.INVALID_TIMESTAMP,
            f"timestamp {latest} lies more than {config.message_timestamp_after_max_ms} ms ahead "
            f"of the broker's {now_ms}",
        )
    if earliest != NO_TIMESTAMP and now_ms - earliest > config.message_timestamp_before_max_ms:
        _refuse(
            ErrorCode.INVALID_TIMESTAMP,
            f"timestamp {earliest} lies more than {config.message_timestamp_before_max_ms} ms "
            f"behind the broker's {now_ms}",
        )


def _check_records(batch: Buffer, header: BatchHeader, config: LogConfig, now_ms: int) -> None:
    """Look into every record, unless the batch unfolds into far more than a client may send: pure
    repetition shrinks ten-thousandfold. Kafka's producers split a batch that is too large."""
    if header.count * _RECORD_BYTES_MIN > max(config.max_message_bytes, _PLAIN_BYTES):
        _refuse(
            ErrorCode.MESSAGE_TOO_LARGE,
            f"a batch of {header.count} records, which have to be looked into, exceeds "
            f"max.message.bytes={config.max_message_bytes} when decompressed",
        )
    bytes_max = max(_DECOMPRESSED_BYTES, 8 * config.max_message_bytes)
    for record in decode_batch(batch, bytes_max=bytes_max):
        if config.compact and record.key is None:
            _refuse(ErrorCode.INVALID_RECORD, "a compacted topic takes no record without a key")
        if not config.log_append_time:
            _check_times(record.timestamp, record.timestamp, config, now_ms)


def _refuse(code: ErrorCode, message: str) -> NoReturn:
    raise KafkaError(code, message)

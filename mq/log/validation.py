"""What a client's batch must be before it may enter a log, and with which code it is refused.

The order and the codes are those of Kafka (ProduceRequest, UnifiedLog and LogValidator there). All
is decided by the header, except where a topic asks for more: keys in compacted topics, and a limit
on old timestamps, are looked up in the records, which means to decompress them.

Pure. What depends on earlier batches (sequences, epochs) is decided by ``producers``.
"""

from __future__ import annotations

from typing import Final, NoReturn

from mq.errors import ErrorCode, KafkaError
from mq.log.config import LONG_MAX, LogConfig
from mq.wire.batch import NO_TIMESTAMP, BatchHeader, Codec, check, decode_batch

__all__ = ["admit"]

_RECORD_BYTES_MIN: Final = 7  # an empty record
_PLAIN_BYTES: Final = 1024 * 1024  # so much may be looked into whatever max.message.bytes is,
_DECOMPRESSED_BYTES: Final = 8 * 1024 * 1024  # or so much, if it comes in few records


def admit(batch: bytes, config: LogConfig, now_ms: int) -> BatchHeader:
    """The header of the one batch that a client sent for a partition, if it may be stored.

    Raises:
        KafkaError: MESSAGE_TOO_LARGE, CORRUPT_MESSAGE, INVALID_RECORD, INVALID_TIMESTAMP,
            UNSUPPORTED_COMPRESSION_TYPE, RECORD_LIST_TOO_LARGE, or INVALID_TXN_STATE for a
            transaction that was not begun here.
    """
    if not batch:
        _refuse(ErrorCode.INVALID_RECORD, "there is no batch for the partition")
    if len(batch) > config.max_message_bytes:
        _refuse(
            ErrorCode.MESSAGE_TOO_LARGE,
            f"a batch of {len(batch)} bytes exceeds max.message.bytes={config.max_message_bytes}",
        )
    header = check(batch)
    if header.length != len(batch):
        _refuse(ErrorCode.INVALID_RECORD, "there is more than one batch for the partition")
    if not Codec.NONE <= header.attributes <= Codec.ZSTD:  # more than a known codec is set
        _check_attributes(header)
    if header.producer_id >= 0 and (header.base_sequence < 0 or header.producer_epoch < 0):
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


def _check_attributes(header: BatchHeader) -> None:
    if header.codec > Codec.ZSTD:
        _refuse(ErrorCode.UNSUPPORTED_COMPRESSION_TYPE, f"there is no codec {header.codec}")
    if header.has_append_time:
        _refuse(ErrorCode.INVALID_TIMESTAMP, "only a broker sets LogAppendTime")
    if header.is_control:
        _refuse(ErrorCode.INVALID_RECORD, "a client may not write control records")
    if header.is_transactional:
        # A transaction must be begun through its coordinator before its first record comes
        # (KIP-890); there is no transaction coordinator yet.
        _refuse(ErrorCode.INVALID_TXN_STATE, "the partition is not part of a transaction")


def _check_times(earliest: int, latest: int, config: LogConfig, now_ms: int) -> None:
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


def _check_records(batch: bytes, header: BatchHeader, config: LogConfig, now_ms: int) -> None:
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

"""What a client may not store, each with Kafka's code."""

from __future__ import annotations

import struct
from collections.abc import Callable

import google_crc32c
import pytest

from mq.errors import ErrorCode, KafkaError
from mq.log.config import LogConfig
from mq.log.validation import admit
from mq.wire.batch import (
    CONTROL,
    LOG_APPEND_TIME,
    BatchRecord,
    Codec,
    Producer,
    encode_batch,
)

NOW = 1_700_000_000_000
DAY = 24 * 60 * 60 * 1000

Batch = Callable[..., bytes]


def changed(batch: bytes, position: int, layout: str, *values: int) -> bytes:
    """The batch with other header fields and the checksum that fits them."""
    data = bytearray(batch)
    struct.pack_into(layout, data, position, *values)
    struct.pack_into(">I", data, 17, google_crc32c.value(bytes(data[21:])))
    return bytes(data)


def code_of(batch: bytes, **config: object) -> ErrorCode:
    with pytest.raises(KafkaError) as refused:
        admit(batch, LogConfig(**config), NOW)  # type: ignore[arg-type]
    return refused.value.code


def test_a_whole_batch_is_admitted_with_its_header(batch: Batch) -> None:
    header = admit(batch(3, producer=Producer(7, 0, 5)), LogConfig(), NOW)
    assert (header.count, header.producer_id, header.base_sequence) == (3, 7, 5)


def test_no_batch_and_two_batches_are_invalid(batch: Batch) -> None:
    assert code_of(b"") == ErrorCode.INVALID_RECORD
    assert code_of(batch() + batch()) == ErrorCode.INVALID_RECORD
    assert code_of(batch() + b"\0") == ErrorCode.INVALID_RECORD


def test_every_flipped_bit_under_the_checksum_is_found(batch: Batch) -> None:
    whole = batch()
    for bit in range(17 * 8, len(whole) * 8):
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        assert code_of(bytes(damaged)) == ErrorCode.CORRUPT_MESSAGE


def test_a_batch_that_is_cut_off_anywhere_is_no_batch(batch: Batch) -> None:
    whole = batch()
    for length in range(1, len(whole)):
        assert code_of(whole[:length]) == ErrorCode.INVALID_RECORD


def test_more_records_than_fit_are_invalid_without_a_look_at_them(batch: Batch) -> None:
    claimed = changed(changed(batch(), 23, ">i", 2**31 - 2), 57, ">i", 2**31 - 1)
    assert code_of(claimed) == ErrorCode.INVALID_RECORD


def test_old_message_formats_are_invalid(batch: Batch) -> None:
    for magic in (0, 1):
        assert code_of(changed(batch(), 16, ">b", magic)) == ErrorCode.INVALID_RECORD


def test_counts_must_fit_the_offsets(batch: Batch) -> None:
    assert code_of(changed(batch(2), 57, ">i", 3)) == ErrorCode.INVALID_RECORD
    assert code_of(changed(batch(2), 23, ">i", 0)) == ErrorCode.INVALID_RECORD
    assert code_of(changed(changed(batch(1), 57, ">i", 0), 23, ">i", -1)) == (
        ErrorCode.INVALID_RECORD
    )
    assert code_of(changed(batch(1), 0, ">q", 5)) == ErrorCode.INVALID_RECORD


def test_a_batch_above_the_limits_is_too_large(batch: Batch) -> None:
    large = batch(value=b"x" * 1000)
    assert admit(large, LogConfig(max_message_bytes=len(large)), NOW)
    assert code_of(large, max_message_bytes=len(large) - 1) == ErrorCode.MESSAGE_TOO_LARGE
    assert code_of(large, segment_bytes=len(large) - 1) == ErrorCode.RECORD_LIST_TOO_LARGE


def test_clients_write_no_control_records_and_no_times_of_the_broker(batch: Batch) -> None:
    assert code_of(changed(batch(), 21, ">h", CONTROL)) == ErrorCode.INVALID_RECORD
    assert code_of(changed(batch(), 21, ">h", LOG_APPEND_TIME)) == ErrorCode.INVALID_TIMESTAMP


def test_an_unknown_codec_is_refused(batch: Batch) -> None:
    for codec in (5, 6, 7):
        assert code_of(changed(batch(), 21, ">h", codec)) == (
            ErrorCode.UNSUPPORTED_COMPRESSION_TYPE
        )


def test_attribute_bits_without_a_meaning_are_left_alone(batch: Batch) -> None:
    assert admit(changed(batch(), 21, ">h", 0x80), LogConfig(), NOW).attributes == 0x80


def test_a_producer_id_needs_an_epoch_and_a_sequence(batch: Batch) -> None:
    assert code_of(batch(producer=Producer(7, -1, 0))) == ErrorCode.INVALID_RECORD
    assert code_of(batch(producer=Producer(7, 0, -1))) == ErrorCode.INVALID_RECORD


def test_timestamps_too_far_ahead_are_refused(batch: Batch) -> None:
    limit = {"message_timestamp_after_max_ms": 1000}
    assert admit(batch(timestamp=NOW + 1000), LogConfig(**limit), NOW)
    assert code_of(batch(timestamp=NOW + 1001), **limit) == ErrorCode.INVALID_TIMESTAMP
    assert code_of(batch(2, timestamp=NOW, step=1001), **limit) == ErrorCode.INVALID_TIMESTAMP
    ignoring = LogConfig(message_timestamp_type="LogAppendTime", **limit)  # type: ignore[arg-type]
    assert admit(batch(timestamp=NOW + DAY), ignoring, NOW)


def test_timestamps_too_far_behind_are_refused_in_the_middle_of_a_batch_too(batch: Batch) -> None:
    limit = {"message_timestamp_before_max_ms": 1000}
    assert admit(batch(timestamp=NOW - DAY), LogConfig(), NOW)
    assert admit(batch(timestamp=NOW - 1000), LogConfig(**limit), NOW)
    assert code_of(batch(timestamp=NOW - 1001), **limit) == ErrorCode.INVALID_TIMESTAMP
    falling = batch(2, timestamp=NOW, step=-1001)
    assert code_of(falling, **limit) == ErrorCode.INVALID_TIMESTAMP


def test_records_without_a_timestamp_have_no_bounds(batch: Batch) -> None:
    limits = LogConfig(message_timestamp_before_max_ms=1, message_timestamp_after_max_ms=1)
    assert admit(batch(timestamp=-1), limits, NOW)


@pytest.mark.parametrize("codec", [Codec.NONE, Codec.GZIP])
def test_a_compacted_topic_wants_a_key_in_every_record(batch: Batch, codec: Codec) -> None:
    assert admit(batch(3, codec=codec), LogConfig(cleanup_policy=("compact",)), NOW)
    keyless = batch(3, key=None, codec=codec)
    assert admit(keyless, LogConfig(), NOW)
    assert code_of(keyless, cleanup_policy=("compact",)) == ErrorCode.INVALID_RECORD


def test_a_small_batch_that_unfolds_into_very_much_is_too_large_to_be_looked_into() -> None:
    compacted = {"cleanup_policy": ("compact",)}
    many = encode_batch([BatchRecord(b"", b"")] * 200_000, attributes=Codec.GZIP)
    large = encode_batch([BatchRecord(b"k", bytes(9 * 1024 * 1024))], attributes=Codec.GZIP)
    for batch in (many, large):
        assert len(batch) < LogConfig().max_message_bytes
        assert admit(batch, LogConfig(), NOW)  # nobody has to look
        assert code_of(batch, **compacted) == ErrorCode.MESSAGE_TOO_LARGE
        assert admit(batch, LogConfig(max_message_bytes=4 * 1024 * 1024, **compacted), NOW)


def test_the_broker_s_time_makes_the_records_own_irrelevant(batch: Batch) -> None:
    config = LogConfig(
        cleanup_policy=("compact",),
        message_timestamp_type="LogAppendTime",
        message_timestamp_before_max_ms=1,
    )
    assert admit(batch(timestamp=5), config, NOW)

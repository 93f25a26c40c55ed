"""Batches get their place without their records being touched."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from mq.log.placement import COPIED_BYTES_MAX, place
from mq.wire.batch import batches, check, decode_batch

NOW = 1_700_000_000_000


@pytest.mark.parametrize("value", [b"small", b"x" * (COPIED_BYTES_MAX + 1)])
def test_only_offset_and_epoch_change(batch: Callable[..., bytes], value: bytes) -> None:
    sent = batch(3, value=value) + batch(2, value=value, timestamp=NOW + 5)
    headers = [header for _, header in batches(sent)]
    placed = place(sent, headers, 100, 7)
    data = b"".join(bytes(piece) for piece in placed.buffers)
    found = list(batches(data))
    assert [(h.base_offset, h.last_offset, h.leader_epoch) for _, h in found] == [
        (100, 102, 7),
        (103, 104, 7),
    ]
    assert (placed.end_offset, placed.latest) == (105, NOW + 5)
    for (position, header), original in zip(found, headers, strict=True):
        check(data, position)
        assert header._replace(base_offset=0, leader_epoch=-1) == original


def test_the_broker_s_time_is_set_for_all_records_and_summed(batch: Callable[..., bytes]) -> None:
    sent = batch(3, timestamp=5, step=1)
    placed = place(sent, [header for _, header in batches(sent)], 100, 0, NOW)
    data = b"".join(bytes(piece) for piece in placed.buffers)
    header = check(data)
    assert header.has_append_time
    assert header.max_timestamp == placed.latest == NOW
    assert [record.timestamp for record in decode_batch(data)] == [NOW] * 3

"""The same messages through kio, an independent implementation from the same schemas."""

from __future__ import annotations

import io

import kio.index
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kio.serial import entity_reader, entity_writer

from mq.wire import schema
from mq.wire.messages import REQUESTS


def through_kio(theirs, data):
    """Have kio read ``data`` and write what it understood."""
    entity, size = entity_reader(theirs)(data, 0)
    assert size == len(data)
    buffer = io.BytesIO()
    entity_writer(theirs)(buffer, entity)
    return buffer.getvalue()


@pytest.mark.parametrize("direction", ["request", "response"])
@pytest.mark.parametrize("key", REQUESTS, ids=lambda key: REQUESTS[key].__module__.split(".")[-1])
def test_kio_reads_what_we_write_and_we_read_what_it_writes(key, direction, a):
    request = REQUESTS[key]
    kind = request if direction == "request" else request.RESPONSE
    load = getattr(kio.index, f"load_{direction}_schema")

    @settings(max_examples=2, suppress_health_check=[*HealthCheck])
    @given(st.data())
    def holds(data):
        for version in kind.VERSIONS:
            message = data.draw(a(kind, version), label=f"v{version}")
            encoded = schema.encode(message, version)
            assert through_kio(load(key, version), encoded) == encoded
            assert schema.decode(kind, encoded, version) == (message, len(encoded))

    holds()

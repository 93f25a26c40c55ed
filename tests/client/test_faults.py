"""Errors of librdkafka become those of Kafka that say the same, or ours."""

from __future__ import annotations

import pytest
from confluent_kafka import KafkaError as RawError
from confluent_kafka import KafkaException

from mq.client.faults import ClientError, translate, translate_exception
from mq.errors import BrokerUnreachable, ErrorCode, KafkaError, MqError


@pytest.mark.parametrize("code", [c for c in ErrorCode if c != ErrorCode.NONE])
def test_every_code_of_kafka_keeps_its_number(code: ErrorCode) -> None:
    told = translate(RawError(int(code)), "here")
    assert isinstance(told, KafkaError)
    assert told.code == code
    assert str(told).startswith("here: ")


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (RawError._TRANSPORT, BrokerUnreachable),
        (RawError._ALL_BROKERS_DOWN, BrokerUnreachable),
        (RawError._FATAL, ClientError),
        (RawError._STATE, ClientError),
        (9_999, ClientError),
    ],
)
def test_codes_of_librdkafkas_own_become_ours(code: int, kind: type[MqError]) -> None:
    assert type(translate(RawError(code))) is kind


def test_a_record_that_was_never_acknowledged_timed_out() -> None:
    told = translate(RawError(RawError._MSG_TIMED_OUT))
    assert isinstance(told, KafkaError)
    assert told.code == ErrorCode.REQUEST_TIMED_OUT
    assert told.retriable


def test_exceptions_are_told_as_what_they_hold() -> None:
    told = translate_exception(KafkaException(RawError(RawError.MSG_SIZE_TOO_LARGE)))
    assert isinstance(told, KafkaError)
    assert told.code == ErrorCode.MESSAGE_TOO_LARGE
    assert isinstance(translate_exception(KafkaException("odd")), ClientError)

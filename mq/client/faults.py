"""confluent-kafka's errors in mq's words.

librdkafka has codes of its own below -1 for what happens on this side of the wire; those that say
the same as one of Kafka's become that one.
"""

from __future__ import annotations

from typing import Final

from confluent_kafka import KafkaError as RawError
from confluent_kafka import KafkaException

from mq.errors import BrokerUnreachable, ErrorCode, KafkaError, MqError

__all__ = ["ClientError", "translate", "translate_exception"]


class ClientError(MqError):
    """librdkafka gave up for a reason of its own. Its message tells; restarting is the remedy."""


_UNREACHABLE: Final = frozenset(
    {
        RawError._TRANSPORT,
        RawError._ALL_BROKERS_DOWN,
        RawError._RESOLVE,
        RawError._WAIT_COORD,
    }
)

_SAME: Final = {
    RawError._MSG_TIMED_OUT: ErrorCode.REQUEST_TIMED_OUT,
    RawError._TIMED_OUT: ErrorCode.REQUEST_TIMED_OUT,
    RawError._TIMED_OUT_QUEUE: ErrorCode.REQUEST_TIMED_OUT,
    RawError._UNKNOWN_TOPIC: ErrorCode.UNKNOWN_TOPIC_OR_PARTITION,
    RawError._UNKNOWN_PARTITION: ErrorCode.UNKNOWN_TOPIC_OR_PARTITION,
    RawError._AUTO_OFFSET_RESET: ErrorCode.OFFSET_OUT_OF_RANGE,
    RawError._UNSUPPORTED_FEATURE: ErrorCode.UNSUPPORTED_VERSION,
    RawError._AUTHENTICATION: ErrorCode.SASL_AUTHENTICATION_FAILED,
}


def translate(error: RawError, about: str = "") -> MqError:
    """The error as mq raises it; ``about`` opens the sentence."""
    sentence = f"{about}: {error.str()}" if about else error.str()
    code = error.code()
    if code in _UNREACHABLE:
        return BrokerUnreachable(sentence)
    if code in _SAME:
        return KafkaError(_SAME[code], sentence)
    if code >= ErrorCode.UNKNOWN_SERVER_ERROR:
        try:
            return KafkaError(ErrorCode(code), sentence)
        except ValueError:
            pass  # a code younger than this list
    return ClientError(f"{sentence} ({error.name()})")


def translate_exception(error: KafkaException, about: str = "") -> MqError:
    """As :func:`translate`, for what confluent-kafka raises."""
    inner = error.args[0]
    return translate(inner, about) if isinstance(inner, RawError) else ClientError(str(inner))

"""DeleteTopics (20), versions 1-6: remove topics by name, or by id (version 6, KIP-516).

The topic is gone as soon as the record that says so is in the metadata log; its files go after that
record is on stable storage.

Left out: nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mq.broker.call import Call
from mq.broker.catalog import Topic
from mq.errors import ErrorCode
from mq.wire.fields import ZERO_UUID, Message
from mq.wire.messages.delete_topics import (
    DeletableTopicResult,
    DeleteTopicsRequest,
    DeleteTopicsResponse,
    DeleteTopicState,
)

if TYPE_CHECKING:
    from mq.broker.broker import Broker

__all__ = ["handle"]


def handle(broker: Broker, call: Call[DeleteTopicsRequest]) -> None:
    request = call.request
    wanted = request.topics or [DeleteTopicState(name=name) for name in request.topic_names]
    records: list[Message] = []
    results: list[DeletableTopicResult] = []
    named: set[str] = set()
    for state in wanted:
        topic, result = _find(broker, state)
        if topic is not None and topic.name in named:
            result.error_code = ErrorCode.INVALID_REQUEST
            result.error_message = "Duplicate topic."
        elif topic is not None and topic.internal:
            result.error_code = ErrorCode.TOPIC_DELETION_DISABLED
            result.error_message = "The broker keeps its state in that topic."
        elif topic is not None:
            named.add(topic.name)
            records += broker.catalog.delete_topic(topic)
        results.append(result)
    broker.change(call, records, DeleteTopicsResponse(responses=results), results)


def _find(broker: Broker, state: DeleteTopicState) -> tuple[Topic | None, DeletableTopicResult]:
    result = DeletableTopicResult(name=state.name, topic_id=state.topic_id)
    if state.name is None:
        topic = broker.catalog.by_id.get(state.topic_id)
        unknown = ErrorCode.UNKNOWN_TOPIC_ID
    elif state.topic_id != ZERO_UUID:
        result.error_code = ErrorCode.INVALID_REQUEST
        result.error_message = "Give a name or an id, not both."
        return None, result
    else:
        topic = broker.catalog.topics.get(state.name)
        unknown = ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
    if topic is None:
        result.error_code = unknown
    else:
        result.name, result.topic_id = topic.name, topic.id
    return topic, result

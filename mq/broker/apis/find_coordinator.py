"""FindCoordinator (10), versions 0-6: who coordinates a group or transactions. This node does.

Version 4 asks for many keys at once (KIP-699). The first question makes the topic in which groups,
or transactions, are kept.

Left out: share coordinators (INVALID_REQUEST).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from mq.broker.call import Call
from mq.broker.catalog import NODE_ID
from mq.errors import ErrorCode, KafkaError
from mq.wire.messages.find_coordinator import (
    Coordinator,
    FindCoordinatorRequest,
    FindCoordinatorResponse,
)

if TYPE_CHECKING:
    from mq.broker.broker import Broker

__all__ = ["handle"]

_GROUP: Final = 0
_TRANSACTION: Final = 1
_FIRST_BATCHED: Final = 4


def handle(broker: Broker, call: Call[FindCoordinatorRequest]) -> None:
    request = call.request
    try:
        _make_topic(broker, request.key_type)
    except KafkaError as error:
        refusal: KafkaError | None = error
    else:
        refusal = None
    keys = request.coordinator_keys if call.version >= _FIRST_BATCHED else [request.key]
    found = [_coordinator(call, key, refusal) for key in keys]
    if call.version >= _FIRST_BATCHED:
        response = FindCoordinatorResponse(coordinators=found)
    else:
        response = FindCoordinatorResponse(
            error_code=found[0].error_code,
            error_message=found[0].error_message,
            node_id=found[0].node_id,
            host=found[0].host,
            port=found[0].port,
        )
    broker.reply_when_known(call, response)


def _make_topic(broker: Broker, key_type: int) -> None:
    if key_type == _GROUP:
        broker.offsets_topic()
    elif key_type == _TRANSACTION:
        broker.transaction_topic()
    else:
        raise KafkaError(
            ErrorCode.INVALID_REQUEST, f"there are no coordinators of type {key_type} here"
        )


def _coordinator(
    call: Call[FindCoordinatorRequest], key: str, refusal: KafkaError | None
) -> Coordinator:
    if refusal is not None:
        return Coordinator(
            key=key,
            node_id=-1,
            host="",
            port=-1,
            error_code=refusal.code,
            error_message=refusal.message,
        )
    host, port = call.advertised
    message = "" if call.version >= _FIRST_BATCHED else "NONE"  # as Kafka says it
    return Coordinator(key=key, node_id=NODE_ID, host=host, port=port, error_message=message)

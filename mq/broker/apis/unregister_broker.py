"""UnregisterBroker (64), version 0: forget a broker that is gone for good (KIP-631).

The only broker is the one that is asked. Kafka's controller would forget it, and have it register
again.

Left out: forgetting the only broker, which is refused.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mq.broker.call import Call
from mq.broker.catalog import NODE_ID
from mq.errors import ErrorCode
from mq.wire.messages.unregister_broker import UnregisterBrokerRequest, UnregisterBrokerResponse

if TYPE_CHECKING:
    from mq.broker.broker import Broker

__all__ = ["handle"]


def handle(_broker: Broker, call: Call[UnregisterBrokerRequest]) -> None:
    wanted = call.request.broker_id
    if wanted == NODE_ID:
        code, problem = ErrorCode.INVALID_REQUEST, "is the only one, and alive"
    else:
        code, problem = ErrorCode.BROKER_ID_NOT_REGISTERED, "is not registered"
    call.reply(
        UnregisterBrokerResponse(error_code=code, error_message=f"Broker {wanted} {problem}.")
    )

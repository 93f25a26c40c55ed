"""DescribeCluster (60), versions 0-2: the brokers (KIP-700). There is one, and it is never fenced.

Endpoint type 1, brokers, is served; 2, controllers, is the wrong address to ask here (KIP-919).

Left out: controllers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from mq.broker.apis.metadata import ALL_CLUSTER_OPERATIONS
from mq.broker.call import Call
from mq.broker.catalog import NODE_ID
from mq.errors import ErrorCode
from mq.wire.messages.describe_cluster import (
    DescribeClusterBroker,
    DescribeClusterRequest,
    DescribeClusterResponse,
)

if TYPE_CHECKING:
    from mq.broker.broker import Broker

__all__ = ["handle"]

_BROKERS: Final = 1
_CONTROLLERS: Final = 2


def handle(broker: Broker, call: Call[DescribeClusterRequest]) -> None:
    request = call.request
    if request.endpoint_type != _BROKERS:
        call.reply(_refusal(request.endpoint_type))
        return
    host, port = call.advertised
    response = DescribeClusterResponse(
        cluster_id=broker.cluster_id,
        controller_id=NODE_ID,
        brokers=[DescribeClusterBroker(broker_id=NODE_ID, host=host, port=port)],
    )
    if request.include_cluster_authorized_operations:
        response.cluster_authorized_operations = ALL_CLUSTER_OPERATIONS
    call.reply(response)


def _refusal(endpoint_type: int) -> DescribeClusterResponse:
    if endpoint_type == _CONTROLLERS:
        code = ErrorCode.MISMATCHED_ENDPOINT_TYPE
        message = "This is a listener for clients, not for controllers."
    else:
        code = ErrorCode.UNSUPPORTED_ENDPOINT_TYPE
        message = f"There is no endpoint type {endpoint_type}."
    return DescribeClusterResponse(error_code=code, error_message=message)

"""ListConfigResources (74), versions 0-1: what has settings (KIP-1142).

Version 0 knows client metrics only, of which there are none. Left out: broker loggers, groups and
client metrics, which have no settings of their own here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mq.broker.apis.describe_configs import BROKER, BROKER_LOGGER, CLIENT_METRICS, GROUP, TOPIC
from mq.broker.call import Call
from mq.broker.catalog import NODE_ID
from mq.errors import ErrorCode
from mq.wire.messages.list_config_resources import (
    ConfigResource,
    ListConfigResourcesRequest,
    ListConfigResourcesResponse,
)

if TYPE_CHECKING:
    from mq.broker.broker import Broker

__all__ = ["handle"]


def handle(broker: Broker, call: Call[ListConfigResourcesRequest]) -> None:
    names = {
        GROUP: (),
        CLIENT_METRICS: (),
        BROKER_LOGGER: (),
        BROKER: (str(NODE_ID),),
        TOPIC: tuple(broker.catalog.topics),
    }
    asked = {CLIENT_METRICS} if call.version == 0 else set(call.request.resource_types)
    if asked - names.keys():
        call.reply(ListConfigResourcesResponse(error_code=ErrorCode.UNSUPPORTED_VERSION))
        return
    response = ListConfigResourcesResponse(
        config_resources=[
            ConfigResource(name, kind)
            for kind, listed in names.items()
            if kind in asked or not asked
            for name in listed
        ]
    )
    broker.reply_when_known(call, response)

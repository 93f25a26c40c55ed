"""DescribeClientQuotas (48), versions 0-1: the quotas there are (KIP-546).

Left out: nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from mq.broker.call import Call
from mq.broker.client_quotas import CLIENT_ID, IP, USER, Component
from mq.errors import ErrorCode, KafkaError
from mq.wire.messages.describe_client_quotas import (
    ComponentData,
    DescribeClientQuotasRequest,
    DescribeClientQuotasResponse,
    EntityData,
    EntryData,
    ValueData,
)

if TYPE_CHECKING:
    from mq.broker.broker import Broker

__all__ = ["handle"]

_EXACT: Final = 0
_DEFAULT: Final = 1
_ANY: Final = 2


def handle(broker: Broker, call: Call[DescribeClientQuotasRequest]) -> None:
    request = call.request
    try:
        components = _components(request)
    except KafkaError as error:
        call.reply(
            DescribeClientQuotasResponse(
                error_code=error.code, error_message=error.message, entries=None
            )
        )
        return
    response = DescribeClientQuotasResponse(
        error_message=None,
        entries=[
            EntryData(
                [EntityData(kind, name) for kind, name in entity],
                [ValueData(key, value) for key, value in values.items()],
            )
            for entity, values in broker.catalog.quotas.matching(components, strict=request.strict)
        ],
    )
    broker.reply_when_known(call, response)


def _components(request: DescribeClientQuotasRequest) -> list[Component]:
    components: dict[str, Component] = {}
    for data in request.components:
        if data.entity_type in components:
            raise KafkaError(
                ErrorCode.INVALID_REQUEST,
                f"Entity type {data.entity_type} cannot appear more than once in the filter.",
            )
        components[data.entity_type] = _component(data)
    if IP in components and len(components) > 1:
        raise KafkaError(
            ErrorCode.INVALID_REQUEST, "An address cannot be combined with a user or a client id."
        )
    return list(components.values())


def _component(data: ComponentData) -> Component:
    kind, name = data.entity_type, data.match
    if not kind:
        raise KafkaError(ErrorCode.INVALID_REQUEST, "Invalid empty entity type.")
    if data.match_type not in (_EXACT, _DEFAULT, _ANY):
        raise KafkaError(ErrorCode.INVALID_REQUEST, f"Unknown match type {data.match_type}")
    if (data.match_type == _EXACT) != (name is not None):
        raise KafkaError(
            ErrorCode.INVALID_REQUEST, "A name is to be given for an exact match, and only then."
        )
    if kind not in (USER, CLIENT_ID, IP):
        raise KafkaError(ErrorCode.UNSUPPORTED_VERSION, f"Unsupported entity type {kind}")
    return Component(kind, None if data.match_type == _ANY else (name,))

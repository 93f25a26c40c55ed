"""AlterClientQuotas (49), versions 0-1: set or remove quotas (KIP-546).

They are stored and told, see :mod:`mq.broker.client_quotas`. Left out: holding anybody to them;
names of hosts in place of addresses, which Kafka resolves; values that are no number.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mq.broker.call import Call
from mq.broker.client_quotas import Entity, entity_of
from mq.errors import ErrorCode, KafkaError
from mq.wire.fields import Message
from mq.wire.messages.alter_client_quotas import (
    AlterClientQuotasRequest,
    AlterClientQuotasResponse,
    EntityData,
    ResponseEntryData,
)

if TYPE_CHECKING:
    from mq.broker.broker import Broker

__all__ = ["handle"]


def handle(broker: Broker, call: Call[AlterClientQuotasRequest]) -> None:
    records: list[Message] = []
    seen: set[Entity] = set()
    results: list[ResponseEntryData] = []
    for entry in call.request.entries:
        entity = entity_of((part.entity_type, part.entity_name) for part in entry.entity)
        result = ResponseEntryData(
            error_message=None, entity=[EntityData(kind, name) for kind, name in entity]
        )
        try:
            if entity in seen:
                raise KafkaError(ErrorCode.INVALID_REQUEST, "The entity is named twice.")
            seen.add(entity)
            changes = ((op.key, None if op.remove else op.value) for op in entry.ops)
            records += broker.catalog.quotas.change(entity, changes)
        except KafkaError as error:
            result.error_code, result.error_message = error.code, error.message
        results.append(result)
    response = AlterClientQuotasResponse(entries=results)
    if call.request.validate_only:
        broker.reply_when_known(call, response)
    else:
        broker.change(call, records, response, results)

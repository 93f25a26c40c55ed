"""InitProducerId (22), versions 0-5: an identity for an idempotent producer (KIP-98).

Ids come from blocks that are reserved in the metadata log before the first of them is handed out,
so no id is ever given twice. An idempotent producer that asks again, because it lost track
(KIP-360), gets a new id with epoch 0.

Left out: transactional ids (TRANSACTIONAL_ID_AUTHORIZATION_FAILED, which every client takes as
final); version 6 and two-phase commit (KIP-939), which Kafka 4.3 does not serve either.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mq.broker.call import Call
from mq.errors import ErrorCode, KafkaError
from mq.wire.messages.init_producer_id import InitProducerIdRequest, InitProducerIdResponse

if TYPE_CHECKING:
    from mq.broker.broker import Broker

__all__ = ["handle"]


def handle(broker: Broker, call: Call[InitProducerIdRequest]) -> None:
    if call.request.transactional_id is not None:
        call.reply(_refusal(_code_for(call.request.transactional_id)))
        return
    try:
        producer_id = broker.take_producer_id()
    except KafkaError as error:
        call.reply(_refusal(error.code))
        return
    response = InitProducerIdResponse(producer_id=producer_id, producer_epoch=0)
    broker.reply_when_known(call, response)


def _code_for(transactional_id: str) -> ErrorCode:
    if not transactional_id:
        return ErrorCode.INVALID_REQUEST
    return ErrorCode.TRANSACTIONAL_ID_AUTHORIZATION_FAILED


def _refusal(code: ErrorCode) -> InitProducerIdResponse:
    return InitProducerIdResponse(error_code=code, producer_id=-1, producer_epoch=-1)

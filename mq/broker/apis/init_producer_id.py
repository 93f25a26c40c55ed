"""InitProducerId (22), versions 0-5: an identity for an idempotent producer (KIP-98).

Ids come from blocks that are reserved in the metadata log before the first of them is handed out,
so no id is ever given twice. An idempotent producer that asks again, because it lost track
(KIP-360), gets a new id with epoch 0.

With a transactional id it is the transaction coordinator that answers; see
:mod:`mq.coordinators.transactions`.

Left out: version 6 and two-phase commit (KIP-939), which Kafka 4.3 does not serve either.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from mq.broker.call import Call
from mq.errors import ErrorCode, KafkaError
from mq.wire.messages.init_producer_id import InitProducerIdRequest, InitProducerIdResponse

if TYPE_CHECKING:
    from mq.broker.broker import Broker

__all__ = ["handle"]

_NONE: Final = -1


def handle(broker: Broker, call: Call[InitProducerIdRequest]) -> None:
    request = call.request
    if (request.producer_id == _NONE) != (request.producer_epoch == _NONE):
        call.reply(_refusal(ErrorCode.INVALID_REQUEST))
        return
    if request.transactional_id is not None:
        broker.transactions.handle(call)
        return
    try:
        producer_id = broker.take_producer_id()
    except KafkaError as error:
        call.reply(_refusal(error.code))
        return
    response = InitProducerIdResponse(producer_id=producer_id, producer_epoch=0)
    broker.reply_when_known(call, response)


def _refusal(code: ErrorCode) -> InitProducerIdResponse:
    return InitProducerIdResponse(error_code=code, producer_id=-1, producer_epoch=-1)

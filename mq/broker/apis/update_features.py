"""UpdateFeatures (57), versions 0-2: change the finalized levels of features (KIP-584, KIP-778).

This broker finalizes the highest level it supports, at every start, so the level that is in force
is granted and every other refused. All or nothing: one refusal refuses the request, as in Kafka.

Left out: going back to a lower level, which Kafka allows for some features.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from mq.broker.call import Call
from mq.broker.catalog import FEATURES
from mq.errors import ErrorCode, KafkaError
from mq.wire.messages.update_features import (
    FeatureUpdateKey,
    UpdatableFeatureResult,
    UpdateFeaturesRequest,
    UpdateFeaturesResponse,
)

if TYPE_CHECKING:
    from mq.broker.broker import Broker

__all__ = ["handle"]

_UPGRADE_TYPES: Final = (1, 2, 3)  # upgrade, safe downgrade, unsafe downgrade


def handle(broker: Broker, call: Call[UpdateFeaturesRequest]) -> None:
    response = UpdateFeaturesResponse(error_message=None)
    try:
        for update in call.request.feature_updates:
            _check(broker, update)
    except KafkaError as error:
        response.error_code, response.error_message = error.code, error.message
    else:
        response.results = [
            UpdatableFeatureResult(update.feature, error_message=None)
            for update in call.request.feature_updates
        ]
    broker.reply_when_known(call, response)


def _check(broker: Broker, update: FeatureUpdateKey) -> None:
    name, wanted = update.feature, update.max_version_level
    if name not in FEATURES:
        problem = "there is no such feature"
    elif update.upgrade_type not in _UPGRADE_TYPES:
        problem = f"there is no upgrade type {update.upgrade_type}"
    elif wanted != broker.catalog.features[name]:
        problem = f"it is {broker.catalog.features[name]} here, and stays so"
    else:
        return
    raise KafkaError(
        ErrorCode.INVALID_UPDATE_VERSION, f"Level {wanted} of {name} was refused: {problem}."
    )

"""IncrementalAlterConfigs (44), versions 0-1: change some settings of a topic (KIP-339).

Operations: 0 set, 1 delete, 2 append and 3 subtract, the last two on lists.

Left out: broker loggers, groups and client metrics, which have no settings of their own here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from mq.broker.apis.alter_configs import configurable
from mq.broker.call import Call
from mq.errors import ErrorCode, KafkaError
from mq.log.config import TOPIC_CONFIGS, ConfigType
from mq.wire.fields import Message
from mq.wire.messages.incremental_alter_configs import (
    AlterableConfig,
    AlterConfigsResource,
    AlterConfigsResourceResponse,
    IncrementalAlterConfigsRequest,
    IncrementalAlterConfigsResponse,
)

if TYPE_CHECKING:
    from mq.broker.broker import Broker

__all__ = ["handle"]

_SET: Final = 0
_DELETE: Final = 1
_APPEND: Final = 2
_SUBTRACT: Final = 3


def handle(broker: Broker, call: Call[IncrementalAlterConfigsRequest]) -> None:
    request = call.request
    records: list[Message] = []
    results: list[AlterConfigsResourceResponse] = []
    for resource in request.resources:
        result = AlterConfigsResourceResponse(
            error_message=None,
            resource_type=resource.resource_type,
            resource_name=resource.resource_name,
        )
        try:
            records += _plan(broker, resource)
        except KafkaError as error:
            result.error_code, result.error_message = error.code, error.message
        results.append(result)
    response = IncrementalAlterConfigsResponse(responses=results)
    if request.validate_only:
        broker.reply_when_known(call, response)
    else:
        broker.change(call, records, response, results)


def _plan(broker: Broker, resource: AlterConfigsResource) -> list[Message]:
    names = [config.name for config in resource.configs]
    topic = configurable(broker, resource.resource_type, resource.resource_name, names)
    configs = dict(topic.configs)
    for change in resource.configs:
        _change(configs, change)
    return broker.catalog.configure(topic, configs)


def _change(configs: dict[str, str], change: AlterableConfig) -> None:
    name, operation, value = change.name, change.config_operation, change.value
    if operation == _DELETE:
        configs.pop(name, None)
        return
    if value is None:
        raise KafkaError(ErrorCode.INVALID_REQUEST, f"{name} may not be null.")
    if operation == _SET:
        configs[name] = value
        return
    definition = TOPIC_CONFIGS.get(name)
    if operation not in (_APPEND, _SUBTRACT):
        raise KafkaError(ErrorCode.INVALID_REQUEST, f"There is no operation {operation}.")
    if definition is None or definition.type is not ConfigType.LIST:
        verb = "APPEND" if operation == _APPEND else "SUBTRACT"
        raise KafkaError(
            ErrorCode.INVALID_CONFIG, f"Can't {verb} to key {name} because its type is not LIST."
        )
    present = _parts(configs.get(name, definition.default))
    given = _parts(value)
    if operation == _APPEND:
        present += [part for part in given if part not in present]
    else:
        present = [part for part in present if part not in given]
    configs[name] = ",".join(present)


def _parts(value: str) -> list[str]:
    return [part.strip() for part in value.split(",") if part.strip()]

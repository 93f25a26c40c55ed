"""AlterConfigs (33), versions 0-2: replace all settings of a topic.

What is not named goes back to its default, which is why IncrementalAlterConfigs exists. Settings of
the broker are fixed for the life of the process: changing them is refused as Kafka refuses it for
its read-only ones.

Left out: broker loggers, groups and client metrics, which have no settings of their own here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mq.broker.apis.describe_configs import BROKER, TOPIC
from mq.broker.call import Call
from mq.broker.catalog import Topic
from mq.errors import ErrorCode, KafkaError
from mq.wire.fields import Message
from mq.wire.messages.alter_configs import (
    AlterConfigsRequest,
    AlterConfigsResource,
    AlterConfigsResourceResponse,
    AlterConfigsResponse,
)

if TYPE_CHECKING:
    from mq.broker.broker import Broker

__all__ = ["configurable", "handle"]


def handle(broker: Broker, call: Call[AlterConfigsRequest]) -> None:
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
    response = AlterConfigsResponse(responses=results)
    if request.validate_only:
        broker.reply_when_known(call, response)
    else:
        broker.change(call, records, response, results)


def _plan(broker: Broker, resource: AlterConfigsResource) -> list[Message]:
    names = [config.name for config in resource.configs]
    topic = configurable(broker, resource.resource_type, resource.resource_name, names)
    configs: dict[str, str] = {}
    for config in resource.configs:
        if config.value is None:
            raise KafkaError(ErrorCode.INVALID_CONFIG, f"{config.name} may not be null.")
        configs[config.name] = config.value
    return broker.catalog.configure(topic, configs)


def configurable(broker: Broker, kind: int, name: str, settings: list[str]) -> Topic:
    """The topic whose settings may be changed.

    Raises:
        KafkaError: it does not exist, or the resource is none whose settings can be changed, or a
            setting is named twice.
    """
    if kind == BROKER:
        listed = ", ".join(settings)
        raise KafkaError(
            ErrorCode.INVALID_REQUEST, f"Cannot update these configs dynamically: [{listed}]"
        )
    if kind != TOPIC:
        raise KafkaError(
            ErrorCode.INVALID_REQUEST, f"resources of type {kind} have no settings here"
        )
    if len(set(settings)) < len(settings):
        raise KafkaError(ErrorCode.INVALID_REQUEST, "Error due to duplicate config keys")
    topic = broker.catalog.topics.get(name)
    if topic is None:
        raise KafkaError(
            ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, f"The topic '{name}' does not exist."
        )
    return topic

"""DescribeConfigs (32), versions 1-4: the settings in force, and where they come from.

Topics: everything of :mod:`mq.log.config`. The broker: what :mod:`mq.broker.settings` tells, all
read only. Documentation (KIP-569) is given on request.

Left out: broker loggers, groups and client metrics, which have no settings here (INVALID_REQUEST).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from mq.broker.call import Call
from mq.broker.catalog import NODE_ID
from mq.errors import ErrorCode, KafkaError
from mq.log.config import TOPIC_CONFIGS, ConfigType
from mq.wire.messages.describe_configs import (
    DescribeConfigsRequest,
    DescribeConfigsResource,
    DescribeConfigsResourceResult,
    DescribeConfigsResponse,
    DescribeConfigsResult,
    DescribeConfigsSynonym,
)

if TYPE_CHECKING:
    from mq.broker.broker import Broker

__all__ = [
    "BROKER",
    "BROKER_LOGGER",
    "CLIENT_METRICS",
    "GROUP",
    "TOPIC",
    "handle",
    "topic_entries",
]

TOPIC: Final = 2
BROKER: Final = 4
BROKER_LOGGER: Final = 8
CLIENT_METRICS: Final = 16
GROUP: Final = 32

_DYNAMIC_TOPIC: Final = 1
_STATIC_BROKER: Final = 4
_DEFAULT: Final = 5


def handle(broker: Broker, call: Call[DescribeConfigsRequest]) -> None:
    request = call.request
    response = DescribeConfigsResponse(
        results=[_describe(broker, resource) for resource in request.resources]
    )
    for result in response.results:
        for entry in result.configs:
            if not request.include_synonyms:
                entry.synonyms = []
            if not request.include_documentation:
                entry.documentation = None
    broker.reply_when_known(call, response)


def _describe(broker: Broker, resource: DescribeConfigsResource) -> DescribeConfigsResult:
    result = DescribeConfigsResult(
        resource_type=resource.resource_type,
        resource_name=resource.resource_name,
    )
    try:
        entries = _entries(broker, resource)
    except KafkaError as error:
        result.error_code, result.error_message = error.code, error.message
        return result
    keys = resource.configuration_keys
    result.configs = [entry for entry in entries if not keys or entry.name in keys]
    return result


def _entries(
    broker: Broker, resource: DescribeConfigsResource
) -> list[DescribeConfigsResourceResult]:
    if resource.resource_type == TOPIC:
        topic = broker.catalog.topics.get(resource.resource_name)
        if topic is None:
            raise KafkaError(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION)
        return topic_entries(topic.configs)
    if resource.resource_type != BROKER:
        raise KafkaError(
            ErrorCode.INVALID_REQUEST,
            f"resources of type {resource.resource_type} have no settings here",
        )
    if resource.resource_name not in ("", str(NODE_ID)):
        raise KafkaError(
            ErrorCode.INVALID_REQUEST,
            f"there is only broker {NODE_ID} here, not {resource.resource_name}",
        )
    if not resource.resource_name:
        return []  # what was set for all brokers: nothing ever is
    return [
        DescribeConfigsResourceResult(
            name=name,
            value=value,
            read_only=True,
            config_source=_STATIC_BROKER,
            synonyms=[DescribeConfigsSynonym(name=name, value=value, source=_STATIC_BROKER)],
            config_type=ConfigType.STRING,
        )
        for name, value in broker.described_settings().items()
    ]


def topic_entries(configs: Mapping[str, str]) -> list[DescribeConfigsResourceResult]:
    """All settings of a topic on which ``configs`` are set."""
    entries = []
    for name, definition in TOPIC_CONFIGS.items():
        synonyms = []
        if definition.synonym is not None:
            synonyms.append(
                DescribeConfigsSynonym(
                    name=definition.synonym, value=definition.default, source=_DEFAULT
                )
            )
        value = configs.get(name)
        if value is not None:
            synonyms.insert(
                0, DescribeConfigsSynonym(name=name, value=value, source=_DYNAMIC_TOPIC)
            )
        entries.append(
            DescribeConfigsResourceResult(
                name=name,
                value=definition.default if value is None else value,
                config_source=_DEFAULT if value is None else _DYNAMIC_TOPIC,
                synonyms=synonyms,
                config_type=definition.type,
                documentation=definition.documentation,
            )
        )
    return entries

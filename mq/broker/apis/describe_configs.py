"""DescribeConfigs (32), versions 1-4: the settings in force, and where they come from.

Topics: everything of :mod:`mq.log.config`. The broker: what :mod:`mq.broker.settings` tells, and
what topics have where nobody set it, all read only. Groups (KIP-848): what holds for all of them,
read only as well. Documentation (KIP-569) is given on request.

Left out: broker loggers and client metrics, which have no settings here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from mq.broker.call import Call
from mq.broker.catalog import METADATA_TOPIC, NODE_ID, check_topic_name
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

_GROUP_CONFIGS: Final = ("consumer.heartbeat.interval.ms", "consumer.session.timeout.ms")

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
            if resource.resource_name != METADATA_TOPIC:
                check_topic_name(resource.resource_name)
            raise KafkaError(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION)
        return topic_entries(topic.configs)
    if resource.resource_type == GROUP:
        if not resource.resource_name:
            raise KafkaError(ErrorCode.INVALID_REQUEST, "Group name must not be empty")
        return _group_entries(broker.described_settings())
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
    return _broker_entries(broker.described_settings())


def _broker_entries(settings: Mapping[str, str]) -> list[DescribeConfigsResourceResult]:
    """The broker's own settings, and those that topics without settings act by."""
    entries = [_fixed(name, value, _STATIC_BROKER) for name, value in settings.items()]
    for definition in TOPIC_CONFIGS.values():
        if definition.synonym is not None:
            entry = _fixed(definition.synonym, definition.default, _DEFAULT)
            entry.config_type = definition.type
            entry.documentation = definition.documentation
            entries.append(entry)
    return entries


def _group_entries(settings: Mapping[str, str]) -> list[DescribeConfigsResourceResult]:
    """What the broker's settings say of each group, under the names that it has for a group."""
    entries = []
    for name in _GROUP_CONFIGS:
        source = f"group.{name}"
        entry = _fixed(name, settings[source], _STATIC_BROKER)
        entry.synonyms[0].name = source
        entry.config_type = ConfigType.INT
        entries.append(entry)
    return entries


def _fixed(name: str, value: str, source: int) -> DescribeConfigsResourceResult:
    return DescribeConfigsResourceResult(
        name=name,
        value=value,
        read_only=True,
        config_source=source,
        synonyms=[DescribeConfigsSynonym(name=name, value=value, source=source)],
        config_type=ConfigType.STRING,
    )


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

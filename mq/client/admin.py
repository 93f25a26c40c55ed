"""Topics: which there are, and making and growing those that mq needs.

Used when an application starts and when partitions change, never per record, so every call may
spend a thread.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

import anyio.to_thread
from confluent_kafka import KafkaError as RawError
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._config import ConfigResource
from confluent_kafka.admin._resource import ResourceType
from confluent_kafka.cimpl import NewPartitions
from confluent_kafka.cimpl import NewTopic as RawNewTopic

from mq.client.endpoint import Endpoint
from mq.client.faults import translate_exception
from mq.errors import BrokerUnreachable, ConfigurationError, ErrorCode, KafkaError

__all__ = ["Admin", "Cluster", "NewTopic", "reach"]

logger = logging.getLogger("mq.client")

T = TypeVar("T")

REQUEST_S: Final = 30.0
BROKER_DEFAULT: Final = -1
MESSAGE_BYTES_DEFAULT: Final = 1_048_588
"""Kafka's default of ``max.message.bytes``."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """What a cluster said of itself: its id, and the number of partitions of each topic."""

    id: str
    topics: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class NewTopic:
    """A topic to make; -1 partitions means as many as the broker makes by itself."""

    name: str
    partitions: int = BROKER_DEFAULT
    settings: Mapping[str, str] = field(default_factory=dict)


class Admin:
    """Asks about topics and makes them. All methods raise BrokerUnreachable if nobody answers."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._bootstrap = endpoint.bootstrap
        self._raw = _client(endpoint, self._error)

    async def cluster(self, within_s: float) -> Cluster:
        """The cluster's id and topics.

        Raises:
            BrokerUnreachable: no answer within ``within_s`` seconds.
        """
        try:
            found = await _in_thread(lambda: self._raw.list_topics(timeout=within_s))
        except KafkaException as error:
            raise BrokerUnreachable(
                f"no broker answered at {self._bootstrap} within {within_s:g} s"
            ) from error
        topics = {name: len(topic.partitions) for name, topic in found.topics.items()}
        return Cluster(found.cluster_id or "", topics)

    async def create(self, topics: Iterable[NewTopic]) -> None:
        """Make topics; one that exists already, because another process was first, is fine.

        Raises:
            KafkaError: the broker refused one of them.
        """
        new = [
            RawNewTopic(
                topic.name,
                num_partitions=topic.partitions,
                replication_factor=BROKER_DEFAULT,
                config=dict(topic.settings),
            )
            for topic in topics
        ]
        if new:
            await self._settle(
                self._raw.create_topics(new, request_timeout=REQUEST_S),
                "the topic {} cannot be made",
                fine=ErrorCode.TOPIC_ALREADY_EXISTS,
            )

    async def grow(self, partitions: Mapping[str, int]) -> None:
        """Give topics at least so many partitions.

        Raises:
            KafkaError: the broker refused one of them.
        """
        if partitions:
            new = [NewPartitions(name, count) for name, count in partitions.items()]
            await self._settle(
                self._raw.create_partitions(new, request_timeout=REQUEST_S),
                "the topic {} cannot be grown",
                fine=ErrorCode.INVALID_PARTITIONS,  # another process was first
            )

    async def message_bytes_max(self, topics: Iterable[str]) -> dict[str, int]:
        """The setting ``max.message.bytes`` of each topic that lets itself be asked."""
        asked = [ConfigResource(ResourceType.TOPIC, topic) for topic in topics]
        return await _in_thread(lambda: _sizes(self._raw, asked))

    async def _settle(self, futures: Mapping[str, Any], about: str, fine: ErrorCode) -> None:
        for name, future in futures.items():
            try:
                await _in_thread(future.result)
            except KafkaException as error:
                told = translate_exception(error, about.format(name))
                if not (isinstance(told, KafkaError) and told.code == fine):
                    raise told from error

    def _error(self, error: RawError) -> None:
        logger.warning("admin client: %s", error.str())


def reach(endpoint: Endpoint, within_s: float, topics: Iterable[str]) -> int:
    """See that a broker answers, and how large records of these topics may be at most. Blocks.

    Raises:
        BrokerUnreachable: none did within ``within_s`` seconds.
        ConfigurationError: librdkafka refuses the settings.
    """
    client = _client(endpoint, lambda _: None)
    try:
        known = client.list_topics(timeout=within_s).topics
    except KafkaException as error:
        raise BrokerUnreachable(
            f"no broker answered at {endpoint.bootstrap} within {within_s:g} s"
        ) from error
    asked = [ConfigResource(ResourceType.TOPIC, topic) for topic in topics if topic in known]
    sizes = _sizes(client, asked)
    return max([MESSAGE_BYTES_DEFAULT, *sizes.values()])


def _client(endpoint: Endpoint, on_error: Callable[[RawError], None]) -> AdminClient:
    try:
        return AdminClient(endpoint.configuration(on_error))
    except KafkaException as error:
        raise ConfigurationError(f"librdkafka refuses: {error.args[0].str()}") from error


def _sizes(client: AdminClient, asked: list[ConfigResource]) -> dict[str, int]:
    """The setting ``max.message.bytes`` of each topic that lets itself be asked. Blocks."""
    if not asked:
        return {}
    found: dict[str, int] = {}
    for resource, future in client.describe_configs(asked, request_timeout=REQUEST_S).items():
        try:
            found[resource.name] = int(future.result()["max.message.bytes"].value)
        except KafkaException as error:
            logger.warning("the settings of %s: %s", resource.name, error.args[0])
    return found


async def _in_thread(call: Callable[[], T]) -> T:
    return await anyio.to_thread.run_sync(call, abandon_on_cancel=True)

"""The Kafka that a command looks at and changes: topics, groups and offsets.

A command runs once and waits for every answer, so this is synchronous: confluent-kafka's admin
client with plain values in and out, errors translated to ours, and an unreachable broker noticed
in seconds. It moves no records.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from confluent_kafka import ConsumerGroupTopicPartitions, KafkaException
from confluent_kafka import TopicPartition as ClientPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._config import (
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ConfigSource,
)
from confluent_kafka.admin._listoffsets import OffsetSpec
from confluent_kafka.admin._resource import ResourceType
from confluent_kafka.cimpl import NewPartitions, NewTopic

from mq.client.faults import translate, translate_exception
from mq.errors import BrokerUnreachable
from mq.record import TopicPartition

__all__ = ["Cluster", "Group", "Member", "Setting", "Span", "probe", "translated"]

CONNECT_TIMEOUT_S: Final = 5.0
ANSWER_TIMEOUT_S: Final = 30.0

_EARLIEST: Final[Any] = OffsetSpec.earliest()  # type: ignore[no-untyped-call]
_LATEST: Final[Any] = OffsetSpec.latest()  # type: ignore[no-untyped-call]


class Span(NamedTuple):
    """The offsets that a partition has: from ``start`` up to, and not including, ``end``."""

    start: int
    end: int


class Setting(NamedTuple):
    """One setting of a topic; ``own`` if the topic itself was given it."""

    name: str
    value: str
    own: bool


@dataclass(frozen=True, slots=True)
class Member:
    """One member of a group, and the partitions it owns."""

    id: str
    client: str
    host: str
    partitions: tuple[TopicPartition, ...]


@dataclass(frozen=True, slots=True)
class Group:
    """A consumer group as its coordinator sees it."""

    name: str
    state: str
    protocol: str
    members: tuple[Member, ...]


@contextmanager
def translated(what: str = "") -> Iterator[None]:
    """Raise confluent-kafka's errors as ours; ``what`` names whatever was asked for.

    Raises:
        BrokerUnreachable: no answer came.
        KafkaError: the broker refused, with its code.
    """
    try:
        yield
    except KafkaException as error:
        raise translate_exception(error, what) from error
    except TimeoutError as error:
        raise BrokerUnreachable(f"{what}: no answer in {ANSWER_TIMEOUT_S:.0f} s") from error


def probe(bootstrap: str) -> None:
    """Make sure that somebody listens, for librdkafka would go on trying for a minute.

    Raises:
        BrokerUnreachable: nobody listens at any of the addresses.
    """
    reasons = []
    for address in bootstrap.split(","):
        host, _, port = address.strip().rpartition("://")[2].rpartition(":")
        try:
            socket.create_connection((host.strip("[]"), int(port)), CONNECT_TIMEOUT_S).close()
        except ValueError:
            reasons.append("it is no HOST:PORT")
        except OSError as error:
            reasons.append((error.strerror or str(error)).lower())
        else:
            return
    raise BrokerUnreachable(f"no broker answers at {bootstrap}: {reasons[0]}")


class Cluster:
    """A connection for administration, to whatever Kafka is at ``bootstrap``."""

    def __init__(self, bootstrap: str) -> None:
        probe(bootstrap)
        self.bootstrap = bootstrap
        self._admin = AdminClient(
            {"bootstrap.servers": bootstrap, "client.id": "mq-cli", "log_level": 0}
        )
        # librdkafka drops the bootstrap connection once it knows the broker's own, and what is
        # asked in between waits for a second. After one metadata request that moment is over.
        self.topics()

    # topics

    def topics(self) -> dict[str, int]:
        """The number of partitions of every topic, by name."""
        with translated():
            found = self._admin.list_topics(timeout=CONNECT_TIMEOUT_S).topics
        return {name: len(topic.partitions) for name, topic in sorted(found.items())}

    def spans(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, Span]:
        """The offsets that each of ``partitions`` has now."""
        wanted = sorted(partitions)
        starts = self._offsets(dict.fromkeys(wanted, _EARLIEST))
        ends = self._offsets(dict.fromkeys(wanted, _LATEST))
        return {each: Span(starts[each], ends[each]) for each in wanted}

    def offsets_at(self, times: Mapping[TopicPartition, int]) -> dict[TopicPartition, int | None]:
        """The first offset at or after a time in milliseconds, None where there is none."""
        asked = {each: OffsetSpec.for_timestamp(time_ms) for each, time_ms in times.items()}
        return {each: None if at < 0 else at for each, at in self._offsets(asked).items()}

    def _offsets(self, asked: Mapping[TopicPartition, OffsetSpec]) -> dict[TopicPartition, int]:
        if not asked:
            return {}
        questions = {ClientPartition(*each): spec for each, spec in asked.items()}
        futures = self._admin.list_offsets(questions, request_timeout=ANSWER_TIMEOUT_S)
        return {
            TopicPartition(each.topic, each.partition): _result(future, each.topic).offset
            for each, future in futures.items()
        }

    def create_topic(
        self, name: str, partitions: int, replicas: int, settings: Mapping[str, str]
    ) -> None:
        """Make a topic; -1 partitions or replicas are as many as the broker thinks right."""
        new = NewTopic(name, partitions, replicas, config=dict(settings))
        _result(self._admin.create_topics([new])[name], name)

    def grow_topic(self, name: str, partitions: int) -> None:
        """Add partitions until there are as many."""
        new = NewPartitions(name, new_total_count=partitions)
        _result(self._admin.create_partitions([new])[name], name)

    def delete_topic(self, name: str) -> None:
        """Delete a topic and all of its records."""
        _result(self._admin.delete_topics([name])[name], name)

    def settings_of(self, topic: str) -> list[Setting]:
        """All settings of a topic, defaults too."""
        resource = ConfigResource(ResourceType.TOPIC, topic)
        entries = _result(self._admin.describe_configs([resource])[resource], topic)
        own = ConfigSource.DYNAMIC_TOPIC_CONFIG.value
        return sorted(
            Setting(name, "" if entry.value is None else entry.value, entry.source == own)
            for name, entry in entries.items()
        )

    def alter_settings(self, topic: str, settings: Mapping[str, str | None]) -> None:
        """Give a topic settings of its own; None takes one back."""
        entries = [
            ConfigEntry(
                name,
                value,
                incremental_operation=(
                    AlterConfigOpType.DELETE if value is None else AlterConfigOpType.SET
                ),
            )
            for name, value in settings.items()
        ]
        resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=entries)
        _result(self._admin.incremental_alter_configs([resource])[resource], topic)

    # groups

    def groups(self) -> list[str]:
        """The names of all consumer groups."""
        listing = _result(self._admin.list_consumer_groups(), "groups")
        if listing.errors:
            raise translate_exception(listing.errors[0], "groups")
        return sorted(group.group_id for group in listing.valid)

    def describe_groups(self, names: list[str]) -> list[Group]:
        """State and members of each group."""
        if not names:
            return []
        futures = self._admin.describe_consumer_groups(names)
        return [_group(_result(futures[name], name)) for name in names]

    def committed(self, group: str) -> dict[TopicPartition, int]:
        """The committed offsets of a group."""
        asked = ConsumerGroupTopicPartitions(group)
        answer = _result(self._admin.list_consumer_group_offsets([asked])[group], group)
        return {
            TopicPartition(each.topic, each.partition): each.offset
            for each in answer.topic_partitions
            if each.offset >= 0
        }

    def commit(self, group: str, offsets: Mapping[TopicPartition, int]) -> None:
        """Set the committed offsets of a group that has no members."""
        partitions = [ClientPartition(*each, offset) for each, offset in offsets.items()]
        asked = ConsumerGroupTopicPartitions(group, partitions)
        answer = _result(self._admin.alter_consumer_group_offsets([asked])[group], group)
        for each in answer.topic_partitions:
            if each.error:
                raise translate(each.error, f"{group}, {each.topic}-{each.partition}")

    def delete_group(self, name: str) -> None:
        """Forget a group that has no members, and its offsets."""
        _result(self._admin.delete_consumer_groups([name])[name], name)


def _result(future: Any, what: str) -> Any:
    with translated(what):
        return future.result(ANSWER_TIMEOUT_S)


def _group(described: Any) -> Group:
    members = [
        Member(
            member.member_id,
            member.client_id,
            member.host.removeprefix("/"),
            tuple(TopicPartition(p.topic, p.partition) for p in member.assignment.topic_partitions)
            if member.assignment
            else (),
        )
        for member in described.members
    ]
    protocol = str(getattr(described.type, "name", "")).lower()
    return Group(described.group_id, described.state.name.lower(), protocol, tuple(members))

"""Topics: legal names, and which topics an application needs beside its own.

Beside every topic that a group handles lie its retry topics, one per tier, and its dead-letter
topic, with as many partitions, so that a record keeps its partition's number wherever it goes.
What must be made or grown is planned here from what there is; nothing is asked or done.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from mq.app.dead_letters import dead_letter_topic
from mq.app.retry import Tier, retry_topic, tier_of_topic
from mq.client.admin import NewTopic
from mq.errors import ConfigurationError

__all__ = ["Plan", "Source", "check_group", "check_topic", "existing_tiers", "plan"]

TOPIC_CHARS_MAX: Final = 249
PROVENANCE_BYTES: Final = 64 * 1024
"""How much larger a record may be in a retry or dead-letter topic than in its own."""

RETRY_SLACK_S: Final = 7 * 86_400
"""How long beyond its delay a record stays in a retry topic: time to bring a service back."""

_TOPIC: Final = re.compile(r"[a-zA-Z0-9._-]+")
_GROUP: Final = re.compile(r"[A-Za-z0-9_-]+")


def check_topic(name: str) -> str:
    """Return ``name`` if it may be a topic.

    Raises:
        ConfigurationError: Kafka would refuse it.
    """
    if not isinstance(name, str) or not _TOPIC.fullmatch(name) or name in (".", ".."):
        raise ConfigurationError(
            f"{name!r} cannot be a topic: letters, digits, dots, underscores and dashes make a name"
        )
    if len(name) > TOPIC_CHARS_MAX:
        raise ConfigurationError(
            f"{name[:30]}... cannot be a topic: it has more than {TOPIC_CHARS_MAX} characters"
        )
    return name


def check_group(name: str) -> str:
    """Return ``name`` if it may be a consumer group of mq.

    Dots are left out so that the names of retry and dead-letter topics can be read back.

    Raises:
        ConfigurationError: it may not.
    """
    if not isinstance(name, str) or not _GROUP.fullmatch(name):
        raise ConfigurationError(
            f"{name!r} cannot be a consumer group: letters, digits, underscores and dashes make one"
        )
    return name


@dataclass(frozen=True, slots=True)
class Source:
    """A topic that a group handles, with the retry tiers its handlers want."""

    group: str
    topic: str
    tiers: Sequence[Tier]

    def check(self) -> None:
        """Make sure that the names of the topics beside it are legal.

        Raises:
            ConfigurationError: they would be too long.
        """
        for tier in self.tiers:
            check_topic(retry_topic(self.group, self.topic, tier))
        check_topic(dead_letter_topic(self.group, self.topic))


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be done: topics to make, and topics to grow with the number of partitions."""

    create: tuple[NewTopic, ...]
    grow: Mapping[str, int]


def existing_tiers(topics: Iterable[str], group: str, topic: str) -> tuple[Tier, ...]:
    """The tiers for which a retry topic exists, in use or from an earlier configuration."""
    found = {tier_of_topic(name, group, topic) for name in topics}
    return tuple(sorted(tier for tier in found if tier is not None))


def plan(
    sources: Iterable[Source], topics: Mapping[str, int], message_bytes_max: Mapping[str, int]
) -> Plan:
    """What is missing beside the sources, which exist.

    Args:
        sources: what is handled.
        topics: the number of partitions of every topic.
        message_bytes_max: the setting ``max.message.bytes`` of the sources.
    """
    create: dict[str, NewTopic] = {}
    grow: dict[str, int] = {}
    for source in sources:
        count = topics[source.topic]
        settings = {"cleanup.policy": "delete"}
        if source.topic in message_bytes_max:
            largest = message_bytes_max[source.topic] + PROVENANCE_BYTES
            settings["max.message.bytes"] = str(largest)
        wanted = {dead_letter_topic(source.group, source.topic): {"retention.ms": "-1"}}
        longest = max(tier.seconds for tier in source.tiers)
        for tier in (*source.tiers, *existing_tiers(topics, source.group, source.topic)):
            kept_ms = int((max(longest, tier.seconds) + RETRY_SLACK_S) * 1000)
            wanted[retry_topic(source.group, source.topic, tier)] = {"retention.ms": str(kept_ms)}
        for name, own in wanted.items():
            if name not in topics:
                create[name] = NewTopic(name, count, {**settings, **own})
            elif topics[name] < count:
                grow[name] = count
    return Plan(tuple(create.values()), grow)

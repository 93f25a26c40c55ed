"""Partitions of topics that are known by their ids, as group protocols have them since KIP-848.

A set of partitions is flat here, so that assignments are added and subtracted as sets are.
Requests, answers and records list partitions topic by topic; :func:`by_topic` is the way there.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple, Protocol
from uuid import UUID

__all__ = ["Listed", "TopicIdPartition", "by_topic", "flat"]


class TopicIdPartition(NamedTuple):
    """One partition of the topic with this id."""

    topic_id: UUID
    partition: int


class Listed(Protocol):
    """A topic with partitions, as many messages have it."""

    topic_id: UUID
    partitions: list[int]


def by_topic(places: Iterable[TopicIdPartition]) -> dict[UUID, list[int]]:
    """The partitions of each topic, in ascending order."""
    topics: dict[UUID, list[int]] = {}
    for topic_id, partition in places:
        topics.setdefault(topic_id, []).append(partition)
    for partitions in topics.values():
        partitions.sort()
    return topics


def flat(listed: Iterable[Listed]) -> list[TopicIdPartition]:
    """The partitions that a message lists topic by topic."""
    return [
        TopicIdPartition(each.topic_id, partition)
        for each in listed
        for partition in each.partitions
    ]

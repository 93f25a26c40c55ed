"""The topics of an application as they are in the cluster, made and grown as needed."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import anyio

from mq.app.retry import Tier, retry_topic
from mq.app.topics import Source, existing_tiers, plan
from mq.client.admin import Admin, NewTopic
from mq.errors import BrokerUnreachable

__all__ = ["RetryTopic", "Topology"]

logger = logging.getLogger("mq.app")

APPEAR_S: Final = 15.0
"""How long a topic may take from made to seen."""

SETTLE_S: Final = 0.2
"""The coordinator of a group hears of a new topic a little after everyone else. A member that joins
before that is given nothing, and asks again only with its next heartbeat, seconds later."""


class RetryTopic(NamedTuple):
    """A retry topic that exists."""

    name: str
    tier: Tier
    partitions: int


class Topology:
    """Which topics there are. :meth:`ensure` makes the answer fit what is handled."""

    def __init__(self, admin: Admin, sources: Sequence[Source]) -> None:
        self._admin = admin
        self._sources = sources
        self._topics: Mapping[str, int] = {}
        self._ensuring = anyio.Lock()
        self.cluster = ""

    async def ensure(self, within_s: float) -> None:
        """Make sure that every source, its retry topics and its dead-letter topic exist and match.

        Args:
            within_s: how long the first answer may take.

        Raises:
            BrokerUnreachable: none came.
            KafkaError: the broker refuses to make or grow a topic.
        """
        async with self._ensuring:
            await self._look(within_s)
            sources = {source.topic for source in self._sources}
            if missing := sorted(sources - self._topics.keys()):
                logger.info("making the topics %s", ", ".join(missing))
                await self._admin.create(NewTopic(name) for name in missing)
                await self._look_for(missing, within_s)
            sizes = await self._admin.message_bytes_max(sorted(sources))
            todo = plan(self._sources, self._topics, sizes)
            await self._admin.create(todo.create)
            await self._admin.grow(todo.grow)
            made = {topic.name: topic.partitions for topic in todo.create}
            self._topics = {**self._topics, **made, **todo.grow}

    def retry_topics(self, group: str, topic: str) -> list[RetryTopic]:
        """The retry topics that belong to a source, also those of tiers that nobody wants now."""
        tiers = existing_tiers(self._topics, group, topic)
        names = [(retry_topic(group, topic, tier), tier) for tier in tiers]
        return [RetryTopic(name, tier, self._topics[name]) for name, tier in names]

    def partitions_of(self, topic: str) -> int:
        """How many partitions a topic had when we last looked."""
        return self._topics.get(topic, 0)

    async def _look(self, within_s: float) -> None:
        found = await self._admin.cluster(within_s)
        self.cluster, self._topics = found.id, found.topics

    async def _look_for(self, topics: Sequence[str], within_s: float) -> None:
        """Brokers tell of a new topic a little later than they make it."""
        pause_s = 0.02
        with anyio.move_on_after(APPEAR_S):
            while True:
                await self._look(within_s)
                if all(self._topics.get(topic) for topic in topics):
                    await anyio.sleep(SETTLE_S)
                    return
                await anyio.sleep(pause_s)
                pause_s = min(pause_s * 2, 1.0)
        raise BrokerUnreachable(f"the new topics {', '.join(topics)} do not appear")

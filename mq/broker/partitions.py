"""The logs of the topics that the catalog knows.

A partition's directory is made when the partition is first needed, so that creating a topic costs
one record however many partitions it has. The catalog decides what exists, and what goes: the
directories of topics that it saw removed. One that it has never heard of may be all that is left of
a topic whose record was damaged, so it stays where it is, and is set aside if its place is needed.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import UUID

from mq.broker.catalog import METADATA_TOPIC, Catalog, Topic
from mq.errors import ErrorCode, KafkaError
from mq.log.config import LogConfig
from mq.log.directory import DataDirectory
from mq.log.loader import LOST_TOPIC_ID
from mq.log.partition import Partition
from mq.record import TopicPartition

__all__ = ["Partitions"]

logger = logging.getLogger("mq.broker")


class Partitions:
    """Partitions by name and by topic id.

    Attributes:
        remove: has the files of a deleted partition removed, now or later.
    """

    def __init__(self, directory: DataDirectory, catalog: Catalog) -> None:
        self._directory = directory
        self._catalog = catalog
        self.remove: Callable[[Path], None] = directory.remove

    def by_name(self, name: str, index: int) -> Partition:
        """The log of a partition.

        Raises:
            KafkaError: UNKNOWN_TOPIC_OR_PARTITION, or KAFKA_STORAGE_ERROR if it cannot be made.
        """
        topic = self._catalog.topics.get(name)
        if topic is None:
            raise KafkaError(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION)
        return self.of(topic, index)

    def by_id(self, topic_id: UUID, index: int) -> Partition:
        """The log of a partition.

        Raises:
            KafkaError: UNKNOWN_TOPIC_ID, UNKNOWN_TOPIC_OR_PARTITION, or KAFKA_STORAGE_ERROR.
        """
        topic = self._catalog.by_id.get(topic_id)
        if topic is None:
            raise KafkaError(ErrorCode.UNKNOWN_TOPIC_ID)
        return self.of(topic, index)

    def of(self, topic: Topic, index: int) -> Partition:
        """The log of a partition of ``topic``, made if this is its first use.

        Raises:
            KafkaError: UNKNOWN_TOPIC_OR_PARTITION, or KAFKA_STORAGE_ERROR if it cannot be made.
        """
        partition = self._directory.partitions.get(TopicPartition(topic.name, index))
        if partition is not None and partition.topic_id == topic.id:
            return partition
        if not 0 <= index < topic.partitions:
            raise KafkaError(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION)
        return self._make(topic, index)

    def existing(self, topic: Topic) -> Iterator[Partition]:
        """The partitions of ``topic`` that have been used."""
        for index in range(topic.partitions):
            partition = self._directory.partitions.get(TopicPartition(topic.name, index))
            if partition is not None and partition.topic_id == topic.id:
                yield partition

    def leader_epoch(self, topic: Topic, index: int) -> int:
        """The epoch of a partition; 0 before its first use."""
        partition = self._directory.partitions.get(TopicPartition(topic.name, index))
        return 0 if partition is None else partition.leader_epoch

    def check_leader_epoch(self, partition: Partition, epoch: int) -> None:
        """Refuse a client whose knowledge of the partition is of another epoch (KIP-320).

        Raises:
            KafkaError: FENCED_LEADER_EPOCH or UNKNOWN_LEADER_EPOCH; never for an epoch of -1.
        """
        if epoch == -1 or epoch == partition.leader_epoch:
            return
        if epoch < partition.leader_epoch:
            raise KafkaError(ErrorCode.FENCED_LEADER_EPOCH)
        raise KafkaError(ErrorCode.UNKNOWN_LEADER_EPOCH)

    def configure(self, topic: Topic) -> None:
        """Let the logs of ``topic`` act by its settings as they are now."""
        config = LogConfig.parse(topic.configs)
        for partition in self.existing(topic):
            partition.config = config

    def delete(self, *partitions: Partition) -> None:
        """Remove the files of partitions, unless their places are taken by new ones already.

        A failure is logged: what remains goes at the next start.
        """
        present = self._directory.partitions
        names = [each.topic_partition for each in partitions]
        doomed = [n for n, each in zip(names, partitions, strict=True) if present.get(n) is each]
        if not doomed:
            return
        try:
            for path in self._directory.retire_partitions(doomed):
                self.remove(path)
        except (KafkaError, OSError) as error:
            logger.error("%s", error)

    def reconcile(self) -> None:
        """After a start: remove what belongs to removed topics, and configure what is there.

        Nothing is removed if the metadata log has just been cut: what is gone from it may be what
        would have kept a directory.
        """
        metadata = self._directory.partitions[TopicPartition(METADATA_TOPIC, 0)]
        was_cut = metadata.recovered.truncated_bytes > 0
        for place, partition in list(self._directory.partitions.items()):
            if partition is metadata:
                continue
            topic = self._catalog.topics.get(place.topic)
            exists = topic is not None and place.partition < topic.partitions
            if topic is not None and exists and partition.topic_id in (topic.id, LOST_TOPIC_ID):
                self._make(topic, place.partition)
            elif self._is_left_over(partition) and not was_cut:
                logger.info("removing %s, whose topic was removed", place)
                self.delete(partition)
            else:
                logger.warning("keeping %s, which belongs to no topic", partition.path)

    def _is_left_over(self, partition: Partition) -> bool:
        """Whether its topic was removed. An id is lost only before the first sync of anything."""
        return partition.topic_id == LOST_TOPIC_ID or partition.topic_id in self._catalog.removed

    def _make(self, topic: Topic, index: int) -> Partition:
        """Take what is there, even if it has lost its id, or begin anew."""
        place = TopicPartition(topic.name, index)
        found = self._directory.partitions.get(place)
        try:
            if found and found.topic_id in self._catalog.removed:
                self.delete(found)
            elif found and found.topic_id not in (topic.id, LOST_TOPIC_ID):
                logger.warning("%s was set aside", self._directory.set_aside(place))
            return self._directory.create_partition(
                topic.name, index, topic.id, LogConfig.parse(topic.configs)
            )
        except KafkaError as error:
            logger.error("%s", error)
            raise

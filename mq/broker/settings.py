"""The broker's own settings, under the names that Kafka gives them.

What a topic inherits is not here but in :mod:`mq.broker.topic_configs`.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Settings"]


@dataclass(frozen=True, slots=True)
class Settings:
    """Fixed for the life of the process; each comment names Kafka's setting."""

    num_partitions: int = 8  # num.partitions: room for eight workers before anyone thinks of it
    auto_create_topics: bool = True  # auto.create.topics.enable
    # offsets.topic.num.partitions: Kafka spreads groups over 50 partitions to spread them over
    # brokers. Here one loop owns them all, and in one partition their commits share one sync.
    offsets_topic_partitions: int = 1
    # offsets.topic.segment.bytes (100 MiB in Kafka): the segment that is written to is not
    # compacted, and all of it is read at every start.
    offsets_topic_segment_bytes: int = 16 * 1024 * 1024
    # transaction.state.log.num.partitions: one, for the same reason.
    transaction_state_partitions: int = 1
    transaction_state_segment_bytes: int = 100 * 1024 * 1024  # transaction.state.log.segment.bytes
    transaction_max_timeout_ms: int = 15 * 60 * 1000  # transaction.max.timeout.ms
    transactional_id_expiration_ms: int = 7 * 24 * 60 * 60 * 1000  # transactional.id.expiration.ms
    group_consumer_session_timeout_ms: int = 45_000  # group.consumer.session.timeout.ms
    # group.consumer.heartbeat.interval.ms: members hear of a change with their next heartbeat, in
    # Kafka after up to 5 s. Here a worker's partitions are to move within 2 s of its death. It is
    # the shortest interval; with many members it grows to Kafka's.
    group_consumer_heartbeat_interval_ms: int = 1_000
    fetch_bytes_max: int = 55 * 1024 * 1024  # fetch.max.bytes
    socket_request_max_bytes: int = 100 * 1024 * 1024  # socket.request.max.bytes
    retention_check_interval_ms: int = 300_000  # log.retention.check.interval.ms

    def described(self) -> dict[str, str]:
        """The settings as tools ask for them."""
        return {
            "auto.create.topics.enable": str(self.auto_create_topics).lower(),
            "default.replication.factor": "1",
            "delete.topic.enable": "true",
            "fetch.max.bytes": str(self.fetch_bytes_max),
            "group.consumer.heartbeat.interval.ms": str(self.group_consumer_heartbeat_interval_ms),
            "group.consumer.session.timeout.ms": str(self.group_consumer_session_timeout_ms),
            # Gone from Kafka 4, but kafbat's UI reads the broker's version from it.
            "inter.broker.protocol.version": "4.3",
            "log.retention.check.interval.ms": str(self.retention_check_interval_ms),
            "num.partitions": str(self.num_partitions),
            "offsets.topic.num.partitions": str(self.offsets_topic_partitions),
            "offsets.topic.replication.factor": "1",
            "offsets.topic.segment.bytes": str(self.offsets_topic_segment_bytes),
            "socket.request.max.bytes": str(self.socket_request_max_bytes),
            "transaction.max.timeout.ms": str(self.transaction_max_timeout_ms),
            "transaction.state.log.num.partitions": str(self.transaction_state_partitions),
            "transaction.state.log.replication.factor": "1",
            "transaction.state.log.segment.bytes": str(self.transaction_state_segment_bytes),
            "transactional.id.expiration.ms": str(self.transactional_id_expiration_ms),
        }

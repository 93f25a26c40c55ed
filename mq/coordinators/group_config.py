"""The settings of groups, under the names and with the defaults of Kafka's broker settings."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["GroupConfig"]


@dataclass(frozen=True, slots=True)
class GroupConfig:
    """The settings of the group coordinator; each comment names Kafka's setting."""

    offsets_topic_partitions: int = 50  # offsets.topic.num.partitions
    min_session_timeout_ms: int = 6_000  # group.min.session.timeout.ms
    max_session_timeout_ms: int = 1_800_000  # group.max.session.timeout.ms
    # group.initial.rebalance.delay.ms: Kafka waits 3 s, so that the members of a service that
    # starts meet in one rebalance. On one node they start within milliseconds.
    initial_rebalance_delay_ms: int = 0
    max_size: int = 2**31 - 1  # group.max.size
    consumer_session_timeout_ms: int = 45_000  # group.consumer.session.timeout.ms
    consumer_heartbeat_interval_ms: int = 5_000  # group.consumer.heartbeat.interval.ms
    consumer_max_size: int = 2**31 - 1  # group.consumer.max.size
    offset_metadata_max_bytes: int = 4_096  # offset.metadata.max.bytes, counted as characters
    offsets_retention_ms: int = 7 * 24 * 60 * 60 * 1_000  # offsets.retention.minutes
    offsets_retention_check_interval_ms: int = 600_000  # offsets.retention.check.interval.ms

    def described(self) -> dict[str, str]:
        """The settings as tools ask for them, but those that the broker has among its own."""
        return {
            "group.consumer.max.size": str(self.consumer_max_size),
            "group.initial.rebalance.delay.ms": str(self.initial_rebalance_delay_ms),
            "group.max.session.timeout.ms": str(self.max_session_timeout_ms),
            "group.max.size": str(self.max_size),
            "group.min.session.timeout.ms": str(self.min_session_timeout_ms),
            "offset.metadata.max.bytes": str(self.offset_metadata_max_bytes),
            "offsets.retention.check.interval.ms": str(self.offsets_retention_check_interval_ms),
            "offsets.retention.minutes": str(self.offsets_retention_ms // 60_000),
        }

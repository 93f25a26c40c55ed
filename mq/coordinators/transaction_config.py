"""The settings of transactions, with the names and defaults of Kafka's broker settings."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["TransactionConfig"]


@dataclass(frozen=True, slots=True)
class TransactionConfig:
    """The settings of the transaction coordinator; each comment names Kafka's setting."""

    state_topic_partitions: int = 50  # transaction.state.log.num.partitions
    max_timeout_ms: int = 15 * 60 * 1_000  # transaction.max.timeout.ms
    id_expiration_ms: int = 7 * 24 * 60 * 60 * 1_000  # transactional.id.expiration.ms
    # transaction.remove.expired.transaction.cleanup.interval.ms
    id_expiration_check_interval_ms: int = 60 * 60 * 1_000
    # How long to wait before markers are tried again that could not be written; Kafka sends them
    # to a broker that is not there about as often.
    retry_ms: int = 1_000

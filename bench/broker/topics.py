"""Making and removing topics, the same way on every engine."""

from __future__ import annotations

from collections.abc import Mapping

from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]

from bench.broker.wire import wait_until_led

TIMEOUT_S = 120.0
# Deleted topics go at once, so that the disk holds one measurement's data and not the whole run's.
CONFIG = {"file.delete.delay.ms": "0"}


def create_topic(
    bootstrap: str, name: str, partitions: int, config: Mapping[str, str] | None = None
) -> None:
    """Make a topic and wait until all its partitions can be used."""
    wanted = NewTopic(name, num_partitions=partitions, config={**CONFIG, **(config or {})})
    admin = _admin(bootstrap)
    admin.create_topics([wanted], request_timeout=TIMEOUT_S)[name].result(TIMEOUT_S)
    wait_until_led(bootstrap, name, partitions)


def delete_topic(bootstrap: str, name: str) -> None:
    """Remove a topic."""
    admin = _admin(bootstrap)
    admin.delete_topics([name])[name].result(TIMEOUT_S)


def _admin(bootstrap: str) -> AdminClient:
    return AdminClient({"bootstrap.servers": bootstrap, "log_level": 2})

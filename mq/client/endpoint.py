"""Where the brokers are and how to reach them: what all clients of a process have in common."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from confluent_kafka import KafkaError as RawError

__all__ = ["Endpoint"]

_LOGGER: Final = logging.getLogger("mq.librdkafka")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A Kafka, by its bootstrap address.

    ``settings`` are librdkafka's own, for what mq has no opinion on: security, buffers, timeouts.
    They win over mq's.
    """

    bootstrap: str
    client_id: str = "mq"
    settings: Mapping[str, Any] = field(default_factory=dict)

    def configuration(
        self, on_error: Callable[[RawError], None], settings: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """The configuration of one client, made of mq's settings for it and those given to all."""
        return {
            "bootstrap.servers": self.bootstrap,
            "client.id": self.client_id,
            "logger": _LOGGER,
            "error_cb": on_error,
            **(settings or {}),
            **self.settings,
        }

    @property
    def is_plaintext(self) -> bool:
        """Whether a plain TCP connection is understood there."""
        return str(self.settings.get("security.protocol", "plaintext")).lower() == "plaintext"

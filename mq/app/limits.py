"""Every bound of a running application in one place."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Limits"]


@dataclass(frozen=True, slots=True)
class Limits:
    """How much one process holds, and how long it waits.

    ``records_in_flight`` and ``bytes_in_flight``: what is fetched and not finished, of all handlers
    together; they also bound what librdkafka fetches ahead.
    ``retries_waiting``: what waits for its retry in memory, per partition of a retry topic.
    ``connect_s``: for the first answer of a broker at start.
    ``drain_s``: for running handlers when the application stops.
    ``revoke_s``: for running handlers when the group takes a partition away; the group waits.
    """

    records_in_flight: int = 10_000
    bytes_in_flight: int = 64 * 1024 * 1024
    retries_waiting: int = 10_000
    connect_s: float = 10.0
    drain_s: float = 25.0
    revoke_s: float = 5.0

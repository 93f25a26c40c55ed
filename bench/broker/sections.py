"""All measurements of the broker, in the order in which a page shows them."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from bench.broker import (
    connections,
    cost,
    java,
    latency,
    log_size,
    partitions,
    restart,
    spread,
    starts,
    synced,
    throughput,
)
from bench.broker.peers import Run
from bench.broker.results import Section

SECTIONS: Mapping[str, Callable[[Run], Section]] = {
    "throughput": throughput.measure,
    "java": java.measure,
    "cost": cost.measure,
    "sendfile": cost.measure_sendfile,
    "synced": synced.measure,
    "latency": latency.measure,
    "spread": spread.measure,
    "starts": starts.measure,
    "restart": restart.measure,
    "partitions": partitions.measure,
    "connections": connections.measure,
    "log-size": log_size.measure,
}

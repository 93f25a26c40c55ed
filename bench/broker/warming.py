"""Bringing a Java engine to the speed it has after a while: its compiler works as it runs.

Every kind of request that is measured is sent often enough to be compiled by the last of the
compilers, before anything counts.
"""

from __future__ import annotations

import time

from bench.broker.topics import create_topic, delete_topic
from bench.broker.wire import KIB, Connection, batch_of, encoded, fetch, produce

TOPIC = "warm-up"
BATCHES = (1 * KIB, 16 * KIB, 256 * KIB)
RECORD_SIZE = 100
DEPTH = 8
TURN = 200  # requests


def warm_up(bootstrap: str, seconds: float) -> None:
    """Produce and fetch in small and large requests for so long."""
    create_topic(bootstrap, TOPIC, 1)
    with Connection(bootstrap) as connection:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            for size in BATCHES:
                batch, _ = batch_of(size, RECORD_SIZE)
                write = encoded(produce(TOPIC, {0: batch}))
                read = encoded(fetch(TOPIC, 0, 0, size))
                connection.pipeline((write for _ in range(TURN)), DEPTH)
                connection.pipeline((read for _ in range(TURN)), DEPTH)
    delete_topic(bootstrap, TOPIC)

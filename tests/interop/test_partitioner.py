"""A key lands on the same partition whoever produces it: our client or Kafka's Java client."""

from __future__ import annotations

import random
from collections.abc import Callable

import anyio
import pytest
from confluent_kafka import Message

from mq import App
from tools.apache_kafka import tool

pytestmark = pytest.mark.slow

PARTITIONS = 7  # not a power of two: every bit of the hash counts


def keys_of_every_length() -> list[str]:
    """Keys of 1 to 40 characters of one to four bytes, so that every tail of murmur2 is used."""
    chance = random.Random(2)
    alphabet = "abcXYZ0189-_.äß€日本語😀"
    return sorted({"".join(chance.choices(alphabet, k=1 + number % 40)) for number in range(1_000)})


def partition_by_key(messages: list[Message]) -> dict[str, int]:
    return {message.key().decode(): message.partition() for message in messages}


def test_a_key_lands_where_the_java_producer_puts_it(
    bootstrap: str,
    create_topic: Callable[..., str],
    read_all: Callable[[str], list[Message]],
) -> None:
    by_java, by_us = create_topic(partitions=PARTITIONS), create_topic(partitions=PARTITIONS)
    keys = keys_of_every_length()
    tool(
        "org.apache.kafka.tools.ConsoleProducer",
        *("--bootstrap-server", bootstrap, "--topic", by_java),
        *("--reader-property", "parse.key=true"),
        input="".join(f"{key}\tvalue\n" for key in keys),
    )

    async def publish() -> None:
        async with App("partitioner", bootstrap=bootstrap) as app:
            for receipt in [app.publish_nowait(by_us, "value", key=key) for key in keys]:
                await receipt

    anyio.run(publish)
    theirs, ours = partition_by_key(read_all(by_java)), partition_by_key(read_all(by_us))
    assert len(theirs) == len(keys)
    assert set(theirs.values()) == set(range(PARTITIONS))
    assert ours == theirs

"""A program that copies a topic exactly once, to be killed: `copier.py BOOTSTRAP SOURCE TARGET ID`.

Each transaction takes some messages, writes them to the same partition of the target, and commits
how far it has come. What fails is aborted, or begun anew with a new producer and consumer; it goes
on until somebody ends it.
"""

from __future__ import annotations

import sys

from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition

BATCH = 50
TIMEOUT_S = 10.0


def copy(bootstrap: str, source: str, target: str, name: str) -> None:
    """Copy until something fails."""
    servers = {"bootstrap.servers": bootstrap, "reconnect.backoff.max.ms": 200}
    consumer = Consumer(
        {
            **servers,
            "group.id": name,
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
            "isolation.level": "read_committed",
            "session.timeout.ms": 6_000,
        }
    )
    producer = Producer(
        {
            **servers,
            "transactional.id": name,
            "transaction.timeout.ms": 10_000,
            # librdkafka 2.16 partitions as it is told, so that order can be checked.
            "linger.ms": 1,
        }
    )
    try:
        producer.init_transactions(TIMEOUT_S)
        consumer.subscribe([source])
        while True:
            messages = [each for each in consumer.consume(BATCH, 0.5) if each.error() is None]
            if messages:
                producer.begin_transaction()
                for message in messages:
                    producer.produce(target, message.value(), partition=message.partition())
                offsets: dict[int, int] = {}
                for message in messages:
                    offsets[message.partition()] = message.offset() + 1
                producer.send_offsets_to_transaction(
                    [TopicPartition(source, index, offset) for index, offset in offsets.items()],
                    consumer.consumer_group_metadata(),
                    TIMEOUT_S,
                )
                producer.commit_transaction(TIMEOUT_S)
    finally:
        consumer.close()


def main() -> None:
    """Copy for ever."""
    while True:
        try:
            copy(*sys.argv[1:])
        except KafkaException as error:
            print(error, file=sys.stderr, flush=True)  # noqa: T201 - for who looks at a failure


if __name__ == "__main__":
    main()

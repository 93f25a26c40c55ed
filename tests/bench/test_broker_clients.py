"""The clients of the broker's benchmarks do what they say, against the real broker."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from bench.broker.librdkafka import FastConsumer, FastProducer, Load
from bench.broker.process import cpu_seconds, memory
from bench.broker.topics import create_topic
from bench.broker.wire import Connection, batch_of, fill, records_in
from tools.mq_broker import MqBroker

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def broker() -> Iterator[MqBroker]:
    with MqBroker.start(durability="os") as running:
        yield running


def test_what_the_fast_producer_counts_as_acknowledged_is_in_the_log(broker: MqBroker) -> None:
    create_topic(broker.bootstrap, "counted", 2)
    producer = FastProducer(broker.bootstrap, "counted", 100)
    load = Load([producer], 2, block=100, backlog=1_000)
    load.warm_up()
    assert load.run(0.05) > 0
    producer.close()
    with Connection(broker.bootstrap) as connection:
        assert records_in(connection, "counted", 2) == producer.sent


def test_the_fast_consumer_reads_to_the_end(broker: MqBroker) -> None:
    create_topic(broker.bootstrap, "stored", 3)
    with Connection(broker.bootstrap) as connection:
        count = fill(connection, "stored", 3, batch_of(65_536, 100), rounds=20)
    consumer = FastConsumer(broker.bootstrap, "stored", 3)
    assert consumer.rate(count) > 0
    consumer.close()


def test_settings_that_librdkafka_does_not_know_are_an_error(broker: MqBroker) -> None:
    with pytest.raises(ValueError, match="No such configuration property"):
        FastProducer(broker.bootstrap, "counted", 100, **{"no.such.thing": 1})


def test_a_process_has_cpu_time_and_memory(broker: MqBroker) -> None:
    assert cpu_seconds(broker.pid) > 0
    proportional, resident = memory(broker.pid)
    assert 0 < proportional <= resident

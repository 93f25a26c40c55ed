"""What exists: proposals change nothing, records change everything."""

from __future__ import annotations

from uuid import UUID

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from mq.broker.catalog import FEATURES, Catalog, check_replicas
from mq.errors import ErrorCode, KafkaError
from mq.wire.state_record import decode_metadata, encode_metadata

NAMES = ["orders", "orders.placed", "orders_placed", "a", "a-b"]


def apply_all(catalog, records):
    return [catalog.apply(record) for record in records]


def state_of(catalog):
    return {
        topic.name: (topic.id, topic.partitions, topic.configs) for topic in catalog.topics.values()
    }


@pytest.fixture
def catalog():
    return Catalog()


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "ä", "a b", "x" * 250, "a\n"])
def test_illegal_names_are_refused(catalog, name):
    with pytest.raises(KafkaError) as refused:
        catalog.create_topic(name, UUID(int=5), 1, {})
    assert refused.value.code is ErrorCode.INVALID_TOPIC_EXCEPTION


def test_the_metadata_log_cannot_be_created(catalog):
    with pytest.raises(KafkaError) as refused:
        catalog.create_topic("__cluster_metadata", UUID(int=5), 1, {})
    assert refused.value.code is ErrorCode.INVALID_REQUEST


@pytest.mark.parametrize("count", [0, -2, 10_001])
def test_a_topic_has_a_sensible_number_of_partitions(catalog, count):
    with pytest.raises(KafkaError) as refused:
        catalog.create_topic("t", UUID(int=5), count, {})
    assert refused.value.code is ErrorCode.INVALID_PARTITIONS


@pytest.mark.parametrize(
    "configs",
    [{"no.such.thing": "1"}, {"retention.ms": "soon"}, {"retention.ms": None}],
)
def test_illegal_settings_are_refused(catalog, configs):
    with pytest.raises(KafkaError) as refused:
        catalog.create_topic("t", UUID(int=5), 1, configs)
    assert refused.value.code is ErrorCode.INVALID_CONFIG


def test_names_that_differ_in_dots_and_underscores_collide_until_one_is_removed(catalog):
    apply_all(catalog, catalog.create_topic("a.b", UUID(int=5), 1, {}))
    with pytest.raises(KafkaError) as refused:
        catalog.create_topic("a_b", UUID(int=6), 1, {})
    assert refused.value.code is ErrorCode.INVALID_TOPIC_EXCEPTION
    apply_all(catalog, catalog.delete_topic(catalog.topics["a.b"]))
    assert catalog.create_topic("a_b", UUID(int=6), 1, {})


@pytest.mark.parametrize("brokers", [[], [2], [1, 1]])
def test_a_partition_lives_on_this_node_alone(brokers):
    with pytest.raises(KafkaError) as refused:
        check_replicas(brokers)
    assert refused.value.code is ErrorCode.INVALID_REPLICA_ASSIGNMENT


def test_blocks_of_producer_ids_do_not_overlap(catalog):
    firsts = []
    for _ in range(3):
        firsts.append(catalog.next_producer_id)
        apply_all(catalog, catalog.reserve_producer_ids())
    assert firsts == [0, 1000, 2000]


def test_features_are_finalized_once(catalog):
    apply_all(catalog, catalog.finalize_features())
    assert catalog.features == {name: highest for name, (_, highest) in FEATURES.items()}
    assert catalog.features["group.version"] == 1
    assert catalog.finalize_features() == []


class CatalogMachine(RuleBasedStateMachine):
    """A catalog against a plain model; what was written rebuilds it at any moment."""

    def __init__(self):
        super().__init__()
        self.catalog = Catalog()
        self.model = {}
        self.log: list[bytes] = []
        self.ids = 0

    def perform(self, propose):
        before = state_of(self.catalog)
        try:
            records = propose()
        except KafkaError as refusal:
            assert state_of(self.catalog) == before
            return refusal.code
        assert state_of(self.catalog) == before
        self.log += map(encode_metadata, records)
        apply_all(self.catalog, records)
        return ErrorCode.NONE

    @rule(name=st.sampled_from(NAMES), count=st.integers(1, 3))
    def create(self, name, count):
        self.ids += 1
        topic_id = UUID(int=self.ids)
        code = self.perform(lambda: self.catalog.create_topic(name, topic_id, count, {}))
        if name in self.model:
            assert code is ErrorCode.TOPIC_ALREADY_EXISTS
        elif any(other.replace(".", "_") == name.replace(".", "_") for other in self.model):
            assert code is ErrorCode.INVALID_TOPIC_EXCEPTION
        else:
            assert code is ErrorCode.NONE
            self.model[name] = (topic_id, count, {})

    @precondition(lambda self: self.model)
    @rule(data=st.data())
    def delete(self, data):
        name = data.draw(st.sampled_from(sorted(self.model)))
        topic = self.catalog.topics[name]
        assert self.perform(lambda: self.catalog.delete_topic(topic)) is ErrorCode.NONE
        del self.model[name]

    @precondition(lambda self: self.model)
    @rule(data=st.data(), count=st.integers(1, 6))
    def grow(self, data, count):
        name = data.draw(st.sampled_from(sorted(self.model)))
        topic = self.catalog.topics[name]
        code = self.perform(lambda: self.catalog.add_partitions(topic, count))
        topic_id, before, configs = self.model[name]
        if count <= before:
            assert code is ErrorCode.INVALID_PARTITIONS
        else:
            self.model[name] = (topic_id, count, configs)

    @precondition(lambda self: self.model)
    @rule(
        data=st.data(),
        configs=st.dictionaries(
            st.sampled_from(["retention.ms", "segment.ms"]), st.sampled_from(["1", "2", "x"])
        ),
    )
    def configure(self, data, configs):
        name = data.draw(st.sampled_from(sorted(self.model)))
        topic = self.catalog.topics[name]
        code = self.perform(lambda: self.catalog.configure(topic, configs))
        if "x" in configs.values():
            assert code is ErrorCode.INVALID_CONFIG
        else:
            topic_id, count, _ = self.model[name]
            self.model[name] = (topic_id, count, configs)

    @invariant()
    def it_is_what_the_model_says(self):
        assert state_of(self.catalog) == self.model
        assert {topic.name for topic in self.catalog.by_id.values()} == set(self.model)

    def teardown(self):
        rebuilt = Catalog()
        for value in self.log:
            rebuilt.apply(decode_metadata(value))
        assert state_of(rebuilt) == self.model


CatalogMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)


class TestCatalogMachine(CatalogMachine.TestCase):
    """Any sequence of changes, replayed from its records."""

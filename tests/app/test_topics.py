"""Topics beside the sources: planned from what there is."""

from __future__ import annotations

from mq.app.retry import parse_tiers
from mq.app.topics import Source, existing_tiers, plan

TIERS = parse_tiers(["10s", "1h"])
SOURCE = Source("billing", "orders", TIERS)


def test_everything_missing_is_made_with_as_many_partitions_as_the_source() -> None:
    todo = plan([SOURCE], {"orders": 3}, {"orders": 1000})
    made = {topic.name: topic for topic in todo.create}
    assert set(made) == {
        "dlq.billing.orders",
        "retry.billing.orders.10s",
        "retry.billing.orders.1h",
    }
    assert {topic.partitions for topic in made.values()} == {3}
    assert made["dlq.billing.orders"].settings == {
        "cleanup.policy": "delete",
        "max.message.bytes": str(1000 + 65_536),
        "retention.ms": "-1",
    }
    week = 7 * 86_400
    longest = made["retry.billing.orders.10s"].settings["retention.ms"]
    assert int(longest) >= (3600 + week) * 1000
    assert todo.grow == {}


def test_what_fell_behind_a_grown_source_is_grown_also_in_old_tiers() -> None:
    topics = {
        "orders": 5,
        "dlq.billing.orders": 5,
        "retry.billing.orders.10s": 3,
        "retry.billing.orders.1h": 9,
        "retry.billing.orders.5m": 3,
        "retry.shipping.orders.10s": 3,
    }
    todo = plan([SOURCE], topics, {})
    assert todo.create == ()
    assert todo.grow == {"retry.billing.orders.10s": 5, "retry.billing.orders.5m": 5}


def test_existing_tiers_are_those_of_the_group_and_topic() -> None:
    topics = ["retry.billing.orders.5m", "retry.billing.orders.x.5m", "retry.a.orders.1m", "orders"]
    assert [tier.name for tier in existing_tiers(topics, "billing", "orders")] == ["5m"]

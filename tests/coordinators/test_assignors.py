"""Assignors: everything is given once, to one who wants it; fairly; and little moves."""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mq.coordinators.assignors import ASSIGNORS, Subscriber, assign_range, assign_uniform
from mq.coordinators.topic_id_partitions import TopicIdPartition, by_topic

A, B, C = (UUID(int=number) for number in (1, 2, 3))
TOPICS = (A, B, C)

Assigned = dict[str, frozenset[TopicIdPartition]]


def places(topic_id: UUID, *partitions: int) -> frozenset[TopicIdPartition]:
    return frozenset(TopicIdPartition(topic_id, partition) for partition in partitions)


def sizes(assigned: Assigned) -> list[int]:
    return sorted(len(each) for each in assigned.values())


@st.composite
def groups(draw: st.DrawFn) -> tuple[list[Subscriber], dict[UUID, int]]:
    """Members with subscriptions and former targets, and how many partitions there are."""
    counts = {topic_id: draw(st.integers(1, 9)) for topic_id in TOPICS}
    free = [TopicIdPartition(t, i) for t in TOPICS for i in range(10)]
    members = []
    for number in range(draw(st.integers(1, 5))):
        topics = frozenset(draw(st.sets(st.sampled_from(TOPICS))))
        target = frozenset(draw(st.sets(st.sampled_from(free), max_size=8)) if free else ())
        free = [place for place in free if place not in target]
        instance_id = draw(st.sampled_from([None, f"i{number}"]))
        members.append(Subscriber(f"m{number}", instance_id, topics, target))
    return members, counts


@pytest.mark.parametrize("assign", ASSIGNORS.values(), ids=list(ASSIGNORS))
def test_every_partition_is_given_once_to_one_who_subscribes(
    assign: Callable[..., Assigned],
) -> None:
    @given(groups())
    def check(group: tuple[list[Subscriber], dict[UUID, int]]) -> None:
        members, counts = group
        assigned = assign(members, counts)
        topics = {member.member_id: member.topics for member in members}
        assert assigned.keys() == topics.keys()
        given_away = [(place, name) for name, each in assigned.items() for place in each]
        assert all(place.topic_id in topics[name] for place, name in given_away)
        wanted = frozenset[UUID]().union(*topics.values())
        expected = [TopicIdPartition(t, i) for t in wanted for i in range(counts[t])]
        assert sorted(place for place, _ in given_away) == sorted(expected)

    check()


@given(groups())
def test_uniform_leaves_nobody_with_two_more_than_one_who_could_take_one(
    group: tuple[list[Subscriber], dict[UUID, int]],
) -> None:
    members, counts = group
    assigned = assign_uniform(members, counts)
    for rich in members:
        for poor in members:
            takes = [p for p in assigned[rich.member_id] if p.topic_id in poor.topics]
            if takes:
                assert len(assigned[rich.member_id]) - len(assigned[poor.member_id]) <= 1


@given(groups())
def test_uniform_moves_nothing_when_nothing_changed(
    group: tuple[list[Subscriber], dict[UUID, int]],
) -> None:
    members, counts = group
    once = assign_uniform(members, counts)
    settled = [member._replace(target=once[member.member_id]) for member in members]
    assert assign_uniform(settled, counts) == once


def test_uniform_moves_only_what_a_new_member_needs() -> None:
    members = [
        Subscriber("a", None, frozenset([A]), places(A, 0, 1, 2, 3)),
        Subscriber("b", None, frozenset([A]), places(A, 4, 5, 6, 7)),
        Subscriber("c", None, frozenset([A])),
    ]
    assigned = assign_uniform(members, {A: 8})
    assert sizes(assigned) == [2, 3, 3]
    for member in members[:2]:
        assert assigned[member.member_id] < member.target


def test_uniform_gives_what_one_leaves_to_the_others() -> None:
    members = [
        Subscriber("a", None, frozenset([A]), places(A, 0, 1)),
        Subscriber("b", None, frozenset([A]), places(A, 2, 3)),
    ]
    assigned = assign_uniform(members, {A: 7})
    assert sizes(assigned) == [3, 4]
    assert all(member.target <= assigned[member.member_id] for member in members)


def test_uniform_evens_out_different_subscriptions() -> None:
    members = [
        Subscriber("both", None, frozenset([A, B]), places(A, 0, 1, 2, 3)),
        Subscriber("one", None, frozenset([A])),
    ]
    assert sizes(assign_uniform(members, {A: 4, B: 2})) == [3, 3]


def test_range_gives_neighbours_of_every_topic_in_the_same_order() -> None:
    topics = frozenset([A, B])
    members = [Subscriber(name, None, topics) for name in ("c", "a", "b")]
    assigned = assign_range(members, {A: 7, B: 7})
    shares = {name: by_topic(each) for name, each in assigned.items()}
    for topic_id in topics:
        assert shares["a"][topic_id] == [0, 1, 2]
        assert shares["b"][topic_id] == [3, 4]
        assert shares["c"][topic_id] == [5, 6]


def test_range_ranks_static_members_by_their_instances() -> None:
    topics = frozenset([A])
    members = [
        Subscriber("a", None, topics),
        Subscriber("x", "two", topics),
        Subscriber("z", "one", topics),
    ]
    assigned = assign_range(members, {A: 3})
    assert assigned == {"z": places(A, 0), "x": places(A, 1), "a": places(A, 2)}


def test_range_leaves_some_with_nothing_if_there_are_few_partitions() -> None:
    topics = frozenset([A])
    assigned = assign_range([Subscriber(name, None, topics) for name in "abc"], {A: 1})
    assert sizes(assigned) == [0, 0, 1]

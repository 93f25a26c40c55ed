"""Which member of a consumer group is to have which partitions: uniform and range (KIP-848).

The coordinator itself assigns. An assignor looks at what everybody subscribes to and at the target
that it decided on before, and gives every partition of a topic to exactly one of those who
subscribe to it, if anybody does. It knows nothing of what members own at present.

``uniform`` is fair, then steady: no member has two partitions more than another that could take one
of them, and what can stay stays. ``range`` gives each member neighbouring partitions of each topic,
counted from the same end, so that topics with equal numbers of partitions and subscribers are split
alike. Racks are not looked at: there is one node.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice
from typing import Final, NamedTuple, TypeAlias
from uuid import UUID

from mq.coordinators.topic_id_partitions import TopicIdPartition

__all__ = [
    "ASSIGNORS",
    "DEFAULT_ASSIGNOR",
    "Subscriber",
    "Target",
    "assign_range",
    "assign_uniform",
]

Target: TypeAlias = frozenset[TopicIdPartition]
Counts: TypeAlias = Mapping[UUID, int]
"""How many partitions each topic has."""


class Subscriber(NamedTuple):
    """A member as assignors see it: the existing topics it subscribes to, and its last target."""

    member_id: str
    instance_id: str | None
    topics: frozenset[UUID]
    target: Target = frozenset()


def assign_range(members: Sequence[Subscriber], counts: Counts) -> dict[str, Target]:
    """Give each member a range of each of its topics.

    Static members come first, in the order of their instance ids: who restarts keeps its range.
    """
    ordered = sorted(members, key=_rank)
    places: dict[str, list[TopicIdPartition]] = {member.member_id: [] for member in ordered}
    for topic_id, subscribers in _subscribers(ordered).items():
        least, extra = divmod(counts[topic_id], len(subscribers))
        start = 0
        for number, member in enumerate(subscribers):
            stop = start + least + (number < extra)
            places[member.member_id] += (TopicIdPartition(topic_id, i) for i in range(start, stop))
            start = stop
    return {member_id: frozenset(given) for member_id, given in places.items()}


def _rank(member: Subscriber) -> tuple[bool, str]:
    return (member.instance_id is None, member.instance_id or member.member_id)


def _ordered(places: Iterable[TopicIdPartition]) -> list[TopicIdPartition]:
    return sorted(places, key=lambda place: (place.topic_id.int, place.partition))


def _subscribers(members: Iterable[Subscriber]) -> dict[UUID, list[Subscriber]]:
    subscribers: dict[UUID, list[Subscriber]] = {}
    for member in members:
        for topic_id in member.topics:
            subscribers.setdefault(topic_id, []).append(member)
    return subscribers


def assign_uniform(members: Sequence[Subscriber], counts: Counts) -> dict[str, Target]:
    """Give each member as many partitions as any other, and move as few as that allows."""
    if len({member.topics for member in members}) == 1:
        return _assign_alike(members, counts)
    return _assign_mixed(members, counts)


def _assign_alike(members: Sequence[Subscriber], counts: Counts) -> dict[str, Target]:
    """All subscribe to the same topics: then everybody has a quota, and what is over is dealt."""
    free = {
        TopicIdPartition(topic_id, index)
        for topic_id in members[0].topics
        for index in range(counts[topic_id])
    }
    quota, extra = divmod(len(free), len(members))
    # Who has most already may keep one more: it has to give away the least.
    fullest_first = sorted(members, key=lambda member: -len(member.target))
    kept: dict[str, list[TopicIdPartition]] = {}
    room: dict[str, int] = {}
    for number, member in enumerate(fullest_first):
        share = quota + (number < extra)
        keep = list(islice((place for place in _ordered(member.target) if place in free), share))
        free.difference_update(keep)
        kept[member.member_id], room[member.member_id] = keep, share - len(keep)
    left = iter(_ordered(free))
    return {
        member.member_id: frozenset(
            [*kept[member.member_id], *islice(left, room[member.member_id])]
        )
        for member in members
    }


def _assign_mixed(members: Sequence[Subscriber], counts: Counts) -> dict[str, Target]:
    """Members subscribe to different topics: begin with what they have, then even out."""
    subscribers = _subscribers(members)
    owners: dict[TopicIdPartition, str] = {}
    for member in members:
        for place in member.target:
            if place.topic_id in member.topics and place.partition < counts[place.topic_id]:
                owners.setdefault(place, member.member_id)
    load = {member.member_id: 0 for member in members}
    for member_id in owners.values():
        load[member_id] += 1
    # Topics with few takers first: those with many find room afterwards.
    for topic_id in sorted(subscribers, key=lambda each: (len(subscribers[each]), each)):
        takers = [member.member_id for member in subscribers[topic_id]]
        for index in range(counts[topic_id]):
            place = TopicIdPartition(topic_id, index)
            if place not in owners:
                owners[place] = min(takers, key=load.__getitem__)
                load[owners[place]] += 1
    _even_out(owners, load, subscribers)
    places: dict[str, list[TopicIdPartition]] = {member_id: [] for member_id in load}
    for place, member_id in owners.items():
        places[member_id].append(place)
    return {member_id: frozenset(given) for member_id, given in places.items()}


def _even_out(
    owners: dict[TopicIdPartition, str],
    load: dict[str, int],
    subscribers: Mapping[UUID, Sequence[Subscriber]],
) -> None:
    """Move partitions to members that have at least two less, until there is nobody like that.

    Every move brings two loads closer together, so this ends.
    """
    moved = True
    while moved:
        moved = False
        for place in _ordered(owners):
            takers = [member.member_id for member in subscribers[place.topic_id]]
            least = min(takers, key=load.__getitem__)
            owner = owners[place]
            if load[owner] - load[least] > 1:
                owners[place] = least
                load[owner] -= 1
                load[least] += 1
                moved = True


DEFAULT_ASSIGNOR: Final = "uniform"

ASSIGNORS: Final[Mapping[str, Callable[[Sequence[Subscriber], Counts], dict[str, Target]]]] = {
    "uniform": assign_uniform,
    "range": assign_range,
}
"""By the names that clients ask for, the default first."""

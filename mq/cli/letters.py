"""Finding dead letters in a cluster, each with what has become of it.

End offsets are frozen when the search begins: letters that arrive while a person decides are not
among those that are then replayed.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from mq.app.dead_letters import STATE_TOPIC, DeadLetter, Resolution, state_key
from mq.cli.cluster import Cluster
from mq.cli.reader import Reader, Stretch
from mq.cli.selection import LetterId, Selection
from mq.errors import NothingMatched
from mq.record import TopicPartition

__all__ = ["Found", "find", "find_one"]


class Found(NamedTuple):
    """A dead letter, its name, and what became of it; None if it is open."""

    id: LetterId
    letter: DeadLetter
    resolution: Resolution | None

    @property
    def state(self) -> str:
        return self.resolution.state if self.resolution else "open"


def find(cluster: Cluster, selection: Selection) -> list[Found]:
    """All letters that ``selection`` covers, the oldest first.

    Raises:
        NothingMatched: a topic that it names does not exist.
    """
    counts = cluster.topics()
    topics = selection.topics_among(counts)
    if missing := [name for name in topics if name not in counts]:
        raise NothingMatched(f"there is no topic {', '.join(missing)}")
    partitions = [TopicPartition(name, each) for name in topics for each in range(counts[name])]
    resolutions = _resolutions(cluster, counts.get(STATE_TOPIC, 0)) if partitions else {}
    found = []
    with Reader(cluster.bootstrap, _stretches(cluster, partitions, selection)) as reader:
        for record in reader:
            letter = DeadLetter.from_record(record)
            resolution = resolutions.get(state_key(record))
            if selection.covers(letter, resolution):
                name = LetterId(record.topic, record.partition, record.offset)
                found.append(Found(name, letter, resolution))
    return sorted(found, key=lambda each: (each.letter.record.timestamp, each.id))


def find_one(cluster: Cluster, name: LetterId) -> Found:
    """The letter of that name, whatever became of it.

    Raises:
        NothingMatched: there is none.
    """
    found = find(cluster, Selection(ids=frozenset([name]), state="all"))
    if not found:
        raise NothingMatched(f"there is no dead letter {name}")
    return found[0]


def _stretches(
    cluster: Cluster, partitions: list[TopicPartition], selection: Selection
) -> dict[TopicPartition, Stretch]:
    """What has to be read: a letter's own offset if it is named, else all since the time asked."""
    spans = cluster.spans(partitions)
    begins = {each: span.start for each, span in spans.items()}
    if selection.since_ms is not None:
        times = cluster.offsets_at(dict.fromkeys(spans, selection.since_ms))
        begins = {each: spans[each].end if at is None else at for each, at in times.items()}
    stretches = {each: Stretch(begins[each], span.end) for each, span in spans.items()}
    if selection.ids and not selection.topics:
        named: dict[TopicPartition, list[int]] = {}
        for letter in selection.ids:
            named.setdefault(letter.topic_partition, []).append(letter.offset)
        stretches = {
            each: Stretch(max(at.begin, min(named[each])), min(at.end or 0, max(named[each]) + 1))
            for each, at in stretches.items()
            if each in named
        }
    return stretches


def _resolutions(cluster: Cluster, partitions: int) -> dict[bytes, Resolution]:
    """What became of letters, by the key of the state topic; the last word counts."""
    spans = cluster.spans(TopicPartition(STATE_TOPIC, each) for each in range(partitions))
    found: dict[bytes, Resolution] = {}
    with Reader(
        cluster.bootstrap, {at: Stretch(span.start, span.end) for at, span in spans.items()}
    ) as reader:
        for record in reader:
            if record.key is None:
                continue
            found.pop(record.key, None)
            if record.value is not None:
                try:
                    found[record.key] = Resolution.decode(record.value)
                except msgspec.DecodeError:
                    pass  # not ours: the letter counts as open, which loses nothing
    return found

"""A history: what was sent, what was acknowledged, what was read, and where the three disagree.

Values are what a history is kept by, so each is sent to a topic once and never again (a producer's
name and a number will do). The anomalies are those that Jepsen's Kafka tests look for, as far as
they can be told without transactions:

* *lost*: acknowledged, and not among what was read, although reading reached its offset;
* *displaced*: acknowledged at one offset and read at another;
* *doubled*: read at two offsets;
* *torn*: two values at one offset, seen by two readers or by one reader twice;
* *invented*: read, and never sent;
* *aborted*: read, although the sender was told for certain that it had failed;
* *disordered*: one producer's values in one partition, read in another order than sent.

A send that was neither acknowledged nor refused may be there or not. The calls that record may come
from any thread, and may go on while :meth:`History.anomalies` is asked. Knows no client and no
broker.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Final, NamedTuple

from mq.record import TopicPartition

__all__ = ["Anomaly", "History"]


# What is shown of a value: its beginning tells it from others.
_VALUE_SHOWN: Final = 40


class Anomaly(NamedTuple):
    """One disagreement; ``kind`` is one of the module's list."""

    kind: str
    value: bytes
    text: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.value[:_VALUE_SHOWN]!r} {self.text}"


class Place(NamedTuple):
    """Where a record lies."""

    partition: TopicPartition
    offset: int


class History:
    """One history; see the module.

    Attributes:
        acknowledged: where the broker said that a value lies.
    """

    def __init__(self) -> None:
        self.acknowledged: dict[bytes, Place] = {}
        self._sent: dict[bytes, tuple[str, int]] = {}  # its producer, and its number there
        self._counts: dict[str, int] = defaultdict(int)
        self._refused: set[bytes] = set()
        self._read: dict[Place, set[bytes]] = defaultdict(set)
        self._ends: dict[TopicPartition, int] = {}
        self._starts: dict[TopicPartition, int] = {}

    # --- what happened ---------------------------------------------------------------------------

    def sent(self, producer: str, value: bytes) -> None:
        """``producer`` is about to send ``value``.

        Raises:
            ValueError: the value was sent before.
        """
        if value in self._sent:
            raise ValueError(f"{value!r} was sent before; a history needs values that differ")
        self._sent[value] = producer, self._counts[producer]
        self._counts[producer] += 1

    def acknowledge(self, value: bytes, partition: TopicPartition, offset: int) -> None:
        """The broker said that ``value`` is stored, and where."""
        self.acknowledged[value] = Place(partition, offset)

    def refuse(self, value: bytes) -> None:
        """It is certain that ``value`` was not stored; a doubtful fate is not told at all."""
        self._refused.add(value)

    def read(self, partition: TopicPartition, offset: int, value: bytes) -> None:
        """A reader was given ``value``."""
        self._read[Place(partition, offset)].add(value)

    def read_to(self, partition: TopicPartition, offset: int) -> None:
        """Some reader has read everything in ``partition`` from its start up to ``offset``."""
        self._ends[partition] = max(offset, self._ends.get(partition, 0))

    def acknowledged_ends(self) -> dict[TopicPartition, int]:
        """Behind the highest offset acknowledged so far, by partition.

        Who reads to the end of a partition has read up to here at least, or something is lost.
        """
        ends: dict[TopicPartition, int] = defaultdict(int)
        for partition, offset in list(self.acknowledged.values()):  # others may go on
            ends[partition] = max(offset + 1, ends[partition])
        return ends

    def values_read(self) -> set[bytes]:
        """Every value that any reader was given."""
        return {value for values in self._read.values() for value in values}

    def deleted_to(self, partition: TopicPartition, offset: int) -> None:
        """Records in ``partition`` below ``offset`` were to be deleted: nobody misses them."""
        self._starts[partition] = max(offset, self._starts.get(partition, 0))

    # --- what is wrong ---------------------------------------------------------------------------

    def anomalies(self) -> list[Anomaly]:
        """Everything that must not be; an empty list is what one hopes for."""
        places: dict[bytes, list[Place]] = defaultdict(list)
        for place, values in self._read.items():
            for value in values:
                places[value].append(place)
        return [*self._misplaced(places), *self._unfounded(places), *self._disordered()]

    def _misplaced(self, places: dict[bytes, list[Place]]) -> Iterator[Anomaly]:
        for value, told in list(self.acknowledged.items()):  # others may go on
            found = places.get(value)
            if found and told not in found:
                yield Anomaly("displaced", value, f"acknowledged at {told}, read at {found[0]}")
            elif not found and self._is_missed(told):
                yield Anomaly("lost", value, f"acknowledged at {told}, not read there")
        for value, found in places.items():
            if len(found) > 1:
                yield Anomaly("doubled", value, f"read at {', '.join(map(str, sorted(found)))}")
        for place, values in self._read.items():
            if len(values) > 1:
                first, *others = sorted(values)
                yield Anomaly("torn", first, f"and {others} were read at {place}")

    def _is_missed(self, place: Place) -> bool:
        start, end = self._starts.get(place.partition, 0), self._ends.get(place.partition, 0)
        return start <= place.offset < end

    def _unfounded(self, places: dict[bytes, list[Place]]) -> Iterator[Anomaly]:
        for value, found in places.items():
            if value not in self._sent:
                yield Anomaly("invented", value, f"read at {found[0]}, never sent")
            elif value in self._refused:
                yield Anomaly("aborted", value, f"read at {found[0]}, although it was refused")

    def _disordered(self) -> Iterator[Anomaly]:
        latest: dict[tuple[str, TopicPartition], int] = {}
        for place in sorted(self._read):
            for value in sorted(self._read[place]):
                if value in self._sent:
                    producer, number = self._sent[value]
                    key = producer, place.partition
                    if number < latest.get(key, -1):
                        yield Anomaly("disordered", value, f"read at {place}, behind a later one")
                    latest[key] = max(number, latest.get(key, -1))

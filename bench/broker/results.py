"""What was measured, apart from how, and the arithmetic of medians and ratios.

Results are values: they are printed, written as JSON and drawn without knowing what made them.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Literal

import msgspec


class Goal(msgspec.Struct, frozen=True):
    """What a figure is to reach: a bound of our value itself, or of its ratio to the peer's."""

    limit: float
    bound: Literal["at least", "at most"]
    of: Literal["ratio", "value"] = "ratio"

    def reached(self, ratio: float | None, value: float) -> bool:
        """Whether it is."""
        found = ratio if self.of == "ratio" else value
        if found is None:
            return False
        return found >= self.limit if self.bound == "at least" else found <= self.limit

    def __str__(self) -> str:
        sign = "≥" if self.bound == "at least" else "≤"
        return f"{sign} {self.limit:g}{'×' if self.of == 'ratio' else ''}"


class Figure(msgspec.Struct):
    """One line of a comparison: the rounds' values of both sides, in the order of the rounds."""

    name: str
    ours: list[float]
    theirs: list[float] = []
    goals: list[Goal] = []

    @property
    def ratios(self) -> list[float]:
        """Ours to theirs, round by round; none if there is no peer."""
        pairs = zip(self.ours, self.theirs, strict=False)
        return [ours / theirs for ours, theirs in pairs if theirs]

    @property
    def ratio(self) -> float | None:
        """The median of the ratios."""
        return statistics.median(self.ratios) if self.ratios else None

    @property
    def missed(self) -> list[Goal]:
        """The goals that are not reached."""
        value = statistics.median(self.ours)
        return [goal for goal in self.goals if not goal.reached(self.ratio, value)]


class Comparison(msgspec.Struct, tag=True):
    """A table of ours beside a peer's; without a peer, of ours alone."""

    title: str
    ours: str
    theirs: str
    figures: list[Figure]


class Growth(msgspec.Struct, tag=True):
    """Lines of values, each over the same steps of one quantity."""

    title: str
    over: str
    steps: list[float]
    lines: dict[str, list[float]]
    unit: str


class Section(msgspec.Struct):
    """What one module of measurements found."""

    name: str
    title: str
    about: str
    parts: list[Comparison | Growth]
    seconds: float = 0.0
    day: str = ""

    @property
    def comparisons(self) -> list[Comparison]:
        return [part for part in self.parts if isinstance(part, Comparison)]


class Results(msgspec.Struct):
    """A run on one machine."""

    machine: str
    rounds: int
    quick: bool
    sections: dict[str, Section]


def compare(
    title: str,
    ours: tuple[str, dict[str, list[float]]],
    theirs: tuple[str, dict[str, list[float]]],
    goals: dict[str, list[Goal]],
) -> Comparison:
    """A comparison of two sides' figures, in the order in which ours were noted."""
    figures = [
        Figure(name, values, theirs[1].get(name, []), goals.get(name, []))
        for name, values in ours[1].items()
    ]
    unknown = goals.keys() - ours[1].keys()
    assert not unknown, f"goals of figures that were not measured: {sorted(unknown)}"
    return Comparison(title, ours[0], theirs[0], figures)


def percentile(values: Sequence[float], percent: int) -> float:
    """The value that so many percent of them do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, len(ordered) * percent // 100)]

"""Pictures of results, as small SVG files that read in light and in dark pages.

Colours are of a middle brightness, so that one picture suits both; the background is the page's.
Two kinds: bars of ratios on a logarithmic scale, with a mark where the goal is, and lines over a
quantity that grows, logarithmic both ways.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Sequence
from html import escape

from bench.broker.results import Figure, Goal, Growth, Results, Section

GOALS = "broker-goals.svg"

TEXT = "#768390"
GRID = 0.3  # opacity of the lines that only guide the eye
REACHED = "#2da44e"
MISSED = "#e5534b"
LINES = ("#3b82f6", "#e08a1e", "#2da44e", "#b083f0")
FONT = "font-family='system-ui, sans-serif' font-size='12'"

BAR_HEIGHT = 20
LABEL_WIDTH = 330
BARS_WIDTH = 340
WIDTH = 720
GROWTH_HEIGHT = 260
MARGIN_LEFT, MARGIN_RIGHT, MARGIN_TOP, MARGIN_BOTTOM = 64, 24, 44, 40


def drawings(results: Results) -> Iterator[tuple[str, str]]:
    """Each picture's file name and text."""
    yield GOALS, goal_bars(results)
    for section in results.sections.values():
        for index, part in enumerate(section.parts):
            if isinstance(part, Growth):
                yield file_name(section, index), growth_lines(part)


def file_name(section: Section, part: int) -> str:
    """The name of the picture of a section's part."""
    return f"broker-{section.name}-{part + 1}.svg"


# --- bars ----------------------------------------------------------------------------------------


def goal_bars(results: Results) -> str:
    """How far each figure is from its goal: 1 is the goal, right of it is better."""
    bars = [
        (f"{section.name}: {figure.name} {goal}", figure, goal)
        for section in results.sections.values()
        for comparison in section.comparisons
        for figure in comparison.figures
        for goal in figure.goals
    ]
    height = MARGIN_TOP + BAR_HEIGHT * len(bars) + 12
    parts = [_text(8, 18, "Each figure as a multiple of its goal; right of the line it is reached")]
    for tick in (0.25, 0.5, 1, 2, 4, 8):
        x = _bar_x(tick)
        parts.append(_line(x, MARGIN_TOP - 8, x, height - 8, 1.0 if tick == 1 else GRID))
        parts.append(_text(x, MARGIN_TOP - 12, f"{tick:g}×", anchor="middle"))
    for number, (label, figure, goal) in enumerate(bars):
        parts += _bar(MARGIN_TOP + BAR_HEIGHT * number, label, figure, goal)
    return _svg(WIDTH, height, parts)


def _bar(top: float, label: str, figure: Figure, goal: Goal) -> Iterator[str]:
    found = figure.ratio if goal.of == "ratio" else statistics.median(figure.ours)
    if found is None or found <= 0:
        return
    times = found / goal.limit if goal.bound == "at least" else goal.limit / found
    end, middle = _bar_x(min(max(times, 0.25), 8)), _bar_x(1)
    colour = MISSED if figure.missed and not goal.reached(figure.ratio, found) else REACHED
    short = label if len(label) <= 58 else f"{label[:57]}…"
    yield _text(LABEL_WIDTH - 8, top + 14, short, anchor="end", size=10)
    yield (
        f"<rect x='{min(end, middle):.1f}' y='{top + 4}' width='{max(1, abs(end - middle)):.1f}' "
        f"height='{BAR_HEIGHT - 8}' fill='{colour}' rx='2'/>"
    )
    yield _text(max(end, middle) + 4, top + 14, f"{times:.2g}×", size=10)


def _bar_x(times: float) -> float:
    return LABEL_WIDTH + (math.log2(times) + 2) / 5 * BARS_WIDTH


# --- lines ---------------------------------------------------------------------------------------


def growth_lines(growth: Growth) -> str:
    """One line for each name, with its values at the points."""
    across = _Scale(growth.steps, MARGIN_LEFT, WIDTH - MARGIN_RIGHT)
    values = [value for line in growth.lines.values() for value in line]
    up = _Scale(values, GROWTH_HEIGHT - MARGIN_BOTTOM, MARGIN_TOP)
    parts = [_text(8, 18, f"{growth.title}, {growth.unit}")]
    for step in growth.steps:
        x = across.place(step)
        parts.append(_line(x, MARGIN_TOP, x, GROWTH_HEIGHT - MARGIN_BOTTOM, GRID))
        parts.append(_text(x, GROWTH_HEIGHT - 22, f"{step:,g}", anchor="middle"))
    parts.append(_text(WIDTH - MARGIN_RIGHT, GROWTH_HEIGHT - 6, growth.over, anchor="end"))
    for tick in up.ticks():
        y = up.place(tick)
        parts.append(_line(MARGIN_LEFT, y, WIDTH - MARGIN_RIGHT, y, GRID))
        parts.append(_text(MARGIN_LEFT - 6, y + 4, f"{tick:,g}", anchor="end"))
    for number, (name, line) in enumerate(growth.lines.items()):
        colour = LINES[number % len(LINES)]
        points = [(across.place(s), up.place(v)) for s, v in zip(growth.steps, line, strict=True)]
        parts += _curve(points, colour)
        if len(growth.lines) > 1:
            x = MARGIN_LEFT + 210 * number
            parts.append(f"<circle cx='{x + 5}' cy='32' r='4' fill='{colour}'/>")
            parts.append(_text(x + 14, 36, name))
    return _svg(WIDTH, GROWTH_HEIGHT, parts)


def _curve(points: Sequence[tuple[float, float]], colour: str) -> Iterator[str]:
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    yield f"<polyline points='{path}' fill='none' stroke='{colour}' stroke-width='2'/>"
    for x, y in points:
        yield f"<circle cx='{x:.1f}' cy='{y:.1f}' r='3.5' fill='{colour}'/>"


class _Scale:
    """Logarithmic, from the least to the greatest value; at least one power of ten."""

    def __init__(self, values: Sequence[float], start: float, end: float) -> None:
        positive = [value for value in values if value > 0] or [1.0]
        low, high = math.log10(min(positive)), math.log10(max(positive))
        spare = max(0.0, 1 - (high - low)) / 2
        self._low, self._high = low - spare, high + spare
        self._start, self._end = start, end

    def place(self, value: float) -> float:
        """Where a value is drawn; zero is at the very bottom."""
        share = (math.log10(value) - self._low) / (self._high - self._low) if value > 0 else 0.0
        return self._start + share * (self._end - self._start)

    def ticks(self) -> list[float]:
        """Round values inside; with a single power of ten, 2 and 5 as well."""
        powers = range(math.floor(self._low), math.ceil(self._high) + 1)
        factors = (1, 2, 5) if self._high - self._low < 2 else (1,)
        candidates = [factor * 10.0**power for power in powers for factor in factors]
        return [tick for tick in candidates if self._low <= math.log10(tick) <= self._high]


# --- SVG -----------------------------------------------------------------------------------------


def _svg(width: int, height: int, parts: Sequence[str]) -> str:
    head = f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {width} {height}' {FONT}>"
    return "\n".join((head, *parts, "</svg>\n"))


def _text(x: float, y: float, text: str, *, anchor: str = "start", size: int = 12) -> str:
    place = f"x='{x:.1f}' y='{y:.1f}' text-anchor='{anchor}' font-size='{size}'"
    return f"<text {place} fill='{TEXT}'>{escape(text)}</text>"


def _line(x1: float, y1: float, x2: float, y2: float, opacity: float) -> str:
    place = f"x1='{x1:.1f}' y1='{y1:.1f}' x2='{x2:.1f}' y2='{y2:.1f}'"
    return f"<line {place} stroke='{TEXT}' stroke-opacity='{opacity}'/>"

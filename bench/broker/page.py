"""Results as Markdown: what the terminal shows, and the broker's part of `docs/benchmarks.md`.

The page itself is written by hand but for what stands between two marks. The raw values lie beside
it as JSON; a run of single sections replaces these and leaves the others.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from pathlib import Path

import msgspec

from bench.broker import charts
from bench.broker.results import Comparison, Figure, Growth, Results, Section
from bench.broker.sections import SECTIONS

PAGE = "benchmarks.md"
ASSETS = "assets"
VALUES = "broker-figures.json"
BEGIN = "<!-- measured by bench.broker: begin -->"
END = "<!-- measured by bench.broker: end -->"


def write(results: Results, docs: Path) -> None:
    """Put a run's figures into the docs, beside those of earlier runs of other sections."""
    values = docs / ASSETS / VALUES
    values.parent.mkdir(exist_ok=True)
    if values.exists():
        earlier = msgspec.json.decode(values.read_bytes(), type=Results)
        results.sections = {**earlier.sections, **results.sections}
    values.write_bytes(msgspec.json.format(msgspec.json.encode(results), indent=1) + b"\n")
    draw(docs)


def draw(docs: Path) -> None:
    """Make the tables and the pictures from the values that lie there."""
    results = msgspec.json.decode((docs / ASSETS / VALUES).read_bytes(), type=Results)
    results.sections = {n: results.sections[n] for n in SECTIONS if n in results.sections}
    for name, drawing in charts.drawings(results):
        (docs / ASSETS / name).write_text(drawing, encoding="utf-8")
    page = docs / PAGE
    before, begin, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    assert begin, f"{page} lacks its marks"
    assert end, f"{page} lacks its marks"
    body = "\n".join(_page_lines(results))
    page.write_text(f"{before}{BEGIN}\n\n{body}\n\n{END}{after}", encoding="utf-8")


def _page_lines(results: Results) -> Iterator[str]:
    yield f"{results.machine}; {results.rounds} rounds. The raw values of all rounds are in"
    yield f"[{VALUES}]({ASSETS}/{VALUES})."
    yield from ("", *_overview(results), "")
    yield f"![Every figure beside its goal]({ASSETS}/{charts.GOALS})"
    for section in results.sections.values():
        yield from ("", *section_lines(section, pictures=True))


def _overview(results: Results) -> Iterator[str]:
    figures = [
        figure
        for section in results.sections.values()
        for comparison in section.comparisons
        for figure in comparison.figures
        if figure.goals
    ]
    missed = sum(bool(figure.missed) for figure in figures)
    yield f"{len(figures) - missed} of {len(figures)} figures that have a goal reach it."


def section_lines(section: Section, *, pictures: bool) -> Iterator[str]:
    """A section with its tables, and the pictures of its growth if they are wanted."""
    yield from (f"### {section.title}", "")
    yield from (f"`python -m bench.broker {section.name}`, {section.day}", "")
    yield section.about
    for place, part in enumerate(section.parts):
        yield ""
        if isinstance(part, Comparison):
            yield from _comparison_lines(part)
        else:
            yield from _growth_lines(part)
            if pictures:
                yield from ("", f"![{part.title}]({ASSETS}/{charts.file_name(section, place)})")


def _comparison_lines(comparison: Comparison) -> Iterator[str]:
    if not comparison.theirs:
        yield f"| {comparison.title} | {comparison.ours} | goal | |"
        yield "| --- | ---: | ---: | --- |"
        for figure in comparison.figures:
            yield f"| {figure.name} | {_median(figure.ours)} | {_goals(figure)} |"
        return
    yield f"| {comparison.title} | {comparison.ours} | {comparison.theirs} | ratio | goal | |"
    yield "| --- | ---: | ---: | ---: | ---: | --- |"
    for figure in comparison.figures:
        ours, theirs = _median(figure.ours), _median(figure.theirs)
        yield f"| {figure.name} | {ours} | {theirs} | {_ratio(figure)} | {_goals(figure)} |"


def _median(values: list[float]) -> str:
    return number(statistics.median(values)) if values else ""


def number(value: float) -> str:
    """Three digits that mean something, without an exponent."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _ratio(figure: Figure) -> str:
    if figure.ratio is None:
        return ""
    if len(figure.ratios) == 1:
        return f"{figure.ratio:.2f}×"
    return f"{figure.ratio:.2f}× ({min(figure.ratios):.2f}–{max(figure.ratios):.2f})"


def _goals(figure: Figure) -> str:
    """Two cells: the goals, and whether they are reached."""
    if not figure.goals:
        return " | "
    goals = ", ".join(map(str, figure.goals))
    return f"{goals} | {'missed' if figure.missed else 'reached'}"


def _growth_lines(growth: Growth) -> Iterator[str]:
    steps = " | ".join(number(step) for step in growth.steps)
    yield f"| {growth.title}, {growth.unit} | {steps} {growth.over} |"
    yield f"| --- |{' ---: |' * len(growth.steps)}"
    for name, values in growth.lines.items():
        yield f"| {name} | {' | '.join(map(number, values))} |"

"""The arithmetic, the page and the pictures of the broker's benchmarks."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import pytest

from bench.broker import charts, page
from bench.broker.results import (
    Comparison,
    Figure,
    Goal,
    Growth,
    Results,
    Section,
    compare,
    percentile,
)
from bench.broker.wire import batch_of
from mq.wire.batch import check


def section(name: str, ours: list[float], theirs: list[float]) -> Section:
    figure = Figure("p50, ms", ours, theirs, [Goal(0.6, "at most")])
    growth = Growth("Memory", "partitions", [1, 10, 100], {"mq": [20, 21, 0]}, "MiB")
    return Section(name, "Title", "About.", [Comparison("Both", "mq", "Kafka", [figure]), growth])


def results(*sections: Section) -> Results:
    return Results("a machine", 3, False, {one.name: one for one in sections})


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    (tmp_path / page.PAGE).write_text(f"before\n{page.BEGIN}\nold\n{page.END}\nafter\n")
    return tmp_path


def test_the_ratio_is_the_median_of_the_rounds_and_not_of_the_medians() -> None:
    assert Figure("x", [1.0, 10.0, 4.0], [2.0, 10.0, 1.0]).ratio == 1.0


@pytest.mark.parametrize(
    ("goal", "missed"),
    [
        (Goal(1.2, "at least"), True),
        (Goal(1.0, "at least"), False),
        (Goal(0.9, "at most"), True),
        (Goal(5.0, "at most", "value"), False),
        (Goal(3.0, "at most", "value"), True),
    ],
)
def test_a_goal_bounds_the_ratio_or_the_value(goal: Goal, missed: bool) -> None:
    assert bool(Figure("x", [4.0], [4.0], [goal]).missed) is missed


def test_a_ratio_that_was_not_measured_reaches_no_goal() -> None:
    assert Figure("x", [4.0], [], [Goal(0.1, "at least")]).missed


def test_a_goal_of_a_figure_that_was_not_measured_is_an_error() -> None:
    with pytest.raises(AssertionError, match="not measured"):
        compare("t", ("mq", {"a": [1.0]}), ("Kafka", {"a": [1.0]}), {"b": [Goal(1.0, "at least")]})


def test_a_percentile_is_one_of_the_values() -> None:
    assert [percentile([3.0, 1.0, 2.0], percent) for percent in (0, 50, 99, 100)] == [1, 2, 3, 3]


def test_writing_replaces_what_stands_between_the_marks_and_nothing_else(docs: Path) -> None:
    page.write(results(section("latency", [1.0], [2.0])), docs)
    text = (docs / page.PAGE).read_text()
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "old" not in text
    assert "| p50, ms | 1 | 2 | 0.50× | ≤ 0.6× | reached |" in text


def test_a_run_of_one_section_keeps_the_figures_of_the_others(docs: Path) -> None:
    page.write(results(section("latency", [1.0], [2.0]), section("starts", [3.0], [4.0])), docs)
    page.write(results(section("latency", [7.0], [8.0])), docs)
    text = (docs / page.PAGE).read_text()
    assert "| p50, ms | 3 | 4 | 0.75× | ≤ 0.6× | missed |" in text
    assert "| p50, ms | 7 | 8 | 0.88× | ≤ 0.6× | missed |" in text
    assert "| p50, ms | 1 | 2 |" not in text


def test_every_picture_on_the_page_is_there_and_well_formed(docs: Path) -> None:
    page.write(results(section("latency", [1.0], [2.0])), docs)
    text = (docs / page.PAGE).read_text()
    pictures = sorted((docs / page.ASSETS).glob("*.svg"))
    assert {picture.name for picture in pictures} == {charts.GOALS, "broker-latency-2.svg"}
    for picture in pictures:
        assert f"]({page.ASSETS}/{picture.name})" in text
        assert ElementTree.fromstring(picture.read_text()).tag.endswith("svg")


@pytest.mark.parametrize("size", [1024, 16_384, 65_536, 1_048_576])
@pytest.mark.parametrize("record_size", [100, 512])
def test_a_batch_has_exactly_the_size_that_was_asked_for(size: int, record_size: int) -> None:
    data, records = batch_of(size, record_size)
    header = check(data)
    assert (header.length, header.count) == (size, records)

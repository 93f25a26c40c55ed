"""Where an answer ends that cannot take all there is."""

from __future__ import annotations

from pathlib import Path

import pytest

from mq.log.files import File, Files
from mq.log.index import OffsetIndex
from mq.log.slices import cut


@pytest.fixture
def file(tmp_path: Path) -> File:
    return Files().open(tmp_path / "a.log", create=True)


@pytest.fixture
def index() -> OffsetIndex:
    """Of batches of 100 bytes, all but the first."""
    index = OffsetIndex(0)
    for number in range(1, 10):
        index.append(number, 100 * number)
    return index


@pytest.mark.parametrize(
    ("max_bytes", "size"),
    [(0, 100), (99, 100), (100, 100), (150, 100), (199, 100), (200, 200), (399, 300), (5000, 1000)],
)
def test_a_batch_that_would_be_cut_off_is_left_out(
    file: File, index: OffsetIndex, max_bytes: int, size: int
) -> None:
    found = cut(file, 0, 100, 1000, max_bytes, hot=False, index=index)
    assert found is not None
    assert (found.position, found.size) == (0, size)


@pytest.mark.parametrize(("max_bytes", "size"), [(50, 100), (180, 180), (350, 350), (450, 400)])
def test_it_comes_cut_off_where_leaving_it_out_would_cost_more_than_half(
    file: File, max_bytes: int, size: int
) -> None:
    """An index that knows only some of the batches must not make answers short."""
    index = OffsetIndex(0)
    index.append(4, 400)
    found = cut(file, 0, 100, 1000, max_bytes, hot=False, index=index)
    assert found is not None
    assert found.size == size


def test_nothing_is_no_slice(file: File, index: OffsetIndex) -> None:
    assert cut(file, 100, 200, 100, 1000, hot=False, index=index) is None

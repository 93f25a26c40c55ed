"""The power of a real file system is cut under a loaded broker: nothing acknowledged is lost."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools.loop_disk import LoopDiskError
from tools.power_loop import run

pytestmark = pytest.mark.slow

CUTS = 5


def test_what_was_acknowledged_is_there_after_the_power_was_cut(tmp_path: Path) -> None:
    try:
        complaints = run(tmp_path, seed=1, count=CUTS)
    except LoopDiskError as error:
        pytest.skip(f"not run here: {error}")
    assert complaints == []

"""The demo tells its story to the end, on either engine."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_the_demo_accounts_for_every_order(engine: str, bootstrap: str, tmp_path: Path) -> None:
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    environment.pop("MQ_BOOTSTRAP", None)
    if engine == "kafka":
        environment["MQ_BOOTSTRAP"] = bootstrap
    done = subprocess.run(
        [sys.executable, "-m", "examples.orders"],
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=180,
    )
    assert done.returncode == 0, done.stdout
    assert "every order is accounted for" in done.stdout
    assert "1 dead letter replayed" in done.stdout

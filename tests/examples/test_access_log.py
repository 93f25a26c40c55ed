"""The access log example on real input: what handlers count is what awk counts."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from examples.access_log.ledger import Ledger

ROOT = Path(__file__).parents[2]
AWK = ROOT / "examples" / "access_log" / "count.awk"
KILLS = 5
LINES_MADE = 1_500


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten thousand lines of a real server's log where they are at hand, else lines made up."""
    real = Path(os.environ.get("MQ_ACCESS_LOG", ROOT.parent / "shared/data/apache_access.log"))
    if real.exists():
        return real
    chance = random.Random(7)
    made = tmp_path_factory.mktemp("log") / "access.log"
    lines = [
        f"10.0.0.{chance.randrange(9)} - - [17/May/2015:{chance.randrange(24):02}:05:03 +0000] "
        f'"GET /page/{n % 40}?q={n} HTTP/1.1" 200 {chance.randrange(9_000)} "-" "made"'
        for n in range(LINES_MADE)
    ]
    lines[100] = lines[100][:60]
    made.write_text("\n".join(lines) + "\n")
    return made


class Worker:
    """``mq run`` with two processes that count into one ledger."""

    def __init__(self, bootstrap: str, directory: Path) -> None:
        self.environment = os.environ | {
            "MQ_BOOTSTRAP": bootstrap,
            "ACCESS_LOG_LEDGER": str(directory / "ledger.sqlite"),
            "PYTHONPATH": str(ROOT),
        }
        self._log = (directory / "worker.log").open("wb")
        self.process = self.run("mq", "run", "examples.access_log.app:app", "--processes", "2")
        self.ledger = Ledger(directory / "ledger.sqlite")

    def run(self, module: str, *arguments: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
        )

    def children(self) -> list[int]:
        """The processes that handle messages."""
        listed = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        return [int(pid) for pid in listed.split()]

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.ledger.close()
        self._log.close()


@pytest.fixture
def worker(bootstrap: str, tmp_path: Path) -> Iterator[Worker]:
    worker = Worker(bootstrap, tmp_path)
    yield worker
    worker.close()


def counted_by_awk(log: Path) -> dict[tuple[str, str], int]:
    """What the awk script finds."""
    printed = subprocess.check_output(["awk", "-f", AWK, log], text=True)
    rows = (line.split("\t") for line in printed.splitlines())
    return {(kind, name): int(total) for kind, name, total in rows}


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="finds processes to kill by /proc")
def test_counts_equal_awks_although_workers_are_killed(
    worker: Worker, log: Path, bootstrap: str, eventually: Callable[..., object]
) -> None:
    """Every line is counted once, or lies in the dead letters, whoever was killed on the way."""
    expected = counted_by_awk(log)
    malformed = expected.pop(("malformed", "-"))
    hits = sum(total for (kind, _), total in expected.items() if kind == "hits")

    assert worker.run("examples.access_log.ship", str(log)).wait(60) == 0
    for kill in range(1, KILLS + 1):
        eventually(lambda kill=kill: worker.ledger.counted() >= hits * kill // (KILLS + 2), 60)
        eventually(lambda: len(worker.children()) > 0, 30)
        os.kill(worker.children()[kill % len(worker.children())], signal.SIGKILL)
    eventually(lambda: worker.ledger.counted() >= hits, 120)
    worker.process.terminate()
    assert worker.process.wait(60) == 0

    assert {(kind, name): total for kind, name, total in worker.ledger.rows()} == expected
    letters = subprocess.check_output(
        [sys.executable, "-m", "mq", "dlq", "list", "access_log.lines", "-o", "ndjson"],
        env=worker.environment,
        text=True,
    )
    assert (
        len({line for line in letters.splitlines() if "not in the combined" in line}) >= malformed
    )

"""kafkajs and franz-go, clients of their own make: each produces, shares a topic, commits, asks.

Their programs lie in `clients/`, with everything they need pinned. They are built once into the
user's cache and not again until a file of theirs changes; a tool that is missing fails.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

CLIENTS = Path(__file__).with_name("clients")
BUILD_TIMEOUT_S = 600.0
RECORDS = 500

BUILDS: dict[str, tuple[Sequence[str], Sequence[str]]] = {  # how it is built, how it is run
    "kafkajs": (("npm", "ci", "--no-audit", "--no-fund", "--silent"), ("node", "main.js")),
    "franz_go": (("go", "build", "-o", "program", "."), ("./program",)),
}


def built(client: str) -> Path:
    """The directory of a program that is ready to be run; made if there is none."""
    sources = sorted(path for path in (CLIENTS / client).iterdir() if path.is_file())
    digest = hashlib.sha256(b"\0".join(path.read_bytes() for path in sources)).hexdigest()[:16]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mq" / "clients"
    cache.mkdir(parents=True, exist_ok=True)
    place = cache / f"{client}-{digest}"
    with (cache / f"{client}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # another process may be at it
        if not place.exists():
            scratch = place.with_suffix(".part")
            shutil.rmtree(scratch, ignore_errors=True)
            scratch.mkdir()
            for path in sources:
                shutil.copy(path, scratch)
            command, _ = BUILDS[client]
            subprocess.run(command, cwd=scratch, check=True, timeout=BUILD_TIMEOUT_S)
            scratch.rename(place)
    return place


@pytest.mark.parametrize("client", BUILDS)
def test_a_client_of_another_make_finds_all_that_it_needs(
    client: str, bootstrap: str, topic: str, unique: Callable[[str], str]
) -> None:
    _, command = BUILDS[client]
    done = subprocess.run(
        [*command, bootstrap, topic, unique("group"), str(RECORDS)],
        cwd=built(client),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(done.stdout) == {
        "seen": RECORDS,
        "members": 2,
        "wrongHeaders": 0,
        "committed": RECORDS,
        "ends": RECORDS,
        "low": 1,
        "partitions": 4,
        "state": "Empty",
        "gone": True,
    }

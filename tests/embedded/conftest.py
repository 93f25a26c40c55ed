"""Real brokers of real directories, and the certainty that none outlives its test."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka.admin import AdminClient

HOLDER = """
import sys
from pathlib import Path
from mq import embedded
from mq.errors import MqError

try:
    lease = embedded.attach(Path(sys.argv[1]))
except MqError as error:
    print(f"{type(error).__name__}: {error}", flush=True)
    sys.exit(error.exit_code)
print(lease.bootstrap, lease.started, flush=True)
sys.stdin.read()
"""
"""A program that holds a lease until its standard input ends."""


class Home:
    """A data directory, and what can be known about its broker from outside."""

    def __init__(self, data: Path) -> None:
        self.data = data
        self.holders: list[subprocess.Popen[str]] = []

    @property
    def announced(self) -> dict[str, Any]:
        """The content of broker.json."""
        return json.loads((self.data / "broker.json").read_text())

    @property
    def pid(self) -> int:
        """The process that announced itself last."""
        return self.announced["pid"]

    def brokers(self) -> set[int]:
        """Every living broker process of the directory, announced or not."""
        found = set()
        for entry in Path("/proc").iterdir():
            try:
                command = (entry / "cmdline").read_bytes().split(b"\0")
            except (OSError, NotADirectoryError):
                continue
            if entry.name.isdecimal() and b"mq.broker" in command and bytes(self.data) in command:
                found.add(int(entry.name))
        return found

    def serves(self, address: str) -> bool:
        """Whether a real client gets an answer there."""
        admin = AdminClient({"bootstrap.servers": address, "log_level": 0})
        return bool(admin.list_topics(timeout=10).brokers)

    def hold(self) -> subprocess.Popen[str]:
        """Start another program that leases the broker until its standard input closes."""
        holder = subprocess.Popen(
            [sys.executable, "-c", HOLDER, str(self.data)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.holders.append(holder)
        return holder

    def kill(self, holder: subprocess.Popen[str]) -> None:
        """End a holder without a chance to say goodbye."""
        holder.kill()
        holder.communicate()


@pytest.fixture(autouse=True)
def quick_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MQ_LINGER", "0.2")
    for name in ("MQ_BOOTSTRAP", "MQ_DATA", "MQ_ENV", "KUBERNETES_SERVICE_HOST"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    """A directory without a broker yet; whatever is left of one ends with the test."""
    home = Home(tmp_path / ".mq")
    yield home
    for holder in home.holders:
        home.kill(holder)
    for pid in home.brokers():
        os.kill(pid, signal.SIGKILL)

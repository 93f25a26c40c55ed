"""The tutorials, done as a reader would: files written, commands run, what is printed compared.

Python blocks with a title are files. Console blocks hold commands behind `$`, each followed by
what it prints, where `...` stands for anything. A console block titled "worker" is another
terminal: its command keeps running, and ends (as by Ctrl-C) when the next one starts.
"""

from __future__ import annotations

import doctest
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

pytestmark = pytest.mark.slow

TUTORIALS = Path(__file__).parent.parent.parent / "docs" / "tutorials"
FENCE = re.compile(r'^```(\w+)(?: title="([^"]+)")?\n(.*?)^```$', re.MULTILINE | re.DOTALL)
LOOSELY = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
ONLY_LOOKING = re.compile(r"mq (consume|dlq (list|show|errors)|groups|topics list)\b")
TIMEOUT_S = 30.0


class Block(NamedTuple):
    language: str
    title: str
    text: str


class Terminal:
    """A reader's directory and terminals."""

    def __init__(self, directory: Path, eventually: Callable[..., object]) -> None:
        self.directory = directory
        self.eventually = eventually
        self.environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith("MQ_")},
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "COLUMNS": "160",
        }
        self.worker: subprocess.Popen[bytes] | None = None

    def do(self, block: Block) -> None:
        if block.language == "python" and block.title:
            (self.directory / block.title).write_text(block.text)
        elif block.language == "console":
            for command, wanted in commands(block.text):
                (self.start_worker if block.title == "worker" else self.run)(command, wanted)

    def start_worker(self, command: str, wanted: str) -> None:
        self.stop_worker()
        log = self.directory / "worker.log"
        with log.open("wb") as printed:
            self.worker = subprocess.Popen(
                shlex.split(command),
                cwd=self.directory,
                env=self.environment,
                stdout=printed,
                stderr=subprocess.STDOUT,
            )
        self.eventually(lambda: fits(wanted, log.read_text()), TIMEOUT_S)

    def stop_worker(self) -> None:
        if self.worker is not None:
            self.worker.send_signal(signal.SIGTERM)
            assert self.worker.wait(TIMEOUT_S) == 0
            self.worker = None

    def run(self, command: str, wanted: str) -> None:
        """Run once, or, if the command only looks, until what it prints is what is wanted."""
        deadline = time.monotonic() + (TIMEOUT_S if ONLY_LOOKING.match(command) else 0)
        while not fits(wanted, printed := self.print_of(command)):
            told = f"{command}\nprinted:\n{printed}\ninstead of:\n{wanted}"
            assert time.monotonic() < deadline, told

    def print_of(self, command: str) -> str:
        done = subprocess.run(
            shlex.split(command),
            cwd=self.directory,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )
        return done.stdout + done.stderr


def fits(wanted: str, printed: str) -> bool:
    return doctest.OutputChecker().check_output(wanted, printed, LOOSELY)


def blocks(page: str) -> list[Block]:
    text = (TUTORIALS / page).read_text(encoding="utf-8")
    return [Block(*groups) for groups in FENCE.findall(text)]


def commands(text: str) -> Iterator[tuple[str, str]]:
    """Each command of a console block with what it prints."""
    for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
        command, _, wanted = part.partition("\n")
        yield command, wanted


@pytest.mark.parametrize("page", ["first-app.md", "break-and-replay.md"])
def test_a_reader_sees_what_the_tutorial_shows(
    page: str, tmp_path: Path, eventually: Callable[..., object]
) -> None:
    terminal = Terminal(tmp_path, eventually)
    found = blocks(page)
    assert len(found) >= 4
    try:
        for block in found:
            terminal.do(block)
        terminal.stop_worker()
    finally:
        if terminal.worker is not None:
            terminal.worker.kill()
            terminal.worker.wait()

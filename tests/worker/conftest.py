"""Real workers: `mq run` as a process, and an application that leaves traces in a file."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from confluent_kafka import Producer

from mq.embedded.interpreter import environment

SHOP = """
import os, signal, sys, time
from pathlib import Path

import anyio
from mq import App, Message

app = App({name!r})
traces = Path({directory!r})

def trace(what):
    with (traces / "trace").open("a") as file:
        file.write(f"{{what}} {{os.getpid()}}\\n")

@app.handler({topic!r})
async def handle(value: str, message: Message) -> None:
    trace(f"got:{{value}}")
    if value == "slow":
        while not (traces / "go").exists():
            await anyio.sleep(0.01)
        trace("done:slow")
    if value == "stuck":
        time.sleep(3600)
    if value == "die":
        (traces / "died").touch(exist_ok=False)
        os.kill(os.getpid(), signal.SIGKILL)

@app.handler({topic!r} + ".stdin")
async def never(value: str) -> None: ...

trace("import")
trace(f"stdin:{{sys.stdin.read()!r}}")
"""


class Worker:
    """One `mq run`, what it said so far, and how to deal with it."""

    def __init__(self, process: subprocess.Popen[bytes], said: Path) -> None:
        self.process = process
        self._said = said

    @property
    def said(self) -> str:
        """All that it wrote on standard error."""
        return self._said.read_text()

    @property
    def children(self) -> list[int]:
        """The process ids of its living children."""
        path = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        pids = map(int, path.read_text().split())
        return [pid for pid in pids if b"mq.worker.child" in command_of(pid)]

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def wait(self) -> int:
        """The exit code, once it has ended."""
        return self.process.wait(60)


def command_of(pid: int) -> bytes:
    """The command line of a process; empty for one that has ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return b""


class Shop:
    """A directory with an application, and the traces that its handlers leave."""

    def __init__(self, directory: Path, name: str) -> None:
        self.directory = directory
        self.name = name
        self.topic = f"{name}.orders"
        self.write("shop.py", SHOP.format(name=name, topic=self.topic, directory=str(directory)))

    def write(self, name: str, text: str) -> None:
        (self.directory / name).write_text(text)

    def traces(self, what: str) -> list[int]:
        """The processes that left this trace, in order."""
        try:
            lines = (self.directory / "trace").read_text().splitlines()
        except FileNotFoundError:
            return []
        return [int(line.split()[1]) for line in lines if line.split()[0] == what]

    def go(self) -> None:
        """Let the slow handler come to its end."""
        (self.directory / "go").touch()


@pytest.fixture
def shop(tmp_path: Path, unique: Callable[..., str]) -> Shop:
    return Shop(tmp_path, unique("shop"))


@pytest.fixture(autouse=True)
def no_configuration(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MQ_LINGER", "0.2")
    for name in ("MQ_BOOTSTRAP", "MQ_DATA", "MQ_ENV", "KUBERNETES_SERVICE_HOST"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def mq_run(tmp_path: Path) -> Iterator[Callable[..., Worker]]:
    """`mq_run("shop:app", "-p", "2")` starts a worker in the directory of the application."""
    started: list[Worker] = []

    def start(*arguments: str, **streams: int) -> Worker:
        said = tmp_path / f"stderr-{len(started)}"
        with said.open("wb") as file:
            process = subprocess.Popen(
                [sys.executable, "-m", "mq", "run", *arguments],
                **{"stdin": subprocess.DEVNULL, "stderr": file, **streams},
                cwd=tmp_path,
                env=environment(),
            )
        worker = Worker(process, said)
        started.append(worker)
        return worker

    yield start
    for worker in started:
        if worker.process.poll() is None:
            for pid in worker.children:
                os.kill(pid, signal.SIGKILL)
            worker.process.kill()
        worker.process.wait()


@pytest.fixture
def send(bootstrap: str) -> Callable[[str, str], None]:
    """`send(topic, value)` returns when the record is acknowledged."""
    producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 0, "log_level": 0})

    def one(topic: str, value: str) -> None:
        headers = [("content-type", b"text/plain")]
        producer.produce(topic, value, headers=headers)
        assert producer.flush(30) == 0

    return one

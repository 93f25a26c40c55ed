"""The command line as a person or a script meets it."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

from mq.cli.main import main
from mq.embedded.interpreter import environment


@dataclass(frozen=True)
class Outcome:
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def lines(self) -> list[Any]:
        """Standard output as ndjson."""
        return [json.loads(line) for line in self.out.splitlines()]


@pytest.fixture(autouse=True)
def no_configuration(monkeypatch, tmp_path):
    """No setting of the machine, no mq.toml and no .mq of this checkout plays a part."""
    for name in ("MQ_BOOTSTRAP", "MQ_DATA", "MQ_ENV", "KUBERNETES_SERVICE_HOST"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def command(capsys, monkeypatch) -> Callable[..., Outcome]:
    """`command("topics", "list", stdin=b"…")` runs `mq topics list` in this process."""

    def run(*arguments: str, stdin: bytes = b"") -> Outcome:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main(list(arguments))
        out, err = capsys.readouterr()
        return Outcome(int(ended.value.code or 0), out, err)

    return run


@pytest.fixture
def mq(command, bootstrap) -> Callable[..., Outcome]:
    """`command` against the broker of the session."""

    def run(*arguments: str, stdin: bytes = b"") -> Outcome:
        return command("--bootstrap", bootstrap, *arguments, stdin=stdin)

    return run


@pytest.fixture
def start(bootstrap) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """`start("consume", …)` starts `mq` as a process of its own."""
    started: list[subprocess.Popen[str]] = []

    def run(*arguments: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "mq", "--bootstrap", bootstrap, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment(),
        )
        started.append(process)
        return process

    yield run
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture
def make_topic(bootstrap) -> Callable[..., str]:
    admin = AdminClient({"bootstrap.servers": bootstrap})

    def make(name: str, partitions: int = 1) -> str:
        admin.create_topics([NewTopic(name, partitions, 1)])[name].result(30)
        return name

    return make


@pytest.fixture
def send(bootstrap) -> Callable[..., None]:
    """`send(topic, value, key=…, headers=…, partition=…)` returns when it is acknowledged."""
    producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 0})

    def one(topic: str, value: bytes | None, **fields: Any) -> None:
        failures: list[Any] = []
        producer.produce(topic, value, on_delivery=lambda e, _: failures.append(e), **fields)
        assert producer.flush(30) == 0
        assert failures == [None]

    return one

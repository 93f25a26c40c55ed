"""The command as such: help, errors and exit codes."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys

import pytest

from mq.embedded.interpreter import environment

MQ = [sys.executable, "-m", "mq"]


def test_help_names_every_command_and_imports_none_of_them():
    program = (
        "import sys; from mq.cli.main import main\n"
        "try: main(['--help'])\n"
        "finally: print(sorted({'confluent_kafka', 'rich', 'msgspec', 'asyncio'} & {*sys.modules}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env=environment()
    )
    for name in ("run", "broker", "topics", "groups", "produce", "consume", "dlq"):
        assert f"\n  {name} " in done.stdout
    assert done.stdout.endswith("[]\n")


@pytest.mark.parametrize(
    "arguments",
    [
        *(["topics", verb] for verb in ("list", "describe", "create", "alter", "delete")),
        *(["groups", verb] for verb in ("list", "show", "reset", "delete")),
        *(["dlq", verb] for verb in ("topics", "errors", "list", "show", "replay", "discard")),
        *([verb] for verb in ("run", "broker", "produce", "consume", "topics", "groups", "dlq")),
    ],
)
def test_every_command_explains_itself(command, arguments):
    outcome = command(*arguments, "--help")
    assert outcome.code == 0
    assert outcome.out.startswith(f"Usage: mq {' '.join(arguments)} ")


def test_the_version_is_told(command):
    outcome = command("--version")
    assert outcome.code == 0
    assert outcome.out.startswith("mq ")


@pytest.mark.parametrize(
    "arguments", [["nonsense"], ["topics"], ["topics", "list", "--nonsense"], ["consume"]]
)
def test_a_wrong_command_line_is_told_with_exit_code_2(command, arguments):
    outcome = command(*arguments)
    assert outcome.code == 2
    assert "Usage: mq" in outcome.err
    assert outcome.out == ""


@pytest.mark.parametrize(
    "arguments",
    [
        ["topics", "list"],
        ["groups", "list"],
        ["dlq", "list"],
        ["produce", "t", "v"],
        ["consume", "t"],
    ],
)
def test_without_a_broker_every_command_says_so_with_exit_code_3(command, arguments):
    outcome = command("--bootstrap", "127.0.0.1:1", *arguments)
    assert (outcome.code, outcome.out) == (3, "")
    assert outcome.err == "mq: no broker answers at 127.0.0.1:1: connection refused\n"


def test_an_address_without_a_port_is_told(command):
    outcome = command("--bootstrap", "localhost", "topics", "list")
    assert outcome.code == 3
    assert "HOST:PORT" in outcome.err


def test_in_production_no_broker_is_started_by_accident(command, monkeypatch, tmp_path):
    monkeypatch.setenv("MQ_ENV", "production")
    outcome = command("topics", "list")
    assert outcome.code == 2
    assert outcome.err.startswith("mq: MQ_ENV=production, and no broker is configured")
    assert len(outcome.err.splitlines()) == 1
    assert not (tmp_path / ".mq").exists()


def test_debug_shows_where_an_error_came_from():
    done = subprocess.run(
        [*MQ, "topics", "list", "--bootstrap", "127.0.0.1:1", "--debug"],
        capture_output=True,
        text=True,
        env=environment(),
    )
    assert "Traceback" in done.stderr


def test_errors_are_red_on_a_terminal_unless_no_color_is_set():
    for extra, red in (({}, True), ({"NO_COLOR": "1"}, False)):
        ours, theirs = pty.openpty()
        arguments = [*MQ, "--bootstrap", "127.0.0.1:1", "topics", "list"]
        plain = {key: value for key, value in environment().items() if key != "NO_COLOR"}
        subprocess.run(arguments, stderr=theirs, env={**plain, **extra}, check=False)
        os.close(theirs)
        told = os.read(ours, 4096)
        os.close(ours)
        assert b"no broker answers" in told
        assert (b"\x1b[31m" in told) is red


def test_ctrl_c_ends_with_130_and_without_a_traceback(start, topic, make_topic, send):
    make_topic(topic)
    send(topic, b"first")
    reader = start("consume", topic, "--follow")
    assert "first" in reader.stdout.readline()
    reader.send_signal(signal.SIGINT)
    _, told = reader.communicate(timeout=30)
    assert (reader.returncode, told.strip()) == (130, "")


def test_a_reader_that_has_seen_enough_needs_no_words(start, topic, make_topic, send):
    make_topic(topic)
    reader = start("consume", topic, "-f", "-o", "raw")
    send(topic, b"first")
    assert reader.stdout.readline() == "first\n"
    reader.stdout.close()
    send(topic, b"second")
    assert reader.wait(30) == 1  # as Click has it
    assert reader.stderr.read() == ""

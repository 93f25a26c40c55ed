"""The broker of a directory, with real processes: who starts it, who keeps it, when it ends."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from mq.embedded import attach, lease
from mq.errors import BrokerUnreachable, ConfigurationError
from tools.mq_broker import MqBroker

pytestmark = pytest.mark.slow


def test_the_first_to_attach_starts_the_broker_and_the_last_to_leave_ends_it(home, eventually):
    with attach(home.data) as first:
        assert first.started
        assert home.serves(first.bootstrap)
        with attach(home.data) as second:
            assert not second.started
            assert second.bootstrap == first.bootstrap
        assert home.brokers() == {home.pid}
    eventually(lambda: not home.brokers())


def test_the_directory_is_invisible_to_git_and_the_token_to_other_users(home):
    with attach(home.data):
        assert (home.data / ".gitignore").read_text() == "*\n"
        assert (home.data / "broker.json").stat().st_mode & 0o077 == 0


def test_the_broker_is_beyond_the_reach_of_the_starters_terminal(home):
    with attach(home.data):
        assert os.getsid(home.pid) == home.pid != os.getsid(0)


def test_a_module_lying_in_the_directory_of_the_caller_is_no_part_of_the_broker(home, monkeypatch):
    home.data.mkdir()
    for directory in (home.data.parent, home.data):
        (directory / "select.py").write_text("raise SystemExit('a stranger')")
    monkeypatch.chdir(home.data.parent)
    with attach(home.data) as lease:
        assert home.serves(lease.bootstrap)


def test_the_port_stays_the_same_over_restarts(home, eventually):
    with attach(home.data) as lease:
        address = lease.bootstrap
    eventually(lambda: not home.brokers())
    with attach(home.data) as lease:
        assert lease.started
        assert lease.bootstrap == address


def test_a_successor_waits_for_a_predecessor_that_is_just_ending(home, monkeypatch):
    monkeypatch.setenv("MQ_LINGER", "0")
    for _ in range(4):
        with attach(home.data) as lease:
            assert home.serves(lease.bootstrap)


def test_of_many_starters_at_once_one_starts_and_all_share(home):
    holders = [home.hold() for _ in range(5)]
    answers = [holder.stdout.readline().split() for holder in holders]
    assert len({address for address, _ in answers}) == 1
    assert sorted(started for _, started in answers) == ["False"] * 4 + ["True"]
    assert len(home.brokers()) == 1


def test_a_starter_killed_at_any_moment_leaves_nothing_in_the_way(home, eventually):
    for moment in ("start.lock", "broker.log", "broker.json"):
        holder = home.hold()
        eventually(lambda path=home.data / moment: path.exists())
        home.kill(holder)
    with attach(home.data) as lease:
        assert home.serves(lease.bootstrap)
    eventually(lambda: not home.brokers())


def test_a_broker_outlives_its_starter_while_somebody_else_holds_a_lease(home, eventually):
    starter = home.hold()
    address = starter.stdout.readline().split()[0]
    with attach(home.data):
        home.kill(starter)
        # A lease that is granted now shows that the broker has not taken that death for its end.
        with attach(home.data) as again:
            assert (again.bootstrap, again.started) == (address, False)
    eventually(lambda: not home.brokers())


def test_a_killed_broker_comes_back_on_the_same_port_for_all_who_hold_leases(home, eventually):
    other = home.hold()
    address = other.stdout.readline().split()[0]
    with attach(home.data):
        first = home.pid
        os.kill(first, signal.SIGKILL)
        eventually(lambda: home.pid != first)
        assert home.announced["address"] == address
        assert home.serves(address)
    home.kill(other)
    eventually(lambda: not home.brokers())


def test_a_broker_that_is_asked_to_end_waits_for_its_leases(home, eventually):
    with attach(home.data) as lease:
        os.kill(home.pid, signal.SIGTERM)
        assert home.serves(lease.bootstrap)
    eventually(lambda: not home.brokers())


def test_a_broker_started_by_hand_is_joined_and_left_to_its_owner(tmp_path):
    with MqBroker.start(tmp_path) as broker:
        for _ in range(2):
            with attach(broker.data) as lease:
                assert (lease.bootstrap, lease.started) == (broker.bootstrap, False)
        assert broker.stop() == 0


NOBODY = {"address": "127.0.0.1:0", "lease": "127.0.0.1:1", "token": "t", "pid": 1}


@pytest.mark.parametrize(
    "content", ["", "{", "[]", json.dumps(NOBODY), json.dumps({**NOBODY, "embedded": True})]
)
def test_an_announcement_that_nobody_stands_behind_is_no_obstacle(home, content):
    home.data.mkdir()
    (home.data / "broker.json").write_text(content)
    with attach(home.data) as lease:
        assert lease.started


def test_a_stranger_on_the_lease_port_is_not_taken_for_the_broker(home):
    home.data.mkdir()
    with socket.create_server(("127.0.0.1", 0)) as stranger:
        port = stranger.getsockname()[1]
        stale = {**NOBODY, "lease": f"127.0.0.1:{port}", "embedded": True}
        (home.data / "broker.json").write_text(json.dumps(stale))
        holder = home.hold()
        connection = stranger.accept()[0]
        connection.sendall(b"220 welcome\r\n")
        connection.close()
    assert holder.stdout.readline().split()[1:] == ["True"]


def test_a_port_taken_by_another_program_is_told_in_one_sentence(home, eventually):
    with attach(home.data) as lease:
        host, port = lease.bootstrap.split(":")
    eventually(lambda: not home.brokers())
    with socket.create_server((host, int(port))):
        with pytest.raises(ConfigurationError, match=f"port {port}.*another program") as caught:
            attach(home.data)
        assert "\n" not in str(caught.value)


def test_a_broker_that_cannot_start_is_quoted(home):
    home.data.mkdir()
    (home.data / "meta.properties").write_text("version=999\n")
    with pytest.raises((BrokerUnreachable, ConfigurationError), match=r"meta\.properties"):
        attach(home.data)


def test_a_directory_that_cannot_be_written_to_is_told(home):
    home.data.mkdir()
    (home.data / "start.lock").mkdir()
    with pytest.raises(ConfigurationError, match="cannot hold data: Is a directory"):
        attach(home.data)


def test_a_directory_that_cannot_be_made_is_told(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match="cannot hold data"):
        attach(tmp_path / "file" / ".mq")


def spawn(script):
    """Something in the place of the broker, with the starter's socket as its standard input."""

    def start(data, connection):
        command = [sys.executable, "-c", script]
        return subprocess.Popen(command, stdin=connection.fileno(), cwd=data)

    return start


WORKS_AND_SERVES = """
import os, socket
starter = socket.socket(fileno=0)
starter.sendall(b'{"progress_s": 1}\\n')
while not os.path.exists("start.lock"):  # which is touched for those who wait for their turn
    pass
starter.sendall(b'{"progress_s": 2}\\n{"address": "127.0.0.1:9", "embedded": true}\\n')
starter.recv(1)
"""


def test_a_start_is_waited_for_as_long_as_it_gets_on(tmp_path, monkeypatch):
    monkeypatch.setattr(lease, "_spawn", spawn(WORKS_AND_SERVES))
    held = lease._start(tmp_path, tmp_path / "start.lock")
    assert held.address == "127.0.0.1:9"
    held.connection.close()
    assert held.process.wait(10) == 0


def test_a_start_that_shows_no_sign_of_work_is_ended(tmp_path, monkeypatch):
    monkeypatch.setattr(lease, "START_TIMEOUT_S", 0.01)
    monkeypatch.setattr(lease, "_spawn", spawn("import sys; sys.stdin.buffer.raw.read(1)"))
    with pytest.raises(BrokerUnreachable, match="did not start"):
        lease._start(tmp_path, tmp_path / "start.lock")


def test_whoever_waits_for_a_start_without_a_sign_of_work_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(lease, "START_TIMEOUT_S", 0.02)
    refused = pytest.raises(BrokerUnreachable, match="no sign of work")
    with lease._starting(tmp_path), refused, lease._starting(tmp_path):
        pass

"""The broker as a process: its start, its end, and what it refuses."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys

import pytest

from mq.errors import ErrorCode

pytestmark = pytest.mark.slow

TIMEOUT_S = 30.0


@pytest.fixture
def spawn(tmp_path):
    """``spawn("--listen", ...)`` starts a broker process in this test's directory."""
    processes = []

    def start(*arguments, program=("-m", "mq.broker")):
        process = subprocess.Popen(
            [sys.executable, *program, "--data", str(tmp_path / "data"), *arguments],
            stderr=subprocess.PIPE,
            text=True,
        )
        processes.append(process)
        return process

    yield start
    for process in processes:
        process.kill()
        process.wait()
        process.stderr.close()


def address_of(process):
    """Where a started broker says it serves."""
    for line in process.stderr:
        found = re.search(r"serving ([\d.]+):(\d+)", line)
        if found:
            return found[1], int(found[2])
    raise AssertionError("the broker ended before it served")


def refusal(process):
    """The exit code and the one sentence of a broker that did not start."""
    _, said = process.communicate(timeout=TIMEOUT_S)
    assert len(said.strip().splitlines()) == 1, said
    return process.returncode, said


def test_it_serves_and_ends_in_order(spawn, tmp_path, connect):
    process = spawn("--listen", "127.0.0.1:0")
    client = connect(type("At", (), {"address": address_of(process)}))
    client.create("t")
    assert client.produce("t", b"a").error_code == 0
    process.send_signal(signal.SIGTERM)
    assert process.wait(TIMEOUT_S) == 0
    assert (tmp_path / "data" / ".kafka_cleanshutdown").exists()


def test_a_waiting_fetch_is_answered_at_the_end(spawn, connect, wire):
    process = spawn("--listen", "127.0.0.1:0")
    client = connect(type("At", (), {"address": address_of(process)}))
    client.create("t")
    client.send(wire.fetch_request("t", max_wait_ms=600_000), 12)
    client.send(wire.fetch_request("t"), 12)
    process.send_signal(signal.SIGINT)
    assert client.receive().responses[0].partitions[0].error_code == 0
    assert process.wait(TIMEOUT_S) == 0


def test_a_taken_port_is_one_sentence_and_an_exit_code(spawn):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, said = refusal(spawn("--listen", f"127.0.0.1:{port}"))
    assert code == 2
    assert str(port) in said


def test_a_directory_in_use_is_refused(spawn):
    address_of(spawn("--listen", "127.0.0.1:0"))
    code, said = refusal(spawn("--listen", "127.0.0.1:0"))
    assert code == 2
    assert "in use" in said


def test_of_brokers_that_race_for_a_directory_one_serves(spawn):
    racing = [spawn("--listen", "127.0.0.1:0") for _ in range(4)]
    lines = {process: process.stderr.readline() for process in racing}
    [winner] = [process for process, line in lines.items() if "serving" in line]
    for process in racing:
        if process is not winner:
            assert process.wait(TIMEOUT_S) == 2
            assert "in use by another broker" in lines[process]


def test_a_directory_is_free_as_soon_as_its_broker_is_killed(spawn, connect):
    process = spawn("--listen", "127.0.0.1:0")
    client = connect(type("At", (), {"address": address_of(process)}))
    client.create("t")
    assert client.produce("t", b"a").error_code == 0
    process.kill()
    process.wait(TIMEOUT_S)
    successor = spawn("--listen", "127.0.0.1:0")
    client = connect(type("At", (), {"address": address_of(successor)}))
    assert client.produce("t", b"b").base_offset == 1


def test_strangers_are_let_in_only_when_told(spawn, connect):
    code, said = refusal(spawn("--listen", "0.0.0.0:0"))
    assert code == 2
    assert "--insecure" in said
    process = spawn("--listen", "0.0.0.0:0", "--insecure")
    _, port = address_of(process)
    from mq.wire.messages.metadata import MetadataRequest

    client = connect(type("At", (), {"address": ("127.0.0.1", port)}))
    (node,) = client.ask(MetadataRequest(topics=[]), 9).brokers
    assert (node.host, node.port) == ("127.0.0.1", port)  # as dialled, not 0.0.0.0


def test_what_is_to_be_advertised_is_advertised(spawn, connect):
    process = spawn("--listen", "127.0.0.1:0", "--advertise", "broker.example:1234")
    from mq.wire.messages.metadata import MetadataRequest

    client = connect(type("At", (), {"address": address_of(process)}))
    (node,) = client.ask(MetadataRequest(topics=[]), 9).brokers
    assert (node.host, node.port) == ("broker.example", 1234)


@pytest.mark.parametrize("address", ["nonsense", "127.0.0.1:port", "127.0.0.1:70000", ":"])
def test_an_address_that_is_none_is_refused(spawn, address):
    process = spawn("--listen", address)
    _, said = process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == 2
    assert "HOST:PORT" in said


def test_a_broker_by_hand_announces_itself(spawn, tmp_path):
    process = spawn("--listen", "127.0.0.1:0")
    host, port = address_of(process)
    announced = json.loads((tmp_path / "data" / "broker.json").read_text())
    assert announced["address"] == f"{host}:{port}"
    assert not announced["embedded"]


def test_a_second_signal_ends_at_once(spawn, connect):
    process = spawn("--listen", "127.0.0.1:0")
    address = address_of(process)
    os.kill(process.pid, signal.SIGSTOP)
    os.kill(process.pid, signal.SIGTERM)
    os.kill(process.pid, signal.SIGINT)
    os.kill(process.pid, signal.SIGCONT)
    assert process.wait(TIMEOUT_S) in (0, 1)
    with pytest.raises(ConnectionRefusedError):
        connect(type("At", (), {"address": address}))


FAILING_DISK = """
import sys, pathlib
from mq.broker.__main__ import main
from mq.log.files import Files

def fails(real):
    def verb(*arguments):
        if pathlib.Path(sys.argv[2], "fail").exists():
            raise OSError(5, "Input/output error")
        return real(*arguments)
    return verb

Files.sync, Files.write_through = fails(Files.sync), fails(Files.write_through)
sys.exit(main(sys.argv[1:]))
"""


def test_a_disk_that_fails_ends_the_process_with_a_sentence(spawn, tmp_path, connect):
    process = spawn("--listen", "127.0.0.1:0", program=["-c", FAILING_DISK])
    client = connect(type("At", (), {"address": address_of(process)}))
    client.create("t")
    (tmp_path / "data" / "fail").touch()
    assert client.produce("t", b"a").error_code == ErrorCode.KAFKA_STORAGE_ERROR
    _, said = process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == 1
    assert "could not be synced" in said.splitlines()[-1]
    assert not (tmp_path / "data" / ".kafka_cleanshutdown").exists()


FAILING_LAST_SYNC = """
import sys, pathlib, threading
from mq.broker.__main__ import main
from mq.log.files import Files
from mq.log.flusher import Flusher

real_close, closing = Flusher.close, threading.Event()

def fails(real):
    def verb(*arguments):
        fail = pathlib.Path(sys.argv[2], "fail")
        if threading.current_thread().name == "mq-flusher" and fail.exists():
            closing.wait()
            fail.unlink()  # whoever tried again would succeed
            raise OSError(5, "Input/output error")
        return real(*arguments)
    return verb

def close(self):
    closing.set()
    real_close(self)

Files.sync, Files.write_through = fails(Files.sync), fails(Files.write_through)
Flusher.close = close
sys.exit(main(sys.argv[1:]))
"""


def test_a_sync_that_fails_at_the_very_end_is_no_stop_in_order(spawn, tmp_path, connect):
    process = spawn("--listen", "127.0.0.1:0", program=["-c", FAILING_LAST_SYNC])
    client = connect(type("At", (), {"address": address_of(process)}))
    client.create("t")
    (tmp_path / "data" / "fail").touch()
    assert client.produce("t", b"a", acks=1).error_code == 0
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == 1
    assert "could not be synced" in said.splitlines()[-1]
    assert not (tmp_path / "data" / ".kafka_cleanshutdown").exists()


def test_nothing_heavy_is_imported():
    """A broker has to be there in half a second and to live in 60 MB."""
    code = "import sys, mq.broker.process; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    assert not {"confluent_kafka", "rich", "click", "anyio", "hypothesis"} & set(loaded)

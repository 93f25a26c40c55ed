"""`mq run` with real processes: work, death, restart, drain, abort."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from confluent_kafka import Consumer, TopicPartition

from mq.embedded.interpreter import environment

MQ = [sys.executable, "-m", "mq"]

pytestmark = pytest.mark.slow


def committed(bootstrap, shop) -> int:
    """How many records the group of the shop has finished."""
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": shop.name, "log_level": 0})
    partitions = [TopicPartition(shop.topic, each) for each in range(8)]
    offsets = [each.offset for each in consumer.committed(partitions, 30)]
    consumer.close()
    return sum(offset for offset in offsets if offset > 0)


def ready(shop, worker, eventually, processes=1):
    """Every child reads its partitions."""
    eventually(lambda: worker.said.count(f"{shop.name} reads ") >= processes, 60)


def test_handlers_run_in_spawned_processes_that_the_supervisor_never_shares(
    shop, mq_run, send, bootstrap, eventually
):
    worker = mq_run("shop:app", "-p", "2", "--bootstrap", bootstrap)
    ready(shop, worker, eventually, 2)
    children = worker.children
    assert len(children) == 2
    assert sorted(shop.traces("import")) == sorted(children)
    assert sorted(shop.traces("stdin:''")) == sorted(children)
    assert all(os.getpgid(pid) == pid for pid in children)
    for number in range(20):
        send(shop.topic, str(number))
    eventually(lambda: all(shop.traces(f"got:{number}") for number in range(20)))
    assert {pid for n in range(20) for pid in shop.traces(f"got:{n}")} <= set(children)
    banner = worker.said
    assert f"{shop.topic} → shop.handle" in banner
    assert f"{bootstrap}  from --bootstrap" in banner
    worker.signal(signal.SIGTERM)
    assert worker.wait() == 0
    assert committed(bootstrap, shop) == 20


def test_a_killed_process_is_replaced_and_its_partitions_move_before_any_session_ends(
    shop, mq_run, send, bootstrap, eventually
):
    worker = mq_run("shop:app", "-p", "2", "--bootstrap", bootstrap)
    ready(shop, worker, eventually, 2)
    victim, witness = worker.children
    os.kill(victim, signal.SIGKILL)
    eventually(lambda: "killed by SIGKILL; again in 0.1 s" in worker.said)
    # The session of the dead lasts for 45 s. Only a leave makes its partitions flow within ten.
    for number in range(16):
        send(shop.topic, str(number))
    eventually(lambda: all(shop.traces(f"got:{number}") for number in range(16)), 10)
    eventually(lambda: len(worker.children) == 2)
    assert witness in worker.children
    assert victim not in worker.children


def test_a_record_that_kills_its_process_is_run_again_by_the_next(
    shop, mq_run, send, bootstrap, eventually
):
    worker = mq_run("shop:app", "--bootstrap", bootstrap)
    ready(shop, worker, eventually)
    send(shop.topic, "die")
    eventually(lambda: len(shop.traces("got:die")) >= 1)
    # `die` touches a file that must not exist, so the second attempt raises instead of dying.
    eventually(lambda: len(set(shop.traces("got:die"))) == 2, 60)


def test_a_signal_lets_handlers_finish_and_commits_what_they_did(
    shop, mq_run, send, bootstrap, eventually
):
    worker = mq_run("shop:app", "--bootstrap", bootstrap)
    ready(shop, worker, eventually)
    send(shop.topic, "slow")
    eventually(lambda: shop.traces("got:slow"))
    worker.signal(signal.SIGTERM)
    eventually(lambda: "draining" in worker.said)
    assert worker.process.poll() is None
    shop.go()
    assert worker.wait() == 0
    assert shop.traces("done:slow")
    assert committed(bootstrap, shop) == 1


def test_a_second_signal_ends_it_at_once(shop, mq_run, send, bootstrap, eventually):
    worker = mq_run("shop:app", "--bootstrap", bootstrap)
    ready(shop, worker, eventually)
    send(shop.topic, "stuck")
    eventually(lambda: shop.traces("got:stuck"))
    (child,) = worker.children
    worker.signal(signal.SIGINT)
    eventually(lambda: "draining" in worker.said)
    worker.signal(signal.SIGINT)
    assert worker.wait() == 130
    assert not Path(f"/proc/{child}").exists()
    assert committed(bootstrap, shop) == 0


def test_a_child_asked_to_end_by_somebody_else_drains_and_is_replaced(
    shop, mq_run, send, bootstrap, eventually
):
    worker = mq_run("shop:app", "--bootstrap", bootstrap)
    ready(shop, worker, eventually)
    send(shop.topic, "slow")
    eventually(lambda: shop.traces("got:slow"))
    (child,) = worker.children
    os.kill(child, signal.SIGTERM)
    shop.go()
    eventually(lambda: worker.children not in ([], [child]))
    assert len(shop.traces("done:slow")) == 1
    assert committed(bootstrap, shop) == 1


def test_children_do_not_outlive_a_supervisor_that_is_killed(
    shop, mq_run, send, bootstrap, eventually
):
    worker = mq_run("shop:app", "--bootstrap", bootstrap)
    ready(shop, worker, eventually)
    send(shop.topic, "stuck")
    eventually(lambda: shop.traces("got:stuck"))
    children = worker.children
    worker.process.kill()
    eventually(lambda: not any(Path(f"/proc/{pid}").exists() for pid in children))


def test_ctrl_c_in_a_terminal_reaches_the_supervisor_alone(
    shop, mq_run, send, bootstrap, eventually
):
    ours, theirs = pty.openpty()
    worker = subprocess.Popen(
        ["setsid", "-c", "-w", *MQ, "run", "shop:app", "--bootstrap", bootstrap],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        cwd=shop.directory,
        env=environment(),
    )
    os.close(theirs)
    try:
        send(shop.topic, "slow")
        eventually(lambda: shop.traces("got:slow"), 60)
        os.write(ours, b"\x03")
        seen = b""
        while b"draining" not in seen:
            seen += os.read(ours, 65_536)
        shop.go()
        assert worker.wait(60) == 0
        assert shop.traces("done:slow")
    finally:
        worker.kill()
        worker.wait()
        os.close(ours)


def test_a_worker_that_cannot_work_ends_with_a_sentence_and_its_own_exit_code(
    shop, mq_run, bootstrap
):
    shop.write("crash.py", "1 / 0\n")
    shop.write("idle.py", "from mq import App\napp = App('idle')\n")
    expected = {
        "crash:app": (4, "mq: crash cannot be imported: ZeroDivisionError"),
        "idle:app": (2, "mq: idle has no handlers to run"),
    }
    for target, (code, sentence) in expected.items():
        worker = mq_run(target, "-p", "2", "--bootstrap", bootstrap)
        assert worker.wait() == code
        assert worker.said.splitlines()[-1].startswith(sentence)
        assert "Traceback" not in worker.said


def test_an_unreachable_broker_is_told_with_exit_code_3(shop, mq_run):
    shop.write(
        "far.py",
        "from mq import App, Limits\n"
        "app = App('far', bootstrap='127.0.0.1:1', limits=Limits(connect_s=0.5))\n"
        "@app.handler('t')\ndef f(): ...\n",
    )
    worker = mq_run("far:app")
    assert worker.wait() == 3
    assert worker.said.splitlines()[-1].startswith("mq: no broker answered at 127.0.0.1:1")


def test_in_production_the_broker_has_to_be_named(shop, mq_run, monkeypatch):
    monkeypatch.setenv("MQ_ENV", "production")
    worker = mq_run("shop:app")
    assert worker.wait() == 2
    assert "mq: MQ_ENV=production, and no broker is configured" in worker.said
    assert not (shop.directory / ".mq").exists()


def test_an_application_that_dies_before_it_serves_is_given_up(shop, mq_run, bootstrap):
    shop.write(
        "sick.py",
        "from contextlib import asynccontextmanager\nfrom mq import App\n"
        "@asynccontextmanager\nasync def lifespan(app):\n"
        "    raise RuntimeError('no database')\n    yield\n"
        "app = App('sick', lifespan=lifespan)\n@app.handler('t')\ndef f(): ...\n",
    )
    worker = mq_run("sick:app", "--bootstrap", bootstrap)
    assert worker.wait() == 1
    assert worker.said.count("again in") == 4
    assert worker.said.splitlines()[-1] == "mq: RuntimeError: no database"


def test_the_embedded_broker_is_there_for_the_worker_and_ends_after_it(shop, mq_run, eventually):
    worker = mq_run("shop:app")
    ready(shop, worker, eventually)
    assert "embedded in .mq (the default)" in worker.said
    worker.signal(signal.SIGTERM)
    assert worker.wait() == 0
    eventually(lambda: not brokers_of(shop))


def test_a_worker_survives_the_death_of_its_embedded_broker(shop, mq_run, eventually):
    worker = mq_run("shop:app")
    ready(shop, worker, eventually)
    publish(shop, "before")
    eventually(lambda: shop.traces("got:before"))
    (broker,) = brokers_of(shop)
    os.kill(broker, signal.SIGKILL)
    eventually(lambda: brokers_of(shop) not in ([], [broker]))
    publish(shop, "after")
    eventually(lambda: shop.traces("got:after"), 60)
    assert "died; bringing it back" in worker.said
    worker.signal(signal.SIGTERM)
    assert worker.wait() == 0


def test_a_broker_outlives_a_worker_that_is_killed_only_by_the_linger(shop, mq_run, eventually):
    worker = mq_run("shop:app")
    ready(shop, worker, eventually)
    children = worker.children
    worker.process.kill()
    eventually(lambda: not any(Path(f"/proc/{pid}").exists() for pid in children))
    eventually(lambda: not brokers_of(shop))


def publish(shop, value):
    """Send a record through the embedded broker, as a person would."""
    subprocess.run(
        [*MQ, "produce", shop.topic, value, "-t", "text"],
        cwd=shop.directory,
        env=environment(),
        check=True,
        capture_output=True,
    )


def brokers_of(shop):
    """The embedded brokers that run in the directory of the application."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                command = (entry / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if b"mq.broker" in command and bytes(shop.directory / ".mq") in command:
                found.append(int(entry.name))
    return found

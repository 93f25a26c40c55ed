"""What is done now and then, without anybody asking."""

from __future__ import annotations

import errno
import threading

import mq.broker.clock
from mq.coordinators.effects import Now
from mq.log.config import LogConfig
from mq.log.unsynced import SyncFailed
from mq.wire.messages.delete_topics import DeleteTopicsRequest
from mq.wire.messages.offset_commit import (
    OffsetCommitRequest,
    OffsetCommitRequestPartition,
    OffsetCommitRequestTopic,
)
from mq.wire.messages.offset_fetch import OffsetFetchRequest, OffsetFetchRequestTopic


def partition_of(broker):
    return broker.call(lambda: broker.broker.partitions.by_name("t", 0))


def test_old_segments_go_and_the_log_begins_later(broker, client, wire, eventually):
    client.create("t")
    partition = partition_of(broker)
    partition.config = LogConfig(segment_bytes=280, retention_ms=1000)
    for _ in range(5):
        old = wire.batch(bytes(150), timestamp=1_000_000)
        client.ask(wire.produce_request("t", old), 9)
    client.produce("t", b"young")
    housekeeping = broker.broker._housekeeping
    broker.call(housekeeping._retain)
    eventually(lambda: client.fetch("t", 5).log_start_offset == 5)
    assert wire.values_in(client.fetch("t", 5).records) == [b"young"]


def test_retention_leaves_the_metadata_log_alone(broker, client):
    client.create("t")
    assert broker.broker.metadata_log.config.retention_ms == -1


def test_the_progress_of_syncs_is_written_down(broker, client, tmp_path, eventually):
    client.create("t")
    client.produce("t", b"a", b"b")
    broker.call(broker.broker._housekeeping._checkpoint)
    file = tmp_path / "data" / "replication-offset-checkpoint"
    eventually(lambda: "t 0 2" in file.read_text().splitlines())


def test_a_checkpoint_that_fails_is_told_and_does_no_harm(broker, client, monkeypatch, caplog):
    def full():
        raise OSError(28, "No space left on device")

    client.create("t")
    monkeypatch.setattr(broker.broker._directory, "checkpoint", full)
    broker.call(broker.broker._housekeeping._checkpoint)
    broker.broker._housekeeping._checkpoints.submit(int).result(10)
    assert "No space left" in caplog.text
    assert client.produce("t", b"a").error_code == 0


def prepare_again(broker, monkeypatch, error):
    def refused():
        raise error

    monkeypatch.setattr(broker.broker._directory, "prepare", refused)
    housekeeping = broker.broker._housekeeping
    housekeeping._checkpoints.submit(housekeeping._prepare).result(10)


def test_without_room_for_a_journal_all_goes_on(broker, client, monkeypatch, caplog):
    for _ in range(2):
        prepare_again(broker, monkeypatch, OSError(errno.ENOSPC, "No space left on device"))
    assert caplog.text.count("there is no journal") == 1
    client.create("t")
    assert client.produce("t", b"a").error_code == 0


def test_a_disk_that_fails_a_new_journal_ends_the_trust(
    broker, client, monkeypatch, caplog, eventually
):
    client.create("t")
    prepare_again(broker, monkeypatch, OSError(errno.EIO, "Input/output error"))
    eventually(lambda: broker.failures)
    assert client.produce("t", b"a").error_code != 0
    assert "there is no journal" not in caplog.text


def test_without_other_syncs_a_failed_checkpoint_ends_the_trust(
    start_broker, connect, monkeypatch, eventually
):
    """With durability os, checkpoints are the only syncs: who fails one may have lost pages."""

    def broken():
        raise SyncFailed(5, "Input/output error")

    broker = start_broker(durability="os")
    client = connect(broker)
    client.create("t")
    monkeypatch.setattr(broker.broker._directory, "checkpoint", broken)
    broker.call(broker.broker._housekeeping._checkpoint)
    eventually(lambda: broker.failures)
    assert client.produce("t", b"a").error_code != 0


def test_retention_goes_on_after_a_bug(broker, client, monkeypatch, caplog, eventually):
    client.create("t")
    client.produce("t", b"a")
    partition = partition_of(broker)

    def broken(now_ms):
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(partition, "expire_producers", broken)
    housekeeping = broker.broker._housekeeping
    first = housekeeping._timers[housekeeping._retain]
    broker.call(housekeeping._retain)
    eventually(lambda: "a bug" in caplog.text)
    due = eventually(
        lambda: broker.call(
            lambda: (
                (timer := housekeeping._timers[housekeeping._retain]) is not first
                and timer.when() > broker.loop.time() + 60
            )
        )
    )
    assert due


YEAR_MS = 365 * 24 * 60 * 60 * 1000


def jump(monkeypatch):
    """Set the machine's clock a year ahead; what it was before."""
    clocks = mq.broker.clock._clocks
    monkeypatch.setattr(mq.broker.clock, "_clocks", lambda: (clocks()[0] + YEAR_MS, clocks()[1]))
    return clocks


def test_a_jump_of_the_clock_deletes_nothing(broker, client, wire, monkeypatch, caplog, eventually):
    client.create("t")
    partition = partition_of(broker)
    partition.config = LogConfig(segment_bytes=280, retention_ms=60_000)
    for _ in range(3):
        client.produce("t", bytes(150))
    housekeeping = broker.broker._housekeeping
    clocks = jump(monkeypatch)
    before = housekeeping._timers[housekeeping._retain]
    broker.call(housekeeping._retain)
    eventually(lambda: housekeeping._timers[housekeeping._retain] is not before)
    assert broker.call(broker.broker.now).wall_ms < clocks()[0] + YEAR_MS / 2
    assert partition.first_offset == 0
    assert caplog.text.count("the clock has jumped") == 1


def test_a_jump_of_the_clock_forgets_no_committed_offset(broker, client, monkeypatch, eventually):
    client.create("t")
    committed = OffsetCommitRequestPartition(partition_index=0, committed_offset=3)
    commit = OffsetCommitRequest(
        group_id="g", topics=[OffsetCommitRequestTopic(name="t", partitions=[committed])]
    )
    client.ask(commit, 8)
    jump(monkeypatch)
    coordinator = broker.broker.groups._coordinator

    def let_expire():
        for steps in (coordinator.tick(now_in(hours)) for hours in range(1, 3)):
            broker.broker.groups._performer.perform(steps, broker.broker.now())

    def now_in(hours):
        now = broker.broker.now()
        return Now(now.monotonic_ms + hours * 3_600_000, now.wall_ms + hours * 3_600_000)

    broker.call(let_expire)
    wanted = OffsetFetchRequestTopic(name="t", partition_indexes=[0])
    found = client.ask(OffsetFetchRequest(group_id="g", topics=[wanted]), 7)
    assert found.topics[0].partitions[0].committed_offset == 3


def test_a_deleted_topic_costs_the_loop_one_sync_and_removes_no_file_there(
    broker, client, wire, monkeypatch, tmp_path, eventually
):
    client.create("t", partitions=5)
    for index in range(5):
        client.produce("t", b"a", partition=index)
    data = tmp_path / "data"
    done = []

    def watch(verb):
        original = getattr(broker.files, verb)

        def watched(path):
            done.append((verb, path, threading.current_thread().name))
            original(path)

        monkeypatch.setattr(broker.files, verb, watched)

    watch("unlink")
    watch("sync_directory")
    assert client.ask(DeleteTopicsRequest(topic_names=["t"]), 5).responses[0].error_code == 0
    eventually(lambda: not list(data.glob("t-*")))
    syncs = [path for verb, path, thread in done if verb == "sync_directory" and thread == "broker"]
    assert syncs == [data]
    removers = {thread for verb, path, thread in done if verb == "unlink" and path.parent != data}
    assert [name.rpartition("_")[0] for name in removers] == ["mq-housekeeping"]

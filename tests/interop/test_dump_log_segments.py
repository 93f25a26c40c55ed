"""Apache Kafka's own DumpLogSegments reads what the log writes, and finds no fault.

The tool decodes every record (``--deep-iteration``), checks that each entry of an index names a
batch that is there and a timestamp that it has, and runs the checks by which Kafka decides at its
start whether to keep an index (``--index-sanity-check``).
"""

from __future__ import annotations

import re
import uuid
from pathlib import Path

import pytest

from mq.log.config import LogConfig
from mq.log.directory import DataDirectory
from mq.log.partition import Partition
from mq.log.transactions import Marker
from mq.record import TopicPartition
from mq.wire.batch import TRANSACTIONAL, BatchRecord, Codec, Producer, encode_batch
from tools.apache_kafka import tool

pytestmark = pytest.mark.slow

NOW = 1_700_000_000_000
BATCHES = 300
DUMP = "org.apache.kafka.tools.DumpLogSegments"
CONFIG = LogConfig(segment_bytes=20_000)


def batch(number: int, *, codec: Codec = Codec.NONE, producer: Producer | None = None) -> bytes:
    """Three records whose timestamps wander."""
    records = [
        BatchRecord(
            key=b"key-%d" % number,
            value=b"%d " % number * 60,
            headers=(("number", b"%d" % number), ("none", None)),
            timestamp=NOW + number * 7 % 500 * 10 + step,
        )
        for step in (0, 2, 1)
    ]
    if producer is None:
        return encode_batch(records, attributes=codec)
    return encode_batch(records, attributes=codec, producer=producer)


def fill(partition: Partition, first: int = 0) -> None:
    codecs = list(Codec)
    for number in range(first, first + BATCHES):
        producer = Producer(1000 + number % 3, 0, number // 3 * 3)
        sent = batch(number, codec=codecs[number % len(codecs)], producer=producer)
        partition.append(sent, now_ms=NOW)


def dump(*arguments: str, files: list[Path]) -> str:
    """What the tool prints about files, when it has nothing to complain of."""
    done = tool(DUMP, *arguments, "--files", ",".join(map(str, files)))
    # It takes the first batch of any segment but the first for a gap after offset -1.
    complaints = re.sub(
        r"Non-consecutive offsets in .*\n  -1 is followed by \d+\n", "", done.stderr
    )
    assert complaints == ""
    assert "isvalid: false" not in done.stdout
    return done.stdout


def assert_faultless(path: Path, end_offset: int) -> None:
    kinds = {kind: sorted(path.glob(f"*.{kind}")) for kind in ("log", "index", "timeindex")}
    assert len(kinds["log"]) > 2
    records = dump("--deep-iteration", "--print-data-log", files=kinds["log"])
    offsets = [int(found) for found in re.findall(r"^\| offset: (\d+)", records, re.MULTILINE)]
    assert offsets == list(range(end_offset))
    sealed = kinds["index"] + kinds["timeindex"]
    entries = dump(files=sealed)
    assert len(re.findall(r"^offset: \d+ position: \d+$", entries, re.MULTILINE)) > 10
    assert len(re.findall(r"^timestamp: \d+ offset: \d+$", entries, re.MULTILINE)) > 3
    checked = dump("--index-sanity-check", files=sealed)
    assert checked.count("passed sanity check") + checked.count("is empty") == len(sealed)
    snapshots = dump(files=sorted(path.glob("*.snapshot")))
    assert re.findall(r"producerId: (\d+)", snapshots)


@pytest.mark.parametrize("timestamp_type", ["CreateTime", "LogAppendTime"])
def test_a_partition_that_was_closed_is_faultless(tmp_path: Path, timestamp_type: str) -> None:
    directory = DataDirectory.open(tmp_path, now_ms=NOW)
    config = LogConfig(segment_bytes=20_000, message_timestamp_type=timestamp_type)
    partition = directory.create_partition("orders", 0, uuid.uuid4(), config)
    fill(partition)
    directory.close()
    assert_faultless(partition.path, 3 * BATCHES)


def test_a_partition_that_was_recovered_is_faultless(tmp_path: Path) -> None:
    directory = DataDirectory.open(tmp_path, now_ms=NOW)
    partition = directory.create_partition("orders", 0, uuid.uuid4(), CONFIG)
    fill(partition)
    directory.abandon()
    for index in partition.path.glob("*index"):
        index.unlink()
    last = max(partition.path.glob("*.log"))
    last.write_bytes(last.read_bytes()[:-1])

    recovered_directory = DataDirectory.open(tmp_path, now_ms=NOW, config=CONFIG)
    recovered = recovered_directory.partitions[TopicPartition("orders", 0)]
    assert recovered.log_end_offset == 3 * (BATCHES - 1)
    assert recovered.leader_epoch == 1
    recovered.append(batch(BATCHES), now_ms=NOW)
    recovered_directory.close()
    assert_faultless(recovered.path, 3 * BATCHES)


def test_the_snapshot_shows_the_last_batches_of_every_producer(tmp_path: Path) -> None:
    directory = DataDirectory.open(tmp_path, now_ms=NOW)
    partition = directory.create_partition("orders", 0, uuid.uuid4(), LogConfig())
    fill(partition)
    directory.close()
    [snapshot] = partition.path.glob("*.snapshot")
    text = dump(files=[snapshot])
    found = re.findall(
        r"producerId: (\d+) producerEpoch: 0 .* lastSequence: (\d+) lastOffset: (\d+)", text
    )
    expected = [
        (1000 + number % 3, number // 3 * 3 + 2, 3 * number + 2)
        for each in range(3)
        for number in range(BATCHES - 15 + each, BATCHES, 3)
    ]
    assert [tuple(map(int, each)) for each in found] == expected


def test_transactions_are_read_from_indexes_and_snapshots(tmp_path: Path) -> None:
    directory = DataDirectory.open(tmp_path, now_ms=NOW)
    partition = directory.create_partition("orders", 0, uuid.uuid4(), CONFIG)
    for number in range(BATCHES):
        producer_id, round_ = 1000 + number % 3, number // 3
        sent = transactional(number, Producer(producer_id, 0, 3 * round_))
        partition.append(sent, now_ms=NOW, transaction_version=1)
        if round_ % 2:
            ended = Marker(producer_id, 0, 5, commit=number % 3 == 0)
            partition.append_marker(ended, now_ms=NOW)
    partition.append(transactional(BATCHES, Producer(7, 2, 0)), now_ms=NOW, transaction_version=1)
    path, first_open = partition.path, partition.log_end_offset - 3
    expected = partition.aborted_transactions(0, partition.log_end_offset)
    directory.close()

    records = dump("--deep-iteration", "--print-data-log", files=sorted(path.glob("*.log")))
    assert records.count("endTxnMarker: COMMIT coordinatorEpoch: 5") == BATCHES // 6
    assert records.count("endTxnMarker: ABORT coordinatorEpoch: 5") == BATCHES // 3
    indexes = sorted(path.glob("*.txnindex"))
    text = dump(files=indexes)
    pattern = r"producerId: (\d+) firstOffset: (\d+) lastOffset: (\d+) lastStableOffset: (\d+)"
    found = [tuple(map(int, each)) for each in re.findall(pattern, text)]
    assert [each[:2] for each in found] == expected
    assert len(expected) == BATCHES // 3
    snapshots = dump(files=sorted(path.glob("*.snapshot")))
    assert re.search(rf"producerId: 7 producerEpoch: 2 .*FirstOffset: \D*{first_open}\b", snapshots)


def transactional(number: int, producer: Producer) -> bytes:
    records = [BatchRecord(b"key", b"%d" % number * 60, timestamp=NOW)] * 3
    return encode_batch(records, attributes=TRANSACTIONAL, producer=producer)

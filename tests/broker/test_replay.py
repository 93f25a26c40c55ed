"""State read back: the same as from every record, for less work."""

from __future__ import annotations

from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mq.broker import replay as replay_module
from mq.broker.replay import Damaged, replay
from mq.errors import PeerError
from mq.log.config import LogConfig
from mq.log.directory import DataDirectory
from mq.log.transactions import Marker
from mq.wire.batch import (
    NO_PRODUCER,
    TRANSACTIONAL,
    BatchRecord,
    Codec,
    Producer,
    batches,
    decode_batch,
    encode_batch,
)

KEYS = st.sampled_from([b"a", b"b", b"c"])
RECORDS = st.lists(st.builds(BatchRecord, KEYS, st.none() | st.binary(max_size=3)), min_size=1)
PRODUCERS = st.integers(1, 2)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("plain"), RECORDS),
        st.tuples(st.just("compressed"), RECORDS),
        st.tuples(st.just("transactional"), RECORDS, PRODUCERS),
        st.tuples(st.just("end"), PRODUCERS, st.booleans()),
    )
)


class Store:
    """A machine that keeps the values of keys, those of transactions when they are committed."""

    def __init__(self):
        self.values = {}
        self.pending = {}
        self.applied = 0

    def apply(self, key, value):
        self.applied += 1
        self.values.pop(key, None)
        if value is not None:
            self.values[key] = value

    def apply_batch(self, header, batch):
        if header.is_control:
            marker = Marker.decode(batch)
            written = self.pending.pop(marker.producer_id, [])
            for record in written if marker.commit else ():
                self.apply(record.key, record.value)
        elif header.is_transactional:
            self.pending.setdefault(header.producer_id, []).extend(decode_batch(batch))
        else:
            for record in decode_batch(batch):
                self.apply(record.key, record.value)


def write(partition, step):
    kind, what, *more = step
    if kind == "end":
        partition.append_marker(Marker(what, 0, 0, *more), now_ms=0)
        return
    attributes = {"plain": 0, "compressed": Codec.GZIP, "transactional": TRANSACTIONAL}[kind]
    producer = Producer(*more, 0, -1) if more else NO_PRODUCER
    batch = encode_batch(what, attributes=attributes, producer=producer)
    partition.append(batch, now_ms=0, client=False)


@pytest.fixture
def new_partition(tmp_path):
    """Partitions of one directory, a new one at each call."""
    directory = DataDirectory.open(tmp_path / "data", durability="os", now_ms=0)
    number = 0

    def new():
        nonlocal number
        number += 1
        return directory.create_partition("state", number, UUID(int=number), LogConfig())

    yield new
    directory.abandon()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(steps=STEPS, keys_max=st.sampled_from([1, 100_000]))
def test_a_machine_comes_to_the_same_state_as_from_every_record(new_partition, steps, keys_max):
    partition = new_partition()
    for step in steps:
        write(partition, step)
    expected, store = Store(), Store()
    data = partition.read_batches(0, 1 << 20)
    for position, header in batches(data):
        expected.apply_batch(header, data[position : position + header.length])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(replay_module, "_KEYS_MAX", keys_max)
        patch.setattr(replay_module, "_READ_BYTES", 200)
        replay(partition, store.apply, store.apply_batch)
    assert store.values == expected.values
    assert store.pending == expected.pending


def test_a_group_that_committed_often_costs_one_decoding(new_partition):
    partition = new_partition()
    for number in range(1000):
        write(partition, ("plain", [BatchRecord(b"a", b"%d" % number), BatchRecord(b"b", None)]))
    store = Store()
    replay(partition, store.apply, store.apply_batch)
    assert store.values == {b"a": b"999"}
    assert store.applied == 2


def test_what_the_machine_refuses_is_damage_at_its_place(new_partition):
    partition = new_partition()
    for key in (b"a", b"b", b"c"):
        write(partition, ("plain", [BatchRecord(key, b"")]))

    def apply(key, value):
        if key == b"b":
            raise PeerError("nonsense")

    with pytest.raises(Damaged) as caught:
        replay(partition, apply, lambda header, batch: None)
    assert caught.value.offset == 1


def test_bytes_that_are_no_batch_are_damage(new_partition):
    partition = new_partition()
    for key in (b"a", b"b"):
        write(partition, ("plain", [BatchRecord(key, b"")]))
    log = next(partition.path.glob("*.log"))
    data = bytearray(log.read_bytes())
    data[len(data) // 2 + 8 : len(data) // 2 + 12] = bytes(4)
    log.write_bytes(data)
    with pytest.raises(Damaged):
        replay(partition, lambda key, value: None, lambda header, batch: None)

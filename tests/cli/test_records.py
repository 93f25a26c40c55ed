"""`mq produce` and `mq consume` on both engines."""

from __future__ import annotations

import json

import msgpack
import pytest


@pytest.fixture
def one(topic, make_topic):
    """A topic with one partition, so that order is known."""
    return make_topic(topic)


def test_a_value_is_sent_as_it_is_typed_and_its_place_is_told(mq, one):
    assert (
        mq("produce", one, '{"id": 1}', "-k", "k", "-H", "a=1", "-H", "a=2").out == f"{one} 0:0\n"
    )
    (record,) = mq("consume", one, "-o", "ndjson").lines
    assert record["value"] == '{"id": 1}'
    assert record["key"] == "k"
    assert record["headers"] == [["a", "1"], ["a", "2"]]


def test_receipts_are_json_on_demand(mq, one):
    sent = mq("produce", one, "-o", "ndjson", stdin=b"a\nb\n")
    assert sent.lines == [{"topic": one, "partition": 0, "offset": n} for n in (0, 1)]


def test_every_line_is_a_record(mq, one):
    assert mq("produce", one, stdin=b"first\nsecond\r\n\nlast").err == f"4 records sent to {one}\n"
    assert mq("consume", one, "-o", "raw").out == "first\nsecond\n\nlast\n"


def test_a_line_may_carry_its_key(mq, one):
    mq("produce", one, "-K", ":", stdin=b"k1:a:b\nk2:\n")
    records = mq("consume", one, "-o", "ndjson").lines
    assert [(r["key"], r["value"]) for r in records] == [("k1", "a:b"), ("k2", "")]


def test_a_line_without_its_key_stops_the_command_and_what_was_sent_is_told(mq, one):
    outcome = mq("produce", one, "-K", ":", stdin=b"k:v\nno separator\nk:v\n")
    assert outcome.code == 6
    assert "1 records were sent" in outcome.err
    assert mq("consume", one, "-o", "raw").out == "v\n"


def test_types_are_checked_and_named(mq, one):
    mq("produce", one, '{"id": 1}', "-t", "json")
    mq("produce", one, '{"id": 2}', "-t", "msgpack")
    mq("produce", one, "drei", "-t", "text")
    records = mq("consume", one, "-o", "ndjson").lines
    types = [dict(record["headers"])["content-type"] for record in records]
    assert types == ["application/json", "application/msgpack", "text/plain; charset=utf-8"]
    assert records[1]["decoded"] == {"id": 2}
    assert mq("produce", one, "{", "-t", "json").code == 2


def test_a_tombstone_has_no_value(mq, one):
    mq("produce", one, "-k", "gone", "--tombstone")
    (record,) = mq("consume", one, "-o", "ndjson").lines
    assert record["value"] is None
    assert "∅" in mq("consume", one).out


def test_what_consume_prints_produce_reads_byte_for_byte(mq, make_topic, unique, send):
    source, target = make_topic(unique()), make_topic(unique())
    send(source, b"\xff\x00", key=b"\xfe", headers=[("h", b"\x80"), ("h", None), ("h", b"2")])
    send(source, None, key=b"k", timestamp=1_700_000_000_000)
    send(source, msgpack.packb({"a": 1}), headers=[("content-type", b"application/msgpack")])
    printed = mq("consume", source, "-o", "ndjson")
    assert mq("produce", target, "--from", "ndjson", stdin=printed.out.encode()).code == 0
    again = mq("consume", target, "-o", "ndjson")

    def content(line):
        return {k: v for k, v in line.items() if k != "topic"}

    assert [*map(content, again.lines)] == [*map(content, printed.lines)]


def test_lines_that_are_no_records_are_refused(mq, one):
    for line in (b"{", b"[]", b'{"value": 1}', b'{"headers": [1]}', b'{"key": {"base64": "?"}}'):
        assert mq("produce", one, "--from", "ndjson", stdin=line).code == 2


def test_nothing_to_send_is_told(mq, one):
    assert mq("produce", one).code == 5


def test_a_table_shows_place_time_key_and_decoded_value(mq, one, send):
    send(
        one,
        msgpack.packb({"id": 7}),
        key=b"k",
        headers=[("content-type", b"application/msgpack"), ("trace", b"t1")],
    )
    assert mq("consume", one).out.split()[0] == "0:0"
    assert mq("consume", one).out.split()[3:] == ["k", '{"id":', "7}"]
    assert "trace: t1" in mq("consume", one, "--headers").out


def test_a_record_cannot_play_tricks_on_a_terminal(mq, one, send):
    send(one, b"\x1b[2Jgone\r\nover", headers=[("content-type", b"text/plain")])
    out = mq("consume", one).out
    assert "\\x1b[2Jgone\\x0d\\x0aover" in out
    assert "\x1b" not in out


def test_places_in_a_topic_are_found(mq, one, send):
    for number in range(10):
        send(one, b"%d" % number, timestamp=1_700_000_000_000 + number * 1000)

    def values(*options):
        return mq("consume", one, "-o", "raw", *options).out.split()

    assert values("-O", "7") == ["7", "8", "9"]
    assert values("-O", "-2") == ["8", "9"]
    assert values("-O", "+8") == ["8", "9"]
    assert values("-O", "2:4") == ["2", "3"]
    assert values("-O", "@1700000003000:@1700000005000") == ["3", "4"]
    assert values("-O", "@2023-11-14T22:13:28Z") == ["8", "9"]
    assert values("-n", "2") == ["0", "1"]
    assert mq("consume", one, "-O", "end").code == 5
    assert mq("consume", one, "-O", "middle").code == 2


def test_chosen_partitions_are_read(mq, topic, make_topic, send):
    make_topic(topic, 3)
    for partition in range(3):
        send(topic, b"%d" % partition, partition=partition)
    out = mq("consume", topic, "-p", "0", "-p", "2", "-o", "raw").out
    assert sorted(out.split()) == ["0", "2"]
    assert mq("consume", topic, "-p", "3").err == f"mq: {topic} has 3 partitions, numbered from 0\n"


def test_json_is_one_array(mq, one, send):
    empty = mq("consume", one, "-o", "json")
    assert (empty.code, empty.json) == (5, [])
    send(one, b"a")
    send(one, b"b")
    assert [record["value"] for record in mq("consume", one, "-o", "json").json] == ["a", "b"]


def test_follow_waits_for_what_comes(start, one, send):
    send(one, b"before")
    follower = start("consume", one, "-f", "-n", "2", "-o", "ndjson")
    assert json.loads(follower.stdout.readline())["value"] == "before"
    send(one, b"after")
    assert json.loads(follower.stdout.readline())["value"] == "after"
    assert follower.wait(30) == 0


def test_a_topic_that_is_not_there_is_told(mq, topic):
    outcome = mq("consume", topic)
    assert (outcome.code, outcome.err) == (5, f"mq: there is no topic {topic}\n")

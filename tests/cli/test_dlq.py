"""`mq dlq` on both engines: found, understood, mended, replayed, hidden."""

from __future__ import annotations

import json

import msgpack
import pytest

from mq.app.dead_letters import dead_letter_topic
from mq.app.provenance import Death, Hop


class CardError(Exception):
    pass


class Letters:
    """Dead letters of one group and topic, written as the engine writes them."""

    def __init__(self, group, topic, send):
        self.group, self.topic, self._send = group, topic, send
        self.dead = dead_letter_topic(group, topic)
        self.retry = f"retry.{group}.{topic}.10s"

    def die(self, number, *, value=None, headers=(), error=None, replays=0):
        failure = error or CardError(f"card {number} declined")
        hop = Hop(
            id=f"id-{number}",
            topic=self.topic,
            partition=1,
            offset=100 + number,
            timestamp=1_700_000_000_000,
            group=self.group,
            handler="charge",
            attempt=5,
            failed_at=1_700_000_001_000,
            replays=replays,
        )
        own = [("trace", b"t"), *headers]
        self._send(
            self.dead,
            value if value is not None else b'{"card": %d}' % number,
            key=b"k%d" % number,
            headers=list(Death(hop, failure).headers(own)),
            partition=0,
        )
        return f"{self.dead}/0/{number}"


@pytest.fixture
def letters(unique, make_topic, send):
    letters = Letters(unique("payments"), unique("orders"), send)
    make_topic(letters.topic, 2)
    make_topic(letters.dead, 2)
    make_topic(letters.retry, 2)
    return letters


def open_ids(mq, letters):
    return [row["id"] for row in mq("dlq", "list", letters.topic, "-o", "json").json]


def test_topics_and_errors_are_counted(mq, letters):
    for number in range(3):
        letters.die(number, error=CardError("declined"))
    letters.die(3, error=ValueError("no such thing"))
    (topic,) = mq("dlq", "topics", "--group", letters.group, "-o", "json").json
    assert (topic["topic"], topic["group"], topic["origin"], topic["open"]) == (
        letters.dead,
        letters.group,
        letters.topic,
        4,
    )
    errors = mq("dlq", "errors", letters.dead, "-o", "json").json
    assert [(row["open"], row["error"].rpartition(".")[2]) for row in errors] == [
        (3, "CardError"),
        (1, "ValueError"),
    ]
    (kind,) = mq(
        "dlq", "list", letters.dead, "--fingerprint", errors[1]["fingerprint"], "-o", "json"
    ).json
    assert kind["message"] == "no such thing"


def test_the_list_is_narrowed_by_what_is_known(mq, letters):
    ids = [letters.die(number) for number in range(4)]

    def listed(*options):
        rows = mq("dlq", "list", letters.topic, "-o", "ndjson", *options).lines
        return [row["id"] for row in rows]

    assert listed() == ids
    assert listed("--key", "k2") == [ids[2]]
    assert listed("--message", "card [13] ") == [ids[1], ids[3]]
    assert listed("--error", "carderror") == ids
    assert listed("--error", "ValueError") == []
    assert listed("--limit", "1") == [ids[3]]
    assert listed("--since", "1h") == ids
    assert listed("--until", "1h") == []
    assert listed("-H", "trace=t", "--handler", "charge", "--group", letters.group) == ids
    assert mq("dlq", "list", ids[1], "-o", "ndjson").lines[0]["id"] == ids[1]
    table = mq("dlq", "list", letters.topic).out
    assert [line.split()[0] for line in table.splitlines()[1:]] == ids


def test_one_letter_is_shown_whole(mq, letters):
    try:
        raise CardError("declined")
    except CardError as error:
        name = letters.die(0, error=error, value=msgpack.packb({"card": 0}), headers=[MSGPACK])
    shown = mq("dlq", "show", name, "-o", "json").json
    assert shown["payload"] == {"card": 0}
    assert shown["origin"] == letters.topic
    assert shown["origin_offset"] == 100
    assert shown["state"] == "open"
    assert "test_dlq.py" in shown["traceback"]
    told = mq("dlq", "show", name).out
    for part in ("CardError", "declined", letters.topic, '"card": 0', "trace: t", "Traceback"):
        assert part in told


MSGPACK = ("content-type", b"application/msgpack")


def test_a_replay_goes_back_to_the_group_that_gave_up_and_to_no_other(mq, letters):
    name = letters.die(0)
    assert mq("dlq", "replay", name).err == "1 dead letter replayed\n"
    (record,) = mq("consume", letters.retry, "-o", "ndjson").lines
    headers = dict(record["headers"])
    assert (record["key"], record["value"], record["partition"]) == ("k0", '{"card": 0}', 1)
    assert (headers["trace"], headers["mq-id"], headers["mq-replays"]) == ("t", "id-0", "1")
    assert "mq-error-type" not in headers
    assert mq("consume", letters.topic).code == 5


def test_what_was_replayed_is_hidden_and_not_replayed_again(mq, letters):
    names = [letters.die(number) for number in range(3)]
    mq("dlq", "replay", names[1])
    assert open_ids(mq, letters) == [names[0], names[2]]
    (done,) = mq("dlq", "list", letters.topic, "--state", "replayed", "-o", "json").json
    assert done["id"] == names[1]
    assert mq("dlq", "replay", names[1]).code == 5
    assert mq("dlq", "replay", letters.topic, "--yes").err == "2 dead letters replayed\n"
    assert len(mq("consume", letters.retry, "-o", "ndjson").lines) == 3
    assert mq("dlq", "show", names[1], "-o", "json").json["state"] == "replayed"


def test_a_value_is_mended_on_the_way_in_the_format_that_it_had(mq, letters):
    plain = letters.die(0)
    packed = letters.die(1, value=msgpack.packb({"card": 1}), headers=[MSGPACK])
    for name in (plain, packed):
        assert mq("dlq", "replay", name, "--value", '{"card": 42}').code == 0
    first, second = mq("consume", letters.retry, "-o", "ndjson").lines
    assert json.loads(first["value"]) == {"card": 42}
    assert second["decoded"] == {"card": 42}


def test_a_value_is_mended_in_an_editor(mq, letters, tmp_path, monkeypatch):
    editor = tmp_path / "editor"
    editor.write_text('#!/bin/sh\nsed -i s/7/8/ "$1"\n')
    editor.chmod(0o755)
    monkeypatch.setenv("EDITOR", str(editor))
    name = letters.die(0, value=b'{"card": 7}')
    assert mq("dlq", "replay", name, "--edit").code == 0
    (record,) = mq("consume", letters.retry, "-o", "ndjson").lines
    assert json.loads(record["value"]) == {"card": 8}


def test_one_value_does_not_mend_many(mq, letters):
    letters.die(0)
    letters.die(1)
    assert mq("dlq", "replay", letters.topic, "--value", "{}", "--yes").code == 2
    assert mq("dlq", "replay", f"{letters.dead}/0/0", "--value", "{").code == 2


def test_a_replay_to_the_origin_or_elsewhere(mq, letters, make_topic, unique):
    other = make_topic(unique())
    letters.die(0)
    letters.die(1)
    assert mq("dlq", "replay", letters.topic, "--max", "1", "--to", "origin", "--yes").code == 0
    assert mq("dlq", "replay", letters.topic, "--to", other, "--rate", "100/s", "--yes").code == 0
    (first,) = mq("consume", letters.topic, "-o", "ndjson").lines
    (second,) = mq("consume", other, "-o", "ndjson").lines
    assert (first["key"], first["partition"], second["key"]) == ("k0", 1, "k1")
    assert mq("dlq", "list", letters.topic, "-o", "json").json == []


def test_a_dry_run_shows_the_way_and_goes_none(mq, letters):
    name = letters.die(0)
    outcome = mq("dlq", "replay", letters.topic, "--dry-run", "-o", "json")
    (row,) = outcome.json
    assert (row["id"], row["to"], row["partition"]) == (name, letters.retry, 1)
    assert "1 × " in outcome.err
    assert open_ids(mq, letters) == [name]
    assert mq("consume", letters.retry).code == 5


def test_letters_that_keep_coming_back_are_left_alone(mq, letters):
    letters.die(0, replays=3)
    name = letters.die(1, replays=2)
    outcome = mq("dlq", "replay", letters.topic, "--yes")
    assert outcome.err.splitlines() == ["1 came back 3 times and stay", "1 dead letter replayed"]
    assert name not in open_ids(mq, letters)


def test_many_are_replayed_only_when_somebody_says_yes(mq, letters):
    names = [letters.die(0), letters.die(1)]
    refused = mq("dlq", "replay", letters.topic)
    assert (refused.code, "--yes" in refused.err) == (2, True)
    assert mq("dlq", "replay").code == 2
    assert open_ids(mq, letters) == names


def test_a_letter_that_cannot_be_sent_stays_open(mq, letters):
    name = letters.die(0)
    assert mq("dlq", "replay", name, "--to", "no-such-topic").code == 2
    assert open_ids(mq, letters) == [name]


def test_a_topic_that_refuses_the_record_leaves_the_letter_open(mq, letters, unique):
    tiny = unique()
    mq("topics", "create", tiny, "-p", "1", "-c", "max.message.bytes=100")
    names = [letters.die(0, value=b"x" * 1000)]
    refused = mq("dlq", "replay", names[0], "--to", tiny)
    assert refused.code == 1
    assert tiny in refused.err
    assert open_ids(mq, letters) == names


def test_discarded_letters_are_done_with(mq, letters):
    name, other = letters.die(0), letters.die(1)
    assert mq("dlq", "discard", letters.topic).code == 2
    assert mq("dlq", "discard", name).err == "1 dead letter discarded\n"
    assert open_ids(mq, letters) == [other]
    assert mq("dlq", "show", name, "-o", "json").json["state"] == "discarded"


def test_letters_of_other_tools_are_read(mq, make_topic, unique, send):
    foreign = make_topic(unique("orders-dlt"))
    headers = [
        ("kafka_dlt-original-topic", b"orders"),
        ("kafka_dlt-original-offset", (47).to_bytes(8, "big")),
        ("kafka_dlt-exception-fqcn", b"java.lang.IllegalStateException"),
        ("kafka_dlt-exception-message", b"out of stock"),
    ]
    send(foreign, b"{}", headers=headers)
    (row,) = mq("dlq", "list", foreign, "-o", "json").json
    assert (row["origin"], row["error"]) == ("orders", "java.lang.IllegalStateException")
    assert mq("dlq", "list", foreign).code == 0


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["show", "nonsense"], 2),
        (["show", "no-such-topic/0/0"], 5),
        (["list", "no-such-topic"], 5),
        (["list", "--error", "("], 2),
        (["list", "--since", "soon"], 2),
        (["list", "-H", "trace"], 2),
        (["replay", "x", "--rate", "fast"], 2),
    ],
)
def test_nonsense_is_refused(mq, arguments, code):
    assert mq("dlq", *arguments).code == code


def test_a_letter_that_is_not_there_is_told(mq, letters):
    assert mq("dlq", "show", f"{letters.dead}/0/99").code == 5

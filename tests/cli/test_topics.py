"""`mq topics` on both engines."""

from __future__ import annotations


def test_a_topic_is_created_described_altered_and_deleted(mq, topic, eventually):
    assert mq("topics", "create", topic, "-p", "3", "-c", "retention.ms=3600000").code == 0
    described = mq("topics", "describe", topic, "-o", "json").json
    assert described["topic"] == topic
    assert [each["partition"] for each in described["partitions"]] == [0, 1, 2]
    assert described["settings"]["retention.ms"] == "3600000"

    altered = mq("topics", "alter", topic, "-c", "retention.ms=1000", "-p", "5")
    assert (altered.code, altered.err) == (0, f"altered {topic}\n")
    eventually(lambda: len(mq("topics", "describe", topic, "-o", "json").json["partitions"]) == 5)
    settings = mq("topics", "describe", topic, "-o", "json").json["settings"]
    assert settings["retention.ms"] == "1000"
    mq("topics", "alter", topic, "--unset", "retention.ms")
    settings = mq("topics", "describe", topic, "-o", "json").json["settings"]
    assert settings["retention.ms"] == "604800000"

    assert mq("topics", "delete", topic, "--yes").code == 0
    eventually(lambda: mq("topics", "describe", topic).code == 5)


def test_the_list_counts_records_in_every_format(mq, topic, make_topic, send):
    make_topic(topic, 2)
    for partition in (0, 1, 1):
        send(topic, b"v", partition=partition)
    expected = {"topic": topic, "partitions": 2, "records": 3}
    assert expected in mq("topics", "list", "-o", "json").json
    assert expected in mq("-o", "ndjson", "topics", "list").lines
    assert f"{topic}\t2\t3" in mq("topics", "list", "-o", "raw").out.splitlines()
    table = [line.split() for line in mq("topics", "list").out.splitlines()]
    assert table[0] == ["TOPIC", "PARTITIONS", "RECORDS"]
    assert [topic, "2", "3"] in table


def test_internal_topics_are_listed_on_demand(mq, make_topic, unique):
    hidden = make_topic("_mq." + unique())
    assert hidden not in mq("topics", "list").out
    assert hidden in mq("topics", "list", "--all").out


def test_describe_shows_a_person_only_what_was_set(mq, topic):
    mq("topics", "create", topic, "-p", "1", "-c", "cleanup.policy=compact")
    shown = mq("topics", "describe", topic).out
    assert "cleanup.policy" in shown
    assert "compact" in shown
    assert "segment.bytes" not in shown


def test_what_exists_is_not_created_again(mq, topic, make_topic):
    make_topic(topic)
    again = mq("topics", "create", topic)
    assert again.code == 1
    assert topic in again.err
    assert mq("topics", "create", topic, "--if-not-exists").code == 0


def test_nonsense_is_refused(mq, topic, make_topic):
    assert mq("topics", "create", topic, "-c", "retention.ms").code == 2
    assert mq("topics", "create", topic, "-c", "retention.ms=soon").code == 1
    assert mq("topics", "alter", topic).code == 2
    assert mq("topics", "alter", topic, "-p", "3").code == 5


def test_nothing_is_deleted_where_nobody_can_be_asked(mq, topic, make_topic):
    make_topic(topic)
    refused = mq("topics", "delete", topic)
    assert refused.code == 2
    assert "--yes" in refused.err
    assert topic in mq("topics", "list").out


def test_a_typing_error_deletes_nothing(mq, topic, make_topic):
    make_topic(topic)
    assert mq("topics", "delete", topic, topic + "x", "--yes").code == 5
    assert topic in mq("topics", "list").out


def test_a_name_that_kafka_would_refuse_is_refused_before_anything_is_asked(mq):
    for arguments in (("topics", "create", "no spaces"), ("produce", "no spaces", "x")):
        refused = mq(*arguments)
        assert refused.code == 2
        assert "'no spaces' cannot be a topic" in refused.err

"""`mq groups` on both engines."""

from __future__ import annotations

import pytest
from confluent_kafka import Consumer, TopicPartition


@pytest.fixture
def group(unique, topic, make_topic, send, bootstrap):
    """A group without members that has read 2 of 5 records in partition 0 of two."""
    make_topic(topic, 2)
    for number in range(5):
        send(topic, b"%d" % number, partition=0)
    name = unique("group")
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": name})
    consumer.commit(offsets=[TopicPartition(topic, 0, 2)], asynchronous=False)
    consumer.close()
    return name


@pytest.fixture
def member(group, topic, bootstrap, eventually):
    """A living member of the group."""
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": group, "client.id": "me"})
    consumer.subscribe([topic])
    eventually(lambda: consumer.poll(0.05) and consumer.assignment(), 30)
    yield consumer
    consumer.close()


def test_the_list_tells_state_members_and_lag(mq, group, topic):
    rows = {row["group"]: row for row in mq("groups", "list", "-o", "json").json}
    expected = {"group": group, "state": "empty", "members": 0, "topics": [topic], "lag": 3}
    assert rows[group] == expected
    assert group in mq("groups", "list").out


def test_show_tells_each_partitions_lag_and_owner(mq, group, member, topic):
    shown = mq("groups", "show", group, "-o", "json").json
    assert (shown["state"], shown["members"], shown["lag"]) == ("stable", 1, 3)
    first, second = shown["partitions"]
    assert (first["committed"], first["end"], first["lag"]) == (2, 5, 3)
    assert (second["committed"], second["end"], second["lag"]) == (None, 0, 0)
    assert {first["member"], second["member"]} == {member.memberid()}
    table = mq("groups", "show", group).out
    assert topic in table
    assert member.memberid() in table


def test_a_group_is_reset_to_a_place(mq, group, topic):
    dry = mq("groups", "reset", group, topic, "--to", "end", "--dry-run", "-o", "json").json
    assert [(row["from"], row["to"]) for row in dry] == [(2, 5), (None, 0)]
    assert mq("groups", "show", group, "-o", "json").json["lag"] == 3
    assert mq("groups", "reset", group, topic, "--to", "-1", "--yes").code == 0
    assert mq("groups", "show", group, "-o", "json").json["lag"] == 1


def test_a_group_that_is_new_may_be_given_a_place(mq, group, topic, unique):
    name = unique("new")
    assert mq("groups", "reset", name, topic, "--to", "start", "--yes").code == 0
    assert mq("groups", "show", name, "-o", "json").json["lag"] == 5


def test_nobody_is_reset_or_deleted_by_accident(mq, group, topic):
    assert mq("groups", "reset", group, topic, "--to", "start").code == 2
    assert mq("groups", "reset", group, topic, "--to", "1:2", "--yes").code == 2
    assert mq("groups", "reset", group, "no-such-topic", "--to", "start", "--yes").code == 5
    assert mq("groups", "delete", group).code == 2
    assert mq("groups", "show", group, "-o", "json").json["lag"] == 3


def test_a_group_at_work_is_neither_reset_nor_deleted(mq, group, member, topic):
    assert mq("groups", "reset", group, topic, "--to", "start", "--yes").code == 1
    refused = mq("groups", "delete", group, "--yes")
    assert refused.code == 1
    assert group in refused.err


def test_a_group_is_deleted(mq, group, eventually):
    assert mq("groups", "delete", group, "--yes").code == 0
    eventually(lambda: mq("groups", "show", group).code == 5)


def test_a_group_that_is_not_there_is_told(mq, unique):
    name = unique()
    for verb in ("show", "delete"):
        assert mq("groups", verb, name).err == f"mq: there is no consumer group {name}\n"

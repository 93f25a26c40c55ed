"""Kafka's own Java clients and tools, the strictest readers of its protocol."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable

import pytest
from confluent_kafka import Message

from tools.apache_kafka import tool

TOOLS = "org.apache.kafka.tools"
pytestmark = pytest.mark.slow

# What the broker serves, with the numbers of Kafka's protocol.
SERVED = {
    *("Produce(0)", "Fetch(1)", "ListOffsets(2)", "Metadata(3)"),
    *("OffsetCommit(8)", "OffsetFetch(9)", "FindCoordinator(10)", "JoinGroup(11)", "Heartbeat(12)"),
    *("LeaveGroup(13)", "SyncGroup(14)", "DescribeGroups(15)", "ListGroups(16)", "ApiVersions(18)"),
    *("CreateTopics(19)", "DeleteTopics(20)", "InitProducerId(22)", "OffsetForLeaderEpoch(23)"),
    *("DescribeConfigs(32)", "AlterConfigs(33)", "CreatePartitions(37)", "DeleteGroups(42)"),
    *("IncrementalAlterConfigs(44)", "DescribeCluster(60)"),
}

CreateTopic = Callable[..., str]
ReadAll = Callable[[str], list[Message]]
Unique = Callable[[str], str]


def ask(bootstrap: str, name: str, *args: str, stdin: str = "") -> str:
    """What one of Kafka's tools prints; its complaints about slow brokers would be on stderr."""
    done = tool(f"{TOOLS}.{name}", "--bootstrap-server", bootstrap, *args, input=stdin)
    return done.stdout


def events(printed: str) -> dict[str, list[dict[str, object]]]:
    """The JSON lines of a verifiable client by the name of the event."""
    by_name: dict[str, list[dict[str, object]]] = {}
    for line in printed.splitlines():
        event = json.loads(line)
        by_name.setdefault(event["name"], []).append(event)
    return by_name


def test_the_java_admin_client_can_use_what_is_served(bootstrap: str) -> None:
    printed = ask(bootstrap, "BrokerApiVersionsCommand")
    assert printed.startswith(f"{bootstrap} (id: ")
    offered = {line.partition(":")[0].strip() for line in printed.splitlines() if "usable" in line}
    assert offered >= SERVED


def test_the_console_consumer_reads_what_the_console_producer_wrote(
    bootstrap: str, create_topic: CreateTopic, unique: Unique
) -> None:
    topic = create_topic(partitions=3)
    keyed = ("--reader-property", "parse.key=true", "--reader-property", "key.separator=:")
    lines = [f"k{i}:v{i}" for i in range(300)]
    ask(bootstrap, "ConsoleProducer", "--topic", topic, *keyed, stdin="\n".join(lines) + "\n")
    shown = ("--formatter-property", "print.key=true", "--formatter-property", "key.separator=:")
    where = ("--topic", topic, "--from-beginning", "--group", unique("group"))
    limit = ("--max-messages", "300", "--timeout-ms", "30000")
    printed = ask(bootstrap, "consumer.ConsoleConsumer", *where, *limit, *shown)
    assert sorted(printed.splitlines()) == sorted(lines)


@pytest.mark.parametrize("acks", ["-1", "1", "0"])
def test_every_record_of_the_verifiable_producer_arrives_once(
    acks: str, bootstrap: str, create_topic: CreateTopic, read_all: ReadAll
) -> None:
    topic = create_topic(partitions=3)
    sent = ask(
        bootstrap, "VerifiableProducer", "--topic", topic, "--max-messages", "2000", "--acks", acks
    )
    assert len(events(sent)["producer_send_success"]) == 2000
    values = Counter(int(message.value()) for message in read_all(topic))
    assert values == Counter(range(2000))


def test_the_verifiable_consumer_commits_every_record_once(
    bootstrap: str, create_topic: CreateTopic, unique: Unique
) -> None:
    topic, group = create_topic(partitions=4), unique("group")
    written = ("--topic", topic, "--max-messages", "1000", "--repeating-keys", "100")
    ask(bootstrap, "VerifiableProducer", *written)
    where = ("--topic", topic, "--group-id", group, "--max-messages", "1000")
    seen = events(ask(bootstrap, "VerifiableConsumer", *where))
    assert sum(int(str(event["count"])) for event in seen["records_consumed"]) == 1000
    assert all(event["success"] for event in seen["offsets_committed"])

    described = ask(
        bootstrap, "consumer.group.ConsumerGroupCommand", "--describe", "--group", group
    )
    rows = [line.split() for line in described.splitlines() if line.startswith(group)]
    assert len(rows) == 4
    assert [row[5] for row in rows] == ["0"] * 4, f"there is a lag:\n{described}"


def test_the_topic_command_creates_describes_grows_and_deletes(
    bootstrap: str, unique: Unique
) -> None:
    topic = unique("topic")
    named = ("--topic", topic)
    wanted = ("--partitions", "2", "--config", "retention.ms=123000")
    ask(bootstrap, "TopicCommand", "--create", *named, *wanted)
    described = ask(bootstrap, "TopicCommand", "--describe", *named)
    assert "PartitionCount: 2" in described
    assert "retention.ms=123000" in described
    ask(bootstrap, "TopicCommand", "--alter", *named, "--partitions", "5")
    assert "PartitionCount: 5" in ask(bootstrap, "TopicCommand", "--describe", *named)
    ask(bootstrap, "TopicCommand", "--delete", *named)
    assert topic not in ask(bootstrap, "TopicCommand", "--list").split()


def test_the_config_command_changes_a_topic(bootstrap: str, create_topic: CreateTopic) -> None:
    topic = create_topic(partitions=1)
    about = ("--bootstrap-server", bootstrap, "--entity-type", "topics", "--entity-name", topic)
    command = "kafka.admin.ConfigCommand"
    tool(command, *about, "--alter", "--add-config", "cleanup.policy=compact,segment.bytes=1048576")
    described = tool(command, *about, "--describe").stdout
    assert "cleanup.policy=compact" in described
    assert "segment.bytes=1048576" in described


def test_the_offset_tool_finds_starts_and_ends(bootstrap: str, create_topic: CreateTopic) -> None:
    topic = create_topic(partitions=1)
    ask(bootstrap, "VerifiableProducer", "--topic", topic, "--max-messages", "10")
    about = ("--topic", topic)
    assert ask(bootstrap, "GetOffsetShell", *about, "--time", "-2").strip() == f"{topic}:0:0"
    assert ask(bootstrap, "GetOffsetShell", *about, "--time", "-1").strip() == f"{topic}:0:10"

"""Topics and their settings, from creation to deletion."""

from __future__ import annotations

import pytest

from mq.broker.settings import Settings
from mq.errors import ErrorCode
from mq.wire.fields import ZERO_UUID
from mq.wire.messages.alter_configs import (
    AlterableConfig,
    AlterConfigsRequest,
    AlterConfigsResource,
)
from mq.wire.messages.create_partitions import (
    CreatePartitionsAssignment,
    CreatePartitionsRequest,
    CreatePartitionsTopic,
)
from mq.wire.messages.create_topics import (
    CreatableReplicaAssignment,
    CreatableTopic,
    CreatableTopicConfig,
    CreateTopicsRequest,
)
from mq.wire.messages.delete_topics import DeleteTopicsRequest, DeleteTopicState
from mq.wire.messages.describe_cluster import DescribeClusterRequest
from mq.wire.messages.describe_configs import DescribeConfigsRequest, DescribeConfigsResource
from mq.wire.messages.incremental_alter_configs import (
    AlterableConfig as IncrementalConfig,
)
from mq.wire.messages.incremental_alter_configs import (
    AlterConfigsResource as IncrementalResource,
)
from mq.wire.messages.incremental_alter_configs import IncrementalAlterConfigsRequest
from mq.wire.messages.metadata import MetadataRequest, MetadataRequestTopic

TOPIC, BROKER, BROKER_LOGGER, GROUP = 2, 4, 8, 32


def metadata(client, *names, version=12, **options):
    wanted = [MetadataRequestTopic(name=name) for name in names]
    return client.ask(MetadataRequest(topics=wanted, **options), version).topics


def create(client, *topics, version=7, **options):
    return client.ask(CreateTopicsRequest(topics=list(topics), **options), version).topics


@pytest.mark.parametrize("version", range(2, 8))
def test_a_topic_is_created_and_described(client, version):
    (result,) = create(client, CreatableTopic("t", 3, 1), version=version)
    assert result.error_code == 0
    (topic,) = metadata(client, "t", allow_auto_topic_creation=False)
    assert (topic.error_code, topic.is_internal) == (0, False)
    assert [partition.partition_index for partition in topic.partitions] == [0, 1, 2]
    assert all(partition.leader_id == 1 for partition in topic.partitions)
    if version >= 7:
        assert result.topic_id == topic.topic_id != ZERO_UUID
    if version >= 5:
        assert (result.num_partitions, result.replication_factor) == (3, 1)
        assert ("retention.ms", "604800000") in [(c.name, c.value) for c in result.configs]


CASES = {
    "a name with a slash": (CreatableTopic("a/b", 1, 1), ErrorCode.INVALID_TOPIC_EXCEPTION),
    "no partitions": (CreatableTopic("t", 0, 1), ErrorCode.INVALID_PARTITIONS),
    "no replica": (CreatableTopic("t", 1, 0), ErrorCode.INVALID_REPLICATION_FACTOR),
    "two replicas": (CreatableTopic("t", 1, 2), ErrorCode.INVALID_REPLICATION_FACTOR),
    "an unknown setting": (
        CreatableTopic("t", 1, 1, configs=[CreatableTopicConfig("no.such", "1")]),
        ErrorCode.INVALID_CONFIG,
    ),
    "an assignment to a stranger": (
        CreatableTopic("t", -1, -1, assignments=[CreatableReplicaAssignment(0, [2])]),
        ErrorCode.INVALID_REPLICA_ASSIGNMENT,
    ),
    "an assignment with a gap": (
        CreatableTopic("t", -1, -1, assignments=[CreatableReplicaAssignment(1, [1])]),
        ErrorCode.INVALID_REPLICA_ASSIGNMENT,
    ),
    "an assignment and a number": (
        CreatableTopic("t", 1, -1, assignments=[CreatableReplicaAssignment(0, [1])]),
        ErrorCode.INVALID_REQUEST,
    ),
}


@pytest.mark.parametrize(("wanted", "code"), CASES.values(), ids=CASES.keys())
def test_what_cannot_be_created_is_refused_with_a_reason(client, wanted, code):
    (result,) = create(client, wanted)
    assert result.error_code == code
    assert result.error_message
    assert client.ask(MetadataRequest(topics=None), 12).topics == []


def test_an_assignment_to_this_node_is_taken(client):
    assignments = [CreatableReplicaAssignment(index, [1]) for index in range(2)]
    (result,) = create(client, CreatableTopic("t", -1, -1, assignments=assignments))
    assert (result.error_code, result.num_partitions) == (0, 2)


def test_topics_of_one_request_succeed_and_fail_one_by_one(client):
    client.create("old")
    results = create(
        client,
        CreatableTopic("new", -1, -1),
        CreatableTopic("old", 1, 1),
        CreatableTopic("twice", 1, 1),
        CreatableTopic("twice", 2, 1),
    )
    assert {result.name: result.error_code for result in results} == {
        "new": ErrorCode.NONE,
        "old": ErrorCode.TOPIC_ALREADY_EXISTS,
        "twice": ErrorCode.INVALID_REQUEST,
    }
    assert len(metadata(client, "new")[0].partitions) == 8


def test_validation_creates_nothing(client):
    (result,) = create(client, CreatableTopic("t", 1, 1), validate_only=True)
    assert (result.error_code, result.topic_id) == (0, ZERO_UUID)
    assert client.ask(MetadataRequest(topics=None), 12).topics == []


def test_a_topic_that_is_asked_for_is_made_before_the_answer(client):
    (topic,) = metadata(client, "t")
    assert topic.error_code == 0
    assert len(topic.partitions) == 8
    assert client.produce("t", b"a", partition=7).error_code == 0


def test_a_topic_is_not_made_where_that_is_forbidden(client, start_broker, connect, tmp_path):
    (topic,) = metadata(client, "t", allow_auto_topic_creation=False)
    assert topic.error_code == ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
    strict = start_broker(settings=Settings(auto_create_topics=False), path=tmp_path / "strict")
    (topic,) = metadata(connect(strict), "t")
    assert topic.error_code == ErrorCode.UNKNOWN_TOPIC_OR_PARTITION


def test_an_illegal_name_is_not_made(client):
    (topic,) = metadata(client, "a/b")
    assert topic.error_code == ErrorCode.INVALID_TOPIC_EXCEPTION


@pytest.mark.parametrize("version", range(14))
def test_all_topics_in_every_version_of_metadata(client, version):
    client.create("a")
    client.create("b", partitions=2)
    request = MetadataRequest(topics=[] if version == 0 else None)
    response = client.ask(request, version)
    assert {topic.name: len(topic.partitions) for topic in response.topics} == {"a": 1, "b": 2}
    assert [node.node_id for node in response.brokers] == [1]


def test_a_topic_is_found_by_its_id(client):
    topic_id = client.create("t")
    known = MetadataRequestTopic(topic_id=topic_id, name=None)
    unknown = MetadataRequestTopic(topic_id=topic_id.__class__(int=9), name=None)
    found, missing = client.ask(MetadataRequest(topics=[known, unknown]), 12).topics
    assert (found.error_code, found.name) == (0, "t")
    assert missing.error_code == ErrorCode.UNKNOWN_TOPIC_ID


def test_operations_are_listed_when_asked_for(client):
    client.create("t")
    (topic,) = metadata(client, "t", version=8)
    assert topic.topic_authorized_operations == -(2**31)
    request = MetadataRequest(
        topics=[MetadataRequestTopic(name="t")],
        include_topic_authorized_operations=True,
        include_cluster_authorized_operations=True,
    )
    response = client.ask(request, 8)
    assert response.topics[0].topic_authorized_operations == 3576
    assert response.cluster_authorized_operations == 8096


def test_a_deleted_topic_is_gone_with_its_records(broker, client, wire, eventually):
    client.create("t")
    client.produce("t", b"a")
    path = broker.call(lambda: broker.broker.partitions.by_name("t", 0).path)
    assert path.is_dir()
    (result,) = client.ask(
        DeleteTopicsRequest(
            topic_names=[
                "t",
            ]
        ),
        5,
    ).responses
    assert result.error_code == 0
    assert client.fetch("t").error_code == ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
    eventually(lambda: not path.exists())
    client.create("t")
    assert client.fetch("t").high_watermark == 0


def test_topics_are_deleted_by_id(client):
    topic_id = client.create("t")
    states = [
        DeleteTopicState(name=None, topic_id=topic_id),
        DeleteTopicState(name=None, topic_id=topic_id.__class__(int=9)),
        DeleteTopicState(name="unknown"),
        DeleteTopicState(name="t", topic_id=topic_id),
    ]
    results = client.ask(DeleteTopicsRequest(topics=states), 6).responses
    assert [result.error_code for result in results] == [
        ErrorCode.NONE,
        ErrorCode.UNKNOWN_TOPIC_ID,
        ErrorCode.UNKNOWN_TOPIC_OR_PARTITION,
        ErrorCode.INVALID_REQUEST,
    ]
    assert results[0].name == "t"


def test_a_topic_made_again_during_its_deletion_begins_empty(broker, client, connect):
    """The files of the old one go after the sync; the new one has the same name."""
    client.create("t")
    client.produce("t", b"old")
    broker.files.gate.clear()
    client.send(DeleteTopicsRequest(topic_names=["t"]), 4)
    client.send(CreateTopicsRequest(topics=[CreatableTopic("t", 1, 1)]), 5)
    assert client.is_silent()
    broker.files.gate.set()
    assert client.receive().responses[0].error_code == 0
    assert client.receive().topics[0].error_code == 0
    assert client.produce("t", b"new").base_offset == 0


def grow(client, name, count, assignments=None, **options):
    wanted = CreatePartitionsTopic(
        name,
        count,
        None if assignments is None else [CreatePartitionsAssignment(a) for a in assignments],
    )
    return client.ask(CreatePartitionsRequest(topics=[wanted], **options), 3).results[0]


def test_partitions_are_added(client):
    client.create("t")
    assert grow(client, "t", 3).error_code == 0
    assert client.produce("t", b"a", partition=2).error_code == 0
    assert grow(client, "t", 4, [[1]]).error_code == 0
    assert len(metadata(client, "t")[0].partitions) == 4


@pytest.mark.parametrize(
    ("name", "count", "assignments", "code"),
    [
        ("t", 2, None, ErrorCode.INVALID_PARTITIONS),
        ("t", 1, None, ErrorCode.INVALID_PARTITIONS),
        ("unknown", 2, None, ErrorCode.UNKNOWN_TOPIC_OR_PARTITION),
        ("t", 3, [[2]], ErrorCode.INVALID_REPLICA_ASSIGNMENT),
        ("t", 3, [[1], [1]], ErrorCode.INVALID_REPLICA_ASSIGNMENT),
    ],
)
def test_partitions_that_cannot_be_added(client, name, count, assignments, code):
    client.create("t", partitions=2)
    assert grow(client, name, count, assignments).error_code == code
    assert len(metadata(client, "t")[0].partitions) == 2


def test_validation_adds_no_partitions(client):
    client.create("t")
    assert grow(client, "t", 3, validate_only=True).error_code == 0
    assert len(metadata(client, "t")[0].partitions) == 1


def describe(client, kind, name, keys=None, version=4, **options):
    resource = DescribeConfigsResource(kind, name, keys)
    request = DescribeConfigsRequest(resources=[resource], **options)
    return client.ask(request, version).results[0]


def settings_of(client, name="t"):
    """What was set on a topic."""
    return {
        entry.name: entry.value
        for entry in describe(client, TOPIC, name).configs
        if entry.config_source == 1
    }


def test_settings_are_described_with_their_origin(client):
    client.create("t", retention_ms="1000")
    result = describe(client, TOPIC, "t", ["retention.ms", "segment.ms"], include_synonyms=True)
    assert [(c.name, c.value, c.config_source, c.config_type) for c in result.configs] == [
        ("retention.ms", "1000", 1, 5),
        ("segment.ms", "604800000", 5, 5),
    ]
    assert [(s.name, s.source) for s in result.configs[0].synonyms] == [
        ("retention.ms", 1),
        ("log.retention.ms", 5),
    ]
    assert result.configs[0].documentation is None


def test_the_broker_describes_itself(client):
    configs = {c.name: c for c in describe(client, BROKER, "1").configs}
    assert configs["inter.broker.protocol.version"].value
    assert configs["num.partitions"].value == "8"
    assert configs["log.retention.ms"].value == "604800000"
    assert configs["group.max.session.timeout.ms"].value == "1800000"
    assert all(config.read_only for config in configs.values())


@pytest.mark.parametrize(
    ("kind", "name", "code"),
    [
        (TOPIC, "unknown", ErrorCode.UNKNOWN_TOPIC_OR_PARTITION),
        (TOPIC, "__cluster_metadata", ErrorCode.UNKNOWN_TOPIC_OR_PARTITION),
        (TOPIC, "", ErrorCode.INVALID_TOPIC_EXCEPTION),
        (TOPIC, "a/b", ErrorCode.INVALID_TOPIC_EXCEPTION),
        (GROUP, "", ErrorCode.INVALID_REQUEST),
        (BROKER, "2", ErrorCode.INVALID_REQUEST),
        (BROKER_LOGGER, "1", ErrorCode.INVALID_REQUEST),
    ],
)
def test_what_has_no_settings(client, kind, name, code):
    assert describe(client, kind, name).error_code == code


def alter(client, name, **configs):
    resource = AlterConfigsResource(
        TOPIC, name, [AlterableConfig(k.replace("_", "."), v) for k, v in configs.items()]
    )
    return client.ask(AlterConfigsRequest(resources=[resource]), 2).responses[0]


def change(client, name, *changes, kind=TOPIC, **options):
    resource = IncrementalResource(kind, name, [IncrementalConfig(*each) for each in changes])
    request = IncrementalAlterConfigsRequest(resources=[resource], **options)
    return client.ask(request, 1).responses[0]


SET, DELETE, APPEND, SUBTRACT = range(4)


def test_altering_replaces_all_settings(client):
    client.create("t", retention_ms="1000", segment_ms="2000")
    assert alter(client, "t", segment_ms="3000").error_code == 0
    assert settings_of(client) == {"segment.ms": "3000"}


def test_incremental_changes_touch_only_what_they_name(client):
    client.create("t", retention_ms="1000", segment_ms="2000")
    changes = [
        ("segment.ms", DELETE, None),
        ("cleanup.policy", APPEND, "compact"),
        ("retention.bytes", SET, "5"),
    ]
    assert change(client, "t", *changes).error_code == 0
    assert settings_of(client) == {
        "retention.ms": "1000",
        "cleanup.policy": "delete,compact",
        "retention.bytes": "5",
    }
    assert change(client, "t", ("cleanup.policy", SUBTRACT, "delete")).error_code == 0
    assert settings_of(client)["cleanup.policy"] == "compact"


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ([("retention.ms", SET, "soon")], ErrorCode.INVALID_CONFIG),
        ([("no.such", SET, "1")], ErrorCode.INVALID_CONFIG),
        ([("retention.ms", APPEND, "1")], ErrorCode.INVALID_CONFIG),
        ([("retention.ms", SET, None)], ErrorCode.INVALID_REQUEST),
        ([("retention.ms", 9, "1")], ErrorCode.INVALID_REQUEST),
        ([("retention.ms", SET, "1"), ("retention.ms", SET, "2")], ErrorCode.INVALID_REQUEST),
    ],
)
def test_illegal_changes_change_nothing(client, changes, code):
    client.create("t")
    result = change(client, "t", *changes)
    assert result.error_code == code
    assert result.error_message
    assert settings_of(client) == {}


def test_validation_changes_nothing(client):
    client.create("t")
    assert change(client, "t", ("retention.ms", SET, "1"), validate_only=True).error_code == 0
    assert settings_of(client) == {}


def test_settings_of_what_does_not_exist_cannot_be_changed(client):
    unknown = change(client, "unknown", ("retention.ms", SET, "1"))
    assert unknown.error_code == ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
    fixed = change(client, "1", ("log.dirs", SET, "x"), kind=BROKER)
    assert fixed.error_code == ErrorCode.INVALID_REQUEST


def test_settings_take_effect_at_once(client):
    client.create("t")
    assert client.produce("t", bytes(2000)).error_code == 0
    change(client, "t", ("max.message.bytes", SET, "1000"))
    assert client.produce("t", bytes(2000)).error_code == ErrorCode.MESSAGE_TOO_LARGE


@pytest.mark.parametrize("version", range(3))
def test_the_cluster_describes_itself(broker, client, version):
    response = client.ask(
        DescribeClusterRequest(include_cluster_authorized_operations=True), version
    )
    (node,) = response.brokers
    assert (node.broker_id, node.host, node.port) == (1, *broker.address)
    assert response.cluster_id == broker.broker.cluster_id
    assert response.cluster_authorized_operations == 8096
    if version:
        wrong = client.ask(DescribeClusterRequest(endpoint_type=2), version)
        assert wrong.error_code == ErrorCode.MISMATCHED_ENDPOINT_TYPE
        wrong = client.ask(DescribeClusterRequest(endpoint_type=3), version)
        assert wrong.error_code == ErrorCode.UNSUPPORTED_ENDPOINT_TYPE


def test_a_change_that_cannot_be_stored_did_not_happen(broker, client, monkeypatch):
    from mq.errors import KafkaError

    def full(*args, **options):
        raise KafkaError(ErrorCode.KAFKA_STORAGE_ERROR, "no space left")

    monkeypatch.setattr(broker.broker.metadata_log, "append", full)
    (result,) = create(client, CreatableTopic("t", 1, 1))
    assert result.error_code == ErrorCode.KAFKA_STORAGE_ERROR
    monkeypatch.undo()
    assert client.ask(MetadataRequest(topics=None), 12).topics == []
    assert create(client, CreatableTopic("t", 1, 1))[0].error_code == 0


def test_the_topics_of_the_broker_itself_are_not_for_clients_to_change(client):
    from mq.wire.messages.find_coordinator import FindCoordinatorRequest

    name = "__consumer_offsets"
    assert create(client, CreatableTopic(name, 1, 1))[0].error_code == ErrorCode.INVALID_REQUEST
    client.ask(FindCoordinatorRequest(key="g"), 3)
    assert grow(client, name, 5).error_code == ErrorCode.INVALID_PARTITIONS
    (result,) = client.ask(DeleteTopicsRequest(topic_names=[name]), 5).responses
    assert result.error_code == ErrorCode.TOPIC_DELETION_DISABLED
    assert metadata(client, name)[0].is_internal


def test_look_alikes_of_one_request_collide(client):
    results = create(client, CreatableTopic("a.b", 1, 1), CreatableTopic("a_b", 1, 1))
    assert [result.error_code for result in results] == [
        ErrorCode.NONE,
        ErrorCode.INVALID_TOPIC_EXCEPTION,
    ]


def test_one_request_creates_only_so_many_partitions(client):
    results = create(
        client,
        CreatableTopic("a", 6000, 1),
        CreatableTopic("b", 6000, 1),
        CreatableTopic("c", 4000, 1),
    )
    assert [result.error_code for result in results] == [
        ErrorCode.NONE,
        ErrorCode.POLICY_VIOLATION,
        ErrorCode.NONE,
    ]


def test_one_request_adds_only_so_many_partitions(client):
    client.create("a")
    client.create("b")
    wanted = [CreatePartitionsTopic("a", 6001, None), CreatePartitionsTopic("b", 6001, None)]
    results = client.ask(CreatePartitionsRequest(topics=wanted), 3).results
    assert [result.error_code for result in results] == [
        ErrorCode.NONE,
        ErrorCode.POLICY_VIOLATION,
    ]


def test_a_topic_named_often_is_described_once(client):
    client.create("t", partitions=1000)
    assert [topic.name for topic in metadata(client, *["t"] * 10_000)] == ["t"]


def test_too_many_names_close_the_connection(client):
    wanted = [MetadataRequestTopic(name="")] * 100_001
    client.send(MetadataRequest(topics=wanted), 12)
    assert client.is_closed()


def test_one_request_makes_only_so_many_topics(start_broker, connect):
    client = connect(start_broker(settings=Settings(num_partitions=1)))
    names = [f"t{number}" for number in range(1001)]
    codes = [topic.error_code for topic in metadata(client, *names)]
    assert codes == [ErrorCode.NONE] * 1000 + [ErrorCode.UNKNOWN_TOPIC_OR_PARTITION]
    assert metadata(client, names[-1])[0].error_code == ErrorCode.NONE

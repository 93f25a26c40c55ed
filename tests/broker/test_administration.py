"""What administrators ask of the cluster, answered as a Kafka of one node answers."""

from __future__ import annotations

import uuid

import pytest

from mq.errors import ErrorCode
from mq.wire.messages.add_raft_voter import AddRaftVoterRequest
from mq.wire.messages.alter_partition_reassignments import (
    AlterPartitionReassignmentsRequest,
    ReassignablePartition,
    ReassignableTopic,
)
from mq.wire.messages.alter_replica_log_dirs import (
    AlterReplicaLogDir,
    AlterReplicaLogDirsRequest,
    AlterReplicaLogDirTopic,
)
from mq.wire.messages.create_acls import AclCreation, CreateAclsRequest
from mq.wire.messages.create_delegation_token import CreateDelegationTokenRequest
from mq.wire.messages.delete_acls import DeleteAclsFilter, DeleteAclsRequest
from mq.wire.messages.describe_acls import DescribeAclsRequest
from mq.wire.messages.describe_configs import DescribeConfigsRequest, DescribeConfigsResource
from mq.wire.messages.describe_delegation_token import DescribeDelegationTokenRequest
from mq.wire.messages.describe_log_dirs import DescribableLogDirTopic, DescribeLogDirsRequest
from mq.wire.messages.describe_quorum import (
    DescribeQuorumRequest,
    RequestPartitionData,
    RequestTopicData,
)
from mq.wire.messages.describe_topic_partitions import (
    Cursor,
    DescribeTopicPartitionsRequest,
    TopicRequest,
)
from mq.wire.messages.elect_leaders import ElectLeadersRequest, TopicPartitions
from mq.wire.messages.expire_delegation_token import ExpireDelegationTokenRequest
from mq.wire.messages.list_config_resources import ListConfigResourcesRequest
from mq.wire.messages.list_partition_reassignments import ListPartitionReassignmentsRequest
from mq.wire.messages.remove_raft_voter import RemoveRaftVoterRequest
from mq.wire.messages.renew_delegation_token import RenewDelegationTokenRequest
from mq.wire.messages.unregister_broker import UnregisterBrokerRequest
from mq.wire.messages.update_features import FeatureUpdateKey, UpdateFeaturesRequest

BROKER, GROUP = 4, 32

UNKNOWN = ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
BAD_REPLICAS = ErrorCode.INVALID_REPLICA_ASSIGNMENT


# --- log directories ------------------------------------------------------------------------------


def log_dir(client, topics=None, version=5):
    (result,) = client.ask(DescribeLogDirsRequest(topics), version).results
    assert result.error_code == 0
    return result


def sizes(result):
    return {
        (topic.name, partition.partition_index): partition.partition_size
        for topic in result.topics
        for partition in topic.partitions
    }


@pytest.mark.parametrize("version", range(1, 6))
def test_the_log_directory_tells_the_bytes_of_every_partition(broker, client, wire, version):
    client.create("t", partitions=2)
    client.produce("t", b"value", partition=1)
    result = log_dir(client, version=version)
    assert result.log_dir == str(broker.broker.log_dir)
    assert sizes(result) == {("t", 0): 0, ("t", 1): len(wire.batch(b"value"))}
    if version >= 4:
        assert 0 < result.usable_bytes < result.total_bytes


def test_only_the_partitions_asked_for_are_in_the_answer(client):
    client.create("t", partitions=2)
    client.create("u")
    wanted = [DescribableLogDirTopic("t", [1, 7, -1, 1]), DescribableLogDirTopic("none", [0])]
    assert sizes(log_dir(client, wanted)) == {("t", 1): 0}
    assert sizes(log_dir(client, [])) == {}


def test_a_partition_may_be_moved_to_the_directory_where_it_is(broker, client):
    client.create("t")
    topics = [AlterReplicaLogDirTopic("t", [0, 9]), AlterReplicaLogDirTopic("none", [0])]

    def moved(path):
        request = AlterReplicaLogDirsRequest([AlterReplicaLogDir(path, topics)])
        results = client.ask(request, 2).results
        return {
            (topic.topic_name, partition.partition_index): partition.error_code
            for topic in results
            for partition in topic.partitions
        }

    here = moved(str(broker.broker.log_dir))
    assert here == {("t", 0): 0, ("t", 9): UNKNOWN, ("none", 0): UNKNOWN}
    assert set(moved("/elsewhere").values()) == {ErrorCode.LOG_DIR_NOT_FOUND}


# --- topics in pages ------------------------------------------------------------------------------


def page(client, *names, limit=2000, cursor=None):
    request = DescribeTopicPartitionsRequest([TopicRequest(name) for name in names], limit, cursor)
    answer = client.ask(request, 0)
    rows = [
        (topic.name, [partition.partition_index for partition in topic.partitions])
        for topic in answer.topics
    ]
    return rows, answer.next_cursor, answer.topics


def test_topics_are_described_in_the_order_of_their_names(client):
    ids = {name: client.create(name, partitions=2) for name in ("u", "t")}
    rows, cursor, topics = page(client)
    assert (rows, cursor) == ([("t", [0, 1]), ("u", [0, 1])], None)
    assert {topic.name: topic.topic_id for topic in topics} == ids
    partition = topics[0].partitions[0]
    assert (partition.leader_id, partition.replica_nodes, partition.isr_nodes) == (1, [1], [1])


@pytest.mark.parametrize("limit", [-1, 1, 2, 3, 4, 5, 6, 7])
def test_pages_of_any_size_make_the_same_whole(client, limit):
    for name in ("c", "a", "b"):
        client.create(name, partitions=2)
    seen, cursor = [], None
    while True:
        rows, cursor, _ = page(client, limit=limit, cursor=cursor)
        found = [(name, index) for name, indexes in rows for index in indexes]
        assert len(found) <= max(limit, 1)
        seen += found
        if cursor is None:
            break
    assert seen == [(name, index) for name in "abc" for index in (0, 1)]


def test_a_cursor_may_point_to_what_is_not_there(client):
    client.create("m", partitions=2)
    assert page(client, cursor=Cursor("a", 5))[0] == [("m", [0, 1])]
    assert page(client, cursor=Cursor("m", 9))[0] == [("m", [])]
    assert page(client, cursor=Cursor("z", 0))[0] == []
    _, _, topics = page(client, "m", cursor=Cursor("m", -1))
    assert [topic.error_code for topic in topics] == [ErrorCode.INVALID_REQUEST]


def test_unknown_topics_are_told_and_not_created(client):
    client.create("t")
    _, _, topics = page(client, "t", "t", "none", "a/b")
    assert [(topic.name, topic.error_code) for topic in topics] == [
        ("a/b", ErrorCode.INVALID_TOPIC_EXCEPTION),
        ("none", UNKNOWN),
        ("t", 0),
    ]
    assert page(client)[0] == [("t", [0])]


# --- the cluster of one ---------------------------------------------------------------------------


@pytest.mark.parametrize("version", range(3))
def test_the_quorum_is_this_node(broker, client, version):
    client.create("t")
    asked = [RequestTopicData("__cluster_metadata", [RequestPartitionData(0)])]
    answer = client.ask(DescribeQuorumRequest(asked), version)
    ((partition,),) = [topic.partitions for topic in answer.topics]
    assert (answer.error_code, partition.error_code, partition.leader_id) == (0, 0, 1)
    assert [voter.replica_id for voter in partition.current_voters] == [1]
    end = broker.call(lambda: broker.broker.metadata_log.log_end_offset)
    assert partition.high_watermark == partition.current_voters[0].log_end_offset == end
    assert [node.node_id for node in answer.nodes] == ([1] if version >= 2 else [])


def test_only_the_metadata_has_a_quorum(client):
    for name, index in (("t", 0), ("__cluster_metadata", 1)):
        asked = [RequestTopicData(name, [RequestPartitionData(index)])]
        (topic,) = client.ask(DescribeQuorumRequest(asked), 2).topics
        assert [partition.error_code for partition in topic.partitions] == [UNKNOWN]
    assert client.ask(DescribeQuorumRequest([]), 2).topics == []


@pytest.mark.parametrize("version", range(3))
def test_no_partition_needs_another_leader(client, version):
    client.create("t")
    wanted = [TopicPartitions("t", [0, 9]), TopicPartitions("none", [0])]
    answer = client.ask(ElectLeadersRequest(0, wanted), version)
    assert answer.error_code == 0
    codes = [
        [p.error_code for p in topic.partition_result] for topic in answer.replica_election_results
    ]
    assert codes == [[ErrorCode.ELECTION_NOT_NEEDED, UNKNOWN], [UNKNOWN]]


def test_an_election_in_all_topics_elects_nobody(client):
    client.create("t")
    answer = client.ask(ElectLeadersRequest(1, None), 2)
    assert [(t.topic, t.partition_result) for t in answer.replica_election_results] == [("t", [])]


def test_an_election_of_no_known_kind_is_refused(client):
    client.create("t")
    answer = client.ask(ElectLeadersRequest(9, [TopicPartitions("t", [0])]), 2)
    (topic,) = answer.replica_election_results
    codes = {answer.error_code, *(partition.error_code for partition in topic.partition_result)}
    assert codes == {ErrorCode.INVALID_REQUEST}


@pytest.mark.parametrize(
    ("name", "index", "replicas", "code"),
    [
        ("t", 0, [1], 0),
        ("t", 0, [2], BAD_REPLICAS),
        ("t", 0, [1, 2], BAD_REPLICAS),
        ("t", 0, [1, 1], BAD_REPLICAS),
        ("t", 0, [], BAD_REPLICAS),
        ("t", 0, None, ErrorCode.NO_REASSIGNMENT_IN_PROGRESS),
        ("t", 9, [1], UNKNOWN),
        ("t", 9, None, UNKNOWN),
        ("none", 0, [1], UNKNOWN),
    ],
)
def test_a_partition_may_be_moved_nowhere_but_here(client, name, index, replicas, code):
    client.create("t")
    topics = [ReassignableTopic(name, [ReassignablePartition(index, replicas)])]
    answer = client.ask(AlterPartitionReassignmentsRequest(topics=topics), 1)
    assert answer.error_code == 0
    assert [partition.error_code for partition in answer.responses[0].partitions] == [code]
    listed = client.ask(ListPartitionReassignmentsRequest(), 0)
    assert (listed.error_code, listed.topics) == (0, [])


@pytest.mark.parametrize("version", range(3))
def test_a_feature_keeps_its_level(client, version):
    def update(*wanted):
        updates = [FeatureUpdateKey(name, level) for name, level in wanted]
        return client.ask(UpdateFeaturesRequest(feature_updates=updates), version).error_code

    assert update(("group.version", 1)) == 0
    assert update() == 0
    for name, level in (("group.version", 0), ("group.version", 2), ("no.such", 1)):
        assert update(("group.version", 1), (name, level)) == ErrorCode.INVALID_UPDATE_VERSION


def test_an_unknown_way_to_upgrade_is_refused(client):
    update = FeatureUpdateKey("group.version", 1, upgrade_type=9)
    answer = client.ask(UpdateFeaturesRequest(feature_updates=[update]), 1)
    assert answer.error_code == ErrorCode.INVALID_UPDATE_VERSION


def test_the_only_broker_cannot_be_unregistered(client):
    codes = [client.ask(UnregisterBrokerRequest(node), 0).error_code for node in (1, 9)]
    assert codes == [ErrorCode.INVALID_REQUEST, ErrorCode.BROKER_ID_NOT_REGISTERED]


def test_the_only_voter_stays(broker, client):
    someone = uuid.UUID(int=5)
    for cluster_id, code in (
        (None, ErrorCode.UNSUPPORTED_VERSION),
        (broker.broker.cluster_id, ErrorCode.UNSUPPORTED_VERSION),
        ("another", ErrorCode.INCONSISTENT_CLUSTER_ID),
    ):
        added = AddRaftVoterRequest(cluster_id, 1000, 2, someone)
        assert client.ask(added, 1).error_code == code
        assert client.ask(RemoveRaftVoterRequest(cluster_id, 1, someone), 0).error_code == code


def test_everything_with_settings_is_listed(client):
    client.create("t")

    def listed(*kinds, version=1):
        answer = client.ask(ListConfigResourcesRequest(list(kinds)), version)
        return answer.error_code, [
            (resource.resource_type, resource.resource_name) for resource in answer.config_resources
        ]

    topic, broker = (2, "t"), (4, "1")
    assert listed() == (0, [broker, topic])
    assert listed(2) == (0, [topic])
    assert listed(4, 32) == (0, [broker])
    assert listed(2, 99) == (ErrorCode.UNSUPPORTED_VERSION, [])
    assert listed(version=0) == (0, [])  # client metrics only


def settings(client, kind, name):
    asked = [DescribeConfigsResource(kind, name, None)]
    (result,) = client.ask(DescribeConfigsRequest(asked, include_synonyms=True), 4).results
    assert result.error_code == 0
    return result.configs


def test_no_setting_of_the_broker_is_told_twice(client):
    names = [config.name for config in settings(client, BROKER, "1")]
    assert len(names) == len(set(names))


def test_what_holds_for_all_groups_is_told_of_each(client):
    configs = {config.name: config for config in settings(client, GROUP, "g")}
    session = configs["consumer.session.timeout.ms"]
    assert (session.value, session.read_only) == ("45000", True)
    assert [synonym.name for synonym in session.synonyms] == ["group.consumer.session.timeout.ms"]


# --- security, of which there is none -------------------------------------------------------------


@pytest.mark.parametrize("version", range(1, 4))
def test_rules_of_access_are_refused_while_nobody_obeys_them(client, version):
    disabled = ErrorCode.SECURITY_DISABLED
    assert client.ask(DescribeAclsRequest(), version).error_code == disabled
    created = client.ask(CreateAclsRequest([AclCreation(2, "t")] * 2), version).results
    assert [result.error_code for result in created] == [disabled] * 2
    deleted = client.ask(DeleteAclsRequest([DeleteAclsFilter(1)]), version).filter_results
    assert [result.error_code for result in deleted] == [disabled]


@pytest.mark.parametrize("version", range(1, 4))
def test_nobody_gets_a_token_without_having_authenticated(client, version):
    asked = [
        (CreateDelegationTokenRequest(), version),
        (RenewDelegationTokenRequest(), min(version, 2)),
        (ExpireDelegationTokenRequest(), min(version, 2)),
        (DescribeDelegationTokenRequest(None), version),
    ]
    codes = {client.ask(request, number).error_code for request, number in asked}
    assert codes == {ErrorCode.DELEGATION_TOKEN_REQUEST_NOT_ALLOWED}

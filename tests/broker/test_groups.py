"""Groups over the wire: that requests, records, syncs and time reach the coordinator and back."""

from __future__ import annotations

from mq.errors import ErrorCode
from mq.wire.messages.delete_topics import DeleteTopicsRequest
from mq.wire.messages.describe_groups import DescribeGroupsRequest
from mq.wire.messages.find_coordinator import FindCoordinatorRequest
from mq.wire.messages.heartbeat import HeartbeatRequest
from mq.wire.messages.join_group import JoinGroupRequest, JoinGroupRequestProtocol
from mq.wire.messages.leave_group import LeaveGroupRequest, MemberIdentity
from mq.wire.messages.list_groups import ListGroupsRequest
from mq.wire.messages.metadata import MetadataRequest
from mq.wire.messages.offset_commit import (
    OffsetCommitRequest,
    OffsetCommitRequestPartition,
    OffsetCommitRequestTopic,
)
from mq.wire.messages.offset_fetch import OffsetFetchRequest, OffsetFetchRequestTopic
from mq.wire.messages.sync_group import SyncGroupRequest, SyncGroupRequestAssignment


def join_request(member_id=""):
    return JoinGroupRequest(
        group_id="g",
        session_timeout_ms=10_000,
        rebalance_timeout_ms=10_000,
        member_id=member_id,
        protocol_type="consumer",
        protocols=[JoinGroupRequestProtocol("range", b"subscription")],
    )


def join(client):
    """Become a member; returns its id and generation."""
    first = client.ask(join_request(), 5)
    assert first.error_code == ErrorCode.MEMBER_ID_REQUIRED
    joined = client.ask(join_request(first.member_id), 5)
    assert joined.error_code == 0
    return joined.member_id, joined.generation_id


def sync(client, member_id, generation, assignment=b"all"):
    request = SyncGroupRequest(
        group_id="g",
        generation_id=generation,
        member_id=member_id,
        assignments=[SyncGroupRequestAssignment(member_id, assignment)],
    )
    return client.ask(request, 3)


def heartbeat(client, member_id, generation):
    request = HeartbeatRequest(group_id="g", generation_id=generation, member_id=member_id)
    return client.ask(request, 3).error_code


def commit(client, offset, *, member_id="", generation=-1, topic="t"):
    partition = OffsetCommitRequestPartition(partition_index=0, committed_offset=offset)
    request = OffsetCommitRequest(
        group_id="g",
        generation_id_or_member_epoch=generation,
        member_id=member_id,
        topics=[OffsetCommitRequestTopic(name=topic, partitions=[partition])],
    )
    return client.ask(request, 8).topics[0].partitions[0].error_code


def committed(client, topic="t"):
    wanted = OffsetFetchRequestTopic(name=topic, partition_indexes=[0])
    request = OffsetFetchRequest(group_id="g", topics=[wanted])
    return client.ask(request, 7).topics[0].partitions[0].committed_offset


def test_this_node_coordinates_every_group(broker, client):
    for version in range(7):
        request = (
            FindCoordinatorRequest(coordinator_keys=["g", "h"])
            if version >= 4
            else FindCoordinatorRequest(key="g")
        )
        response = client.ask(request, version)
        found = response.coordinators if version >= 4 else [response]
        for coordinator in found:
            assert (coordinator.error_code, coordinator.node_id) == (0, 1)
            assert (coordinator.host, coordinator.port) == tuple(broker.address)


def test_other_coordinators_are_refused_for_good(client):
    share = client.ask(FindCoordinatorRequest(key_type=2, coordinator_keys=["a:b:0"]), 6)
    assert share.coordinators[0].error_code == ErrorCode.INVALID_REQUEST


def test_the_state_topic_is_made_at_first_use_and_is_internal(client):
    assert client.ask(MetadataRequest(topics=None), 12).topics == []
    client.ask(FindCoordinatorRequest(key="g"), 3)
    (topic,) = client.ask(MetadataRequest(topics=None), 12).topics
    assert (topic.name, topic.is_internal) == ("__consumer_offsets", True)


def test_two_members_meet_and_part(client, broker, connect, eventually):
    first, generation = join(client)
    assert sync(client, first, generation).assignment == b"all"
    assert heartbeat(client, first, generation) == 0

    other = connect(broker)
    told = other.ask(join_request(), 5)
    other.send(join_request(told.member_id), 5)
    eventually(lambda: heartbeat(client, first, generation) == ErrorCode.REBALANCE_IN_PROGRESS)
    again = client.ask(join_request(first), 5)
    second = other.receive()
    assert again.generation_id == second.generation_id == generation + 1
    assert len(again.members) == 2
    assert sync(client, first, again.generation_id).error_code == 0
    assert sync(other, second.member_id, second.generation_id).error_code == 0

    leave = LeaveGroupRequest(group_id="g", members=[MemberIdentity(member_id=second.member_id)])
    assert other.ask(leave, 4).error_code == 0
    assert heartbeat(client, first, again.generation_id) == ErrorCode.REBALANCE_IN_PROGRESS


def test_a_commit_is_acknowledged_after_the_sync_and_not_before(broker, client, connect):
    client.create("t")
    assert commit(client, 1) == 0
    broker.files.gate.clear()
    partition = OffsetCommitRequestPartition(partition_index=0, committed_offset=2)
    topics = [OffsetCommitRequestTopic(name="t", partitions=[partition])]
    client.send(OffsetCommitRequest(group_id="g", topics=topics), 8)
    assert client.is_silent()
    reader = connect(broker)
    wanted = OffsetFetchRequestTopic(name="t", partition_indexes=[0])
    reader.send(OffsetFetchRequest(group_id="g", topics=[wanted]), 7)
    assert reader.is_silent()  # it would tell what a crash can take back
    broker.files.gate.set()
    assert client.receive().topics[0].partitions[0].error_code == 0
    assert reader.receive().topics[0].partitions[0].committed_offset == 2


def test_a_commit_that_cannot_be_stored_did_not_happen(broker, client, monkeypatch):
    from mq.errors import KafkaError
    from mq.log.partition import Partition

    client.create("t")
    assert commit(client, 1) == 0
    real = Partition.append

    def full(partition, *args, **options):
        if partition.topic == "__consumer_offsets":
            raise KafkaError(ErrorCode.KAFKA_STORAGE_ERROR, "no space left")
        return real(partition, *args, **options)

    monkeypatch.setattr(Partition, "append", full)
    assert commit(client, 2) != 0
    assert committed(client) == 1
    monkeypatch.undo()
    assert commit(client, 3) == 0
    assert committed(client) == 3


def test_what_was_committed_for_a_deleted_topic_is_forgotten(client):
    client.create("t")
    assert commit(client, 5) == 0
    client.ask(DeleteTopicsRequest(topic_names=["t"]), 4)
    client.create("t")
    assert committed(client) == -1


def test_a_commit_for_an_unknown_topic_is_refused(client):
    assert commit(client, 5, topic="nowhere") == ErrorCode.UNKNOWN_TOPIC_OR_PARTITION


def test_silent_members_are_dropped_when_their_time_is_over(broker, client, monkeypatch):
    member_id, generation = join(client)
    sync(client, member_id, generation)
    now = broker.broker.now
    monkeypatch.setattr(
        broker.broker, "now", lambda: now()._replace(monotonic_ms=now().monotonic_ms + 11_000)
    )
    broker.call(broker.broker.groups.tick)
    assert heartbeat(client, member_id, generation) == ErrorCode.UNKNOWN_MEMBER_ID
    (group,) = client.ask(DescribeGroupsRequest(groups=["g"]), 5).groups
    assert (group.group_state, group.members) == ("Empty", [])


def test_groups_are_listed(client):
    assert client.ask(ListGroupsRequest(), 4).groups == []
    join(client)
    (group,) = client.ask(ListGroupsRequest(), 4).groups
    assert (group.group_id, group.protocol_type) == ("g", "consumer")

"""The APIs that this broker serves: one table, and one module for what each of them does.

A handler gets the broker and a :class:`~mq.broker.call.Call` and answers it, now or later. It
raises nothing for what a client may do wrong: that has an error code.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from mq.broker.apis import (
    acls,
    alter_client_quotas,
    alter_configs,
    alter_partition_reassignments,
    alter_replica_log_dirs,
    alter_user_scram_credentials,
    api_versions,
    create_partitions,
    create_topics,
    delegation_tokens,
    delete_records,
    delete_topics,
    describe_client_quotas,
    describe_cluster,
    describe_configs,
    describe_log_dirs,
    describe_producers,
    describe_quorum,
    describe_topic_partitions,
    describe_user_scram_credentials,
    elect_leaders,
    fetch,
    find_coordinator,
    groups,
    incremental_alter_configs,
    init_producer_id,
    list_config_resources,
    list_offsets,
    list_partition_reassignments,
    metadata,
    offset_for_leader_epoch,
    produce,
    raft_voters,
    transactions,
    txn_offset_commit,
    unregister_broker,
    update_features,
)
from mq.broker.call import Call
from mq.wire.fields import Request
from mq.wire.messages.add_offsets_to_txn import AddOffsetsToTxnRequest
from mq.wire.messages.add_partitions_to_txn import AddPartitionsToTxnRequest
from mq.wire.messages.add_raft_voter import AddRaftVoterRequest
from mq.wire.messages.alter_client_quotas import AlterClientQuotasRequest
from mq.wire.messages.alter_configs import AlterConfigsRequest
from mq.wire.messages.alter_partition_reassignments import AlterPartitionReassignmentsRequest
from mq.wire.messages.alter_replica_log_dirs import AlterReplicaLogDirsRequest
from mq.wire.messages.alter_user_scram_credentials import AlterUserScramCredentialsRequest
from mq.wire.messages.api_versions import ApiVersionsRequest
from mq.wire.messages.consumer_group_describe import ConsumerGroupDescribeRequest
from mq.wire.messages.consumer_group_heartbeat import ConsumerGroupHeartbeatRequest
from mq.wire.messages.create_acls import CreateAclsRequest
from mq.wire.messages.create_delegation_token import CreateDelegationTokenRequest
from mq.wire.messages.create_partitions import CreatePartitionsRequest
from mq.wire.messages.create_topics import CreateTopicsRequest
from mq.wire.messages.delete_acls import DeleteAclsRequest
from mq.wire.messages.delete_groups import DeleteGroupsRequest
from mq.wire.messages.delete_records import DeleteRecordsRequest
from mq.wire.messages.delete_topics import DeleteTopicsRequest
from mq.wire.messages.describe_acls import DescribeAclsRequest
from mq.wire.messages.describe_client_quotas import DescribeClientQuotasRequest
from mq.wire.messages.describe_cluster import DescribeClusterRequest
from mq.wire.messages.describe_configs import DescribeConfigsRequest
from mq.wire.messages.describe_delegation_token import DescribeDelegationTokenRequest
from mq.wire.messages.describe_groups import DescribeGroupsRequest
from mq.wire.messages.describe_log_dirs import DescribeLogDirsRequest
from mq.wire.messages.describe_producers import DescribeProducersRequest
from mq.wire.messages.describe_quorum import DescribeQuorumRequest
from mq.wire.messages.describe_topic_partitions import DescribeTopicPartitionsRequest
from mq.wire.messages.describe_transactions import DescribeTransactionsRequest
from mq.wire.messages.describe_user_scram_credentials import DescribeUserScramCredentialsRequest
from mq.wire.messages.elect_leaders import ElectLeadersRequest
from mq.wire.messages.end_txn import EndTxnRequest
from mq.wire.messages.expire_delegation_token import ExpireDelegationTokenRequest
from mq.wire.messages.fetch import FetchRequest
from mq.wire.messages.find_coordinator import FindCoordinatorRequest
from mq.wire.messages.heartbeat import HeartbeatRequest
from mq.wire.messages.incremental_alter_configs import IncrementalAlterConfigsRequest
from mq.wire.messages.init_producer_id import InitProducerIdRequest
from mq.wire.messages.join_group import JoinGroupRequest
from mq.wire.messages.leave_group import LeaveGroupRequest
from mq.wire.messages.list_config_resources import ListConfigResourcesRequest
from mq.wire.messages.list_groups import ListGroupsRequest
from mq.wire.messages.list_offsets import ListOffsetsRequest
from mq.wire.messages.list_partition_reassignments import ListPartitionReassignmentsRequest
from mq.wire.messages.list_transactions import ListTransactionsRequest
from mq.wire.messages.metadata import MetadataRequest
from mq.wire.messages.offset_commit import OffsetCommitRequest
from mq.wire.messages.offset_delete import OffsetDeleteRequest
from mq.wire.messages.offset_fetch import OffsetFetchRequest
from mq.wire.messages.offset_for_leader_epoch import OffsetForLeaderEpochRequest
from mq.wire.messages.produce import ProduceRequest
from mq.wire.messages.remove_raft_voter import RemoveRaftVoterRequest
from mq.wire.messages.renew_delegation_token import RenewDelegationTokenRequest
from mq.wire.messages.sync_group import SyncGroupRequest
from mq.wire.messages.txn_offset_commit import TxnOffsetCommitRequest
from mq.wire.messages.unregister_broker import UnregisterBrokerRequest
from mq.wire.messages.update_features import UpdateFeaturesRequest

if TYPE_CHECKING:
    from mq.broker.broker import Broker

__all__ = ["APIS", "Api"]


class Api(NamedTuple):
    """An API: its request, the versions served, and who answers."""

    request: type[Request]
    lowest: int
    highest: int
    handle: Callable[[Broker, Call[Any]], None]

    @property
    def advertised_from(self) -> int:
        """The lowest version that ApiVersions tells of; see :mod:`mq.broker.apis.produce`."""
        return 0 if self.request is ProduceRequest else self.lowest


APIS: Final = (
    Api(ProduceRequest, 3, 13, produce.handle),
    Api(FetchRequest, 4, 18, fetch.handle),
    Api(ListOffsetsRequest, 1, 11, list_offsets.handle),
    Api(MetadataRequest, 0, 13, metadata.handle),
    Api(OffsetCommitRequest, 2, 10, groups.handle),
    Api(OffsetFetchRequest, 1, 10, groups.handle),
    Api(FindCoordinatorRequest, 0, 6, find_coordinator.handle),
    Api(JoinGroupRequest, 0, 9, groups.handle),
    Api(HeartbeatRequest, 0, 4, groups.handle),
    Api(LeaveGroupRequest, 0, 5, groups.handle),
    Api(SyncGroupRequest, 0, 5, groups.handle),
    Api(DescribeGroupsRequest, 0, 6, groups.handle),
    Api(ListGroupsRequest, 0, 5, groups.handle),
    Api(ApiVersionsRequest, 0, 4, api_versions.handle),
    Api(CreateTopicsRequest, 2, 7, create_topics.handle),
    Api(DeleteTopicsRequest, 1, 6, delete_topics.handle),
    Api(DeleteRecordsRequest, 0, 2, delete_records.handle),
    Api(InitProducerIdRequest, 0, 5, init_producer_id.handle),
    Api(OffsetForLeaderEpochRequest, 2, 4, offset_for_leader_epoch.handle),
    Api(AddPartitionsToTxnRequest, 0, 3, transactions.handle),
    Api(AddOffsetsToTxnRequest, 0, 4, transactions.handle),
    Api(EndTxnRequest, 0, 5, transactions.handle),
    Api(TxnOffsetCommitRequest, 0, 5, txn_offset_commit.handle),
    Api(DescribeAclsRequest, 1, 3, acls.handle),
    Api(CreateAclsRequest, 1, 3, acls.handle),
    Api(DeleteAclsRequest, 1, 3, acls.handle),
    Api(DescribeConfigsRequest, 1, 4, describe_configs.handle),
    Api(AlterConfigsRequest, 0, 2, alter_configs.handle),
    Api(AlterReplicaLogDirsRequest, 1, 2, alter_replica_log_dirs.handle),
    Api(DescribeLogDirsRequest, 1, 5, describe_log_dirs.handle),
    Api(CreatePartitionsRequest, 0, 3, create_partitions.handle),
    Api(CreateDelegationTokenRequest, 1, 3, delegation_tokens.handle),
    Api(RenewDelegationTokenRequest, 1, 2, delegation_tokens.handle),
    Api(ExpireDelegationTokenRequest, 1, 2, delegation_tokens.handle),
    Api(DescribeDelegationTokenRequest, 1, 3, delegation_tokens.handle),
    Api(DeleteGroupsRequest, 0, 2, groups.handle),
    Api(ElectLeadersRequest, 0, 2, elect_leaders.handle),
    Api(IncrementalAlterConfigsRequest, 0, 1, incremental_alter_configs.handle),
    Api(AlterPartitionReassignmentsRequest, 0, 1, alter_partition_reassignments.handle),
    Api(ListPartitionReassignmentsRequest, 0, 0, list_partition_reassignments.handle),
    Api(OffsetDeleteRequest, 0, 0, groups.handle),
    Api(DescribeClientQuotasRequest, 0, 1, describe_client_quotas.handle),
    Api(AlterClientQuotasRequest, 0, 1, alter_client_quotas.handle),
    Api(DescribeUserScramCredentialsRequest, 0, 0, describe_user_scram_credentials.handle),
    Api(AlterUserScramCredentialsRequest, 0, 0, alter_user_scram_credentials.handle),
    Api(DescribeQuorumRequest, 0, 2, describe_quorum.handle),
    Api(UpdateFeaturesRequest, 0, 2, update_features.handle),
    Api(DescribeClusterRequest, 0, 2, describe_cluster.handle),
    Api(DescribeProducersRequest, 0, 0, describe_producers.handle),
    Api(UnregisterBrokerRequest, 0, 0, unregister_broker.handle),
    Api(DescribeTransactionsRequest, 0, 0, transactions.handle),
    Api(ListTransactionsRequest, 0, 2, transactions.handle),
    Api(ConsumerGroupHeartbeatRequest, 0, 1, groups.handle),
    Api(ConsumerGroupDescribeRequest, 0, 1, groups.handle),
    Api(ListConfigResourcesRequest, 0, 1, list_config_resources.handle),
    Api(DescribeTopicPartitionsRequest, 0, 0, describe_topic_partitions.handle),
    Api(AddRaftVoterRequest, 0, 1, raft_voters.handle),
    Api(RemoveRaftVoterRequest, 0, 0, raft_voters.handle),
)
"""Every API there is here, by key."""

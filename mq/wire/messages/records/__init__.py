# Generated from the schemas of Apache Kafka 4.3.0 by tools/generate_messages.py. Do not edit.

from __future__ import annotations

from typing import Final

__all__ = ["GROUP", "METADATA", "SHARE", "TRANSACTION"]

GROUP: Final = {
    0: (
        ("legacy_offset_commit", "LegacyOffsetCommitKey"),
        ("legacy_offset_commit", "LegacyOffsetCommitValue"),
    ),
    1: (("offset_commit", "OffsetCommitKey"), ("offset_commit", "OffsetCommitValue")),
    2: (("group_metadata", "GroupMetadataKey"), ("group_metadata", "GroupMetadataValue")),
    3: (
        ("consumer_group_metadata", "ConsumerGroupMetadataKey"),
        ("consumer_group_metadata", "ConsumerGroupMetadataValue"),
    ),
    4: (
        ("consumer_group_partition_metadata", "ConsumerGroupPartitionMetadataKey"),
        ("consumer_group_partition_metadata", "ConsumerGroupPartitionMetadataValue"),
    ),
    5: (
        ("consumer_group_member_metadata", "ConsumerGroupMemberMetadataKey"),
        ("consumer_group_member_metadata", "ConsumerGroupMemberMetadataValue"),
    ),
    6: (
        ("consumer_group_target_assignment_metadata", "ConsumerGroupTargetAssignmentMetadataKey"),
        ("consumer_group_target_assignment_metadata", "ConsumerGroupTargetAssignmentMetadataValue"),
    ),
    7: (
        ("consumer_group_target_assignment_member", "ConsumerGroupTargetAssignmentMemberKey"),
        ("consumer_group_target_assignment_member", "ConsumerGroupTargetAssignmentMemberValue"),
    ),
    8: (
        ("consumer_group_current_member_assignment", "ConsumerGroupCurrentMemberAssignmentKey"),
        ("consumer_group_current_member_assignment", "ConsumerGroupCurrentMemberAssignmentValue"),
    ),
    10: (
        ("share_group_member_metadata", "ShareGroupMemberMetadataKey"),
        ("share_group_member_metadata", "ShareGroupMemberMetadataValue"),
    ),
    11: (
        ("share_group_metadata", "ShareGroupMetadataKey"),
        ("share_group_metadata", "ShareGroupMetadataValue"),
    ),
    12: (
        ("share_group_target_assignment_metadata", "ShareGroupTargetAssignmentMetadataKey"),
        ("share_group_target_assignment_metadata", "ShareGroupTargetAssignmentMetadataValue"),
    ),
    13: (
        ("share_group_target_assignment_member", "ShareGroupTargetAssignmentMemberKey"),
        ("share_group_target_assignment_member", "ShareGroupTargetAssignmentMemberValue"),
    ),
    14: (
        ("share_group_current_member_assignment", "ShareGroupCurrentMemberAssignmentKey"),
        ("share_group_current_member_assignment", "ShareGroupCurrentMemberAssignmentValue"),
    ),
    15: (
        ("share_group_state_partition_metadata", "ShareGroupStatePartitionMetadataKey"),
        ("share_group_state_partition_metadata", "ShareGroupStatePartitionMetadataValue"),
    ),
    16: (
        ("consumer_group_regular_expression", "ConsumerGroupRegularExpressionKey"),
        ("consumer_group_regular_expression", "ConsumerGroupRegularExpressionValue"),
    ),
    17: (
        ("streams_group_metadata", "StreamsGroupMetadataKey"),
        ("streams_group_metadata", "StreamsGroupMetadataValue"),
    ),
    19: (
        ("streams_group_member_metadata", "StreamsGroupMemberMetadataKey"),
        ("streams_group_member_metadata", "StreamsGroupMemberMetadataValue"),
    ),
    20: (
        ("streams_group_target_assignment_metadata", "StreamsGroupTargetAssignmentMetadataKey"),
        ("streams_group_target_assignment_metadata", "StreamsGroupTargetAssignmentMetadataValue"),
    ),
    21: (
        ("streams_group_target_assignment_member", "StreamsGroupTargetAssignmentMemberKey"),
        ("streams_group_target_assignment_member", "StreamsGroupTargetAssignmentMemberValue"),
    ),
    22: (
        ("streams_group_current_member_assignment", "StreamsGroupCurrentMemberAssignmentKey"),
        ("streams_group_current_member_assignment", "StreamsGroupCurrentMemberAssignmentValue"),
    ),
    23: (
        ("streams_group_topology", "StreamsGroupTopologyKey"),
        ("streams_group_topology", "StreamsGroupTopologyValue"),
    ),
}
TRANSACTION: Final = {
    0: (("transaction_log", "TransactionLogKey"), ("transaction_log", "TransactionLogValue")),
}
SHARE: Final = {
    0: (("share_snapshot", "ShareSnapshotKey"), ("share_snapshot", "ShareSnapshotValue")),
    1: (("share_update", "ShareUpdateKey"), ("share_update", "ShareUpdateValue")),
}
METADATA: Final = {
    0: ("register_broker", "RegisterBrokerRecord"),
    1: ("unregister_broker", "UnregisterBrokerRecord"),
    2: ("topic", "TopicRecord"),
    3: ("partition", "PartitionRecord"),
    4: ("config", "ConfigRecord"),
    5: ("partition_change", "PartitionChangeRecord"),
    7: ("fence_broker", "FenceBrokerRecord"),
    8: ("unfence_broker", "UnfenceBrokerRecord"),
    9: ("remove_topic", "RemoveTopicRecord"),
    10: ("delegation_token", "DelegationTokenRecord"),
    11: ("user_scram_credential", "UserScramCredentialRecord"),
    12: ("feature_level", "FeatureLevelRecord"),
    14: ("client_quota", "ClientQuotaRecord"),
    15: ("producer_ids", "ProducerIdsRecord"),
    17: ("broker_registration_change", "BrokerRegistrationChangeRecord"),
    18: ("access_control_entry", "AccessControlEntryRecord"),
    19: ("remove_access_control_entry", "RemoveAccessControlEntryRecord"),
    20: ("no_op", "NoOpRecord"),
    21: ("zk_migration_state", "ZkMigrationStateRecord"),
    22: ("remove_user_scram_credential", "RemoveUserScramCredentialRecord"),
    23: ("begin_transaction", "BeginTransactionRecord"),
    24: ("end_transaction", "EndTransactionRecord"),
    25: ("abort_transaction", "AbortTransactionRecord"),
    26: ("remove_delegation_token", "RemoveDelegationTokenRecord"),
    27: ("register_controller", "RegisterControllerRecord"),
    28: ("clear_elr", "ClearElrRecord"),
}

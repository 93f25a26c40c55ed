"""What administrators are told of groups: DescribeGroups v0-6, ConsumerGroupDescribe v0-1,
ListGroups v0-5.

Each kind of group is described by an API of its own; to the others it does not exist.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from mq.coordinators.classic_group import ClassicGroup, State
from mq.coordinators.consumer_draft import AllTopics
from mq.coordinators.consumer_group import ConsumerGroup
from mq.coordinators.consumer_requests import Group
from mq.errors import ErrorCode
from mq.wire.messages import consumer_group_describe
from mq.wire.messages.consumer_group_describe import (
    ConsumerGroupDescribeRequest,
    ConsumerGroupDescribeResponse,
)
from mq.wire.messages.describe_groups import (
    DescribedGroup,
    DescribeGroupsRequest,
    DescribeGroupsResponse,
)
from mq.wire.messages.list_groups import ListGroupsRequest, ListGroupsResponse

__all__ = ["GroupQueries"]

# All that Kafka lets anyone do with a group while nothing restricts access: read (3), delete (6),
# describe (8), describe and alter its settings (10, 11), as a bit field (KIP-430).
_ALL_OPERATIONS: Final = 1 << 3 | 1 << 6 | 1 << 8 | 1 << 10 | 1 << 11

_NOT_FOUND_VERSION: Final = 6  # before, a group that is not there is one that is dead (KIP-1043)


class GroupQueries:
    """Questions about ``groups``."""

    def __init__(self, groups: Mapping[str, Group], topics: AllTopics) -> None:
        self._groups = groups
        self._topics = topics

    def describe(self, request: DescribeGroupsRequest, version: int) -> DescribeGroupsResponse:
        """Classic groups."""
        groups = [self._classic(group_id, version) for group_id in request.groups]
        for described in groups:
            if request.include_authorized_operations and not described.error_code:
                described.authorized_operations = _ALL_OPERATIONS
        return DescribeGroupsResponse(groups=groups)

    def _classic(self, group_id: str, version: int) -> DescribedGroup:
        group = self._groups.get(group_id)
        if isinstance(group, ClassicGroup):
            return group.described()
        described = DescribedGroup(group_id=group_id, group_state=State.DEAD.value)
        if version >= _NOT_FOUND_VERSION:
            described.error_code = ErrorCode.GROUP_ID_NOT_FOUND
            described.error_message = _why_not(group, group_id, "classic")
        return described

    def describe_consumer(
        self, request: ConsumerGroupDescribeRequest
    ) -> ConsumerGroupDescribeResponse:
        """Groups of the consumer protocol."""
        groups = [self._consumer(group_id) for group_id in request.group_ids]
        for described in groups:
            if request.include_authorized_operations and not described.error_code:
                described.authorized_operations = _ALL_OPERATIONS
        return ConsumerGroupDescribeResponse(groups=groups)

    def _consumer(self, group_id: str) -> consumer_group_describe.DescribedGroup:
        group = self._groups.get(group_id)
        if isinstance(group, ConsumerGroup):
            return group.described(self._topics.topic_name)
        return consumer_group_describe.DescribedGroup(
            error_code=ErrorCode.GROUP_ID_NOT_FOUND,
            error_message=_why_not(group, group_id, "consumer"),
            group_id=group_id,
        )

    def list(self, request: ListGroupsRequest) -> ListGroupsResponse:
        """Groups of all kinds, or of those and in those states that are asked for."""
        states = {state.strip().lower() for state in request.states_filter}
        kinds = {kind.strip().lower() for kind in request.types_filter}
        listed = [
            each
            for each in (group.listed() for group in self._groups.values())
            if (not states or each.group_state.lower() in states)
            and (not kinds or each.group_type in kinds)
        ]
        return ListGroupsResponse(groups=listed)


def _why_not(group: Group | None, group_id: str, kind: str) -> str:
    what = "not found" if group is None else f"is not a {kind} group"
    return f"Group {group_id} {what}."

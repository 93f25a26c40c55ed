"""All that the group coordinator answers by itself.

JoinGroup (11) 0-9, SyncGroup (14) 0-5, Heartbeat (12) 0-4, LeaveGroup (13) 0-5, OffsetCommit (8)
2-10, OffsetFetch (9) 1-10, OffsetDelete (47) 0, DescribeGroups (15) 0-6, ListGroups (16) 0-5,
DeleteGroups (42) 0-2, ConsumerGroupHeartbeat (68) 0-1, ConsumerGroupDescribe (69) 0-1. What they do
and leave out is told in :mod:`mq.coordinators.groups`; here they only pass.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mq.broker.call import Call

if TYPE_CHECKING:
    from mq.broker.broker import Broker

__all__ = ["handle"]


def handle(broker: Broker, call: Call[Any]) -> None:
    broker.groups.handle(call)

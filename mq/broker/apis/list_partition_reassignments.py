"""ListPartitionReassignments (46), version 0: the moves under way (KIP-455), which are none.

Left out: nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mq.broker.call import Call
from mq.wire.messages.list_partition_reassignments import (
    ListPartitionReassignmentsRequest,
    ListPartitionReassignmentsResponse,
)

if TYPE_CHECKING:
    from mq.broker.broker import Broker

__all__ = ["handle"]


def handle(_broker: Broker, call: Call[ListPartitionReassignmentsRequest]) -> None:
    call.reply(ListPartitionReassignmentsResponse(error_message=None))

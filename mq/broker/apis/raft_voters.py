"""AddRaftVoter (80), versions 0-1, RemoveRaftVoter (81), version 0: who votes (KIP-853).

The voters of this cluster do not change, as in a cluster of Kafka whose ``kraft.version`` is 0;
both are refused with its code.

Left out: other voters than this node.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mq.broker.call import Call
from mq.errors import ErrorCode
from mq.wire.messages.add_raft_voter import AddRaftVoterRequest, AddRaftVoterResponse
from mq.wire.messages.remove_raft_voter import RemoveRaftVoterRequest, RemoveRaftVoterResponse

if TYPE_CHECKING:
    from mq.broker.broker import Broker

__all__ = ["handle"]


def handle(broker: Broker, call: Call[AddRaftVoterRequest | RemoveRaftVoterRequest]) -> None:
    cluster_id = call.request.cluster_id
    if cluster_id is not None and cluster_id != broker.cluster_id:
        code = ErrorCode.INCONSISTENT_CLUSTER_ID
        message = f"This is cluster {broker.cluster_id}, not {cluster_id}."
    else:
        code = ErrorCode.UNSUPPORTED_VERSION
        message = "The one voter of this cluster is not replaced."
    if isinstance(call.request, AddRaftVoterRequest):
        call.reply(AddRaftVoterResponse(error_code=code, error_message=message))
    else:
        call.reply(RemoveRaftVoterResponse(error_code=code, error_message=message))

"""ElectLeaders (43), versions 0-2: every partition has its one leader already (KIP-460).

So each partition named is answered with ELECTION_NOT_NEEDED, and if all are meant, each topic with
nothing, as Kafka leaves out what needs no election then. Left out: nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from mq.broker.call import Call
from mq.errors import ErrorCode, KafkaError
from mq.wire.messages.elect_leaders import (
    ElectLeadersRequest,
    ElectLeadersResponse,
    PartitionResult,
    ReplicaElectionResult,
)

if TYPE_CHECKING:
    from mq.broker.broker import Broker

__all__ = ["handle"]

_KINDS: Final = (0, 1)  # preferred, unclean


def handle(broker: Broker, call: Call[ElectLeadersRequest]) -> None:
    request = call.request
    response = ElectLeadersResponse()
    if request.election_type not in _KINDS:
        response.error_code = ErrorCode.INVALID_REQUEST
    if request.topic_partitions is None:
        results = [ReplicaElectionResult(topic) for topic in broker.catalog.topics]
    else:
        results = [
            ReplicaElectionResult(
                wanted.topic,
                [
                    _result(broker, request.election_type, wanted.topic, index)
                    for index in wanted.partitions
                ],
            )
            for wanted in request.topic_partitions
        ]
    response.replica_election_results = results
    broker.reply_when_known(call, response)


def _result(broker: Broker, kind: int, topic: str, index: int) -> PartitionResult:
    try:
        _check(broker, kind, topic, index)
    except KafkaError as error:
        return PartitionResult(index, error.code, error.message)
    return PartitionResult(
        index, ErrorCode.ELECTION_NOT_NEEDED, "The only replica leads the partition already."
    )


def _check(broker: Broker, kind: int, topic: str, index: int) -> None:
    if kind not in _KINDS:
        raise KafkaError(ErrorCode.INVALID_REQUEST, f"There is no election of type {kind}.")
    if not broker.catalog.has_partition(topic, index):
        raise KafkaError(
            ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, f"There is no partition {topic}-{index}."
        )

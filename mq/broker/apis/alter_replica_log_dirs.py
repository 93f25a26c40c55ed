"""AlterReplicaLogDirs (34), versions 1-2: move partitions to another directory (KIP-113).

There is one directory: to be there is granted, another is LOG_DIR_NOT_FOUND. Left out: nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mq.broker.call import Call
from mq.errors import ErrorCode
from mq.wire.messages.alter_replica_log_dirs import (
    AlterReplicaLogDirPartitionResult,
    AlterReplicaLogDirsRequest,
    AlterReplicaLogDirsResponse,
    AlterReplicaLogDirTopicResult,
)

if TYPE_CHECKING:
    from mq.broker.broker import Broker

__all__ = ["handle"]


def handle(broker: Broker, call: Call[AlterReplicaLogDirsRequest]) -> None:
    codes: dict[str, dict[int, ErrorCode]] = {}
    for directory in call.request.dirs:
        for topic in directory.topics:
            for index in topic.partitions:
                code = _code(broker, directory.path, topic.name, index)
                codes.setdefault(topic.name, {})[index] = code
    response = AlterReplicaLogDirsResponse(
        results=[
            AlterReplicaLogDirTopicResult(
                name,
                [AlterReplicaLogDirPartitionResult(index, code) for index, code in told.items()],
            )
            for name, told in codes.items()
        ]
    )
    broker.reply_when_known(call, response)


def _code(broker: Broker, path: str, topic: str, index: int) -> ErrorCode:
    if path != str(broker.log_dir):
        return ErrorCode.LOG_DIR_NOT_FOUND
    if not broker.catalog.has_partition(topic, index):
        return ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
    return ErrorCode.NONE

"""DescribeLogDirs (35), versions 1-5: how much each partition holds, and how full the disk is.

There is one directory. A partition that was never used has no files yet, and a size of 0 (KIP-827:
the disk's size and room; KIP-1066: no directory is ever cordoned). What a partition holds is told
without waiting for its sync, for it is a measure, not a promise.

Left out: nothing.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from typing import TYPE_CHECKING

from mq.broker.call import Call
from mq.broker.catalog import Topic
from mq.wire.messages.describe_log_dirs import (
    DescribeLogDirsPartition,
    DescribeLogDirsRequest,
    DescribeLogDirsResponse,
    DescribeLogDirsResult,
    DescribeLogDirsTopic,
)

if TYPE_CHECKING:
    from mq.broker.broker import Broker

__all__ = ["handle"]


def handle(broker: Broker, call: Call[DescribeLogDirsRequest]) -> None:
    disk = shutil.disk_usage(broker.log_dir)
    result = DescribeLogDirsResult(
        log_dir=str(broker.log_dir),
        topics=_topics(broker, call.request),
        total_bytes=disk.total,
        usable_bytes=disk.free,
    )
    broker.reply_when_known(call, DescribeLogDirsResponse(results=[result]))


def _topics(broker: Broker, request: DescribeLogDirsRequest) -> list[DescribeLogDirsTopic]:
    """What was asked for, each partition once, without what does not exist."""
    topics = broker.catalog.topics
    if request.topics is None:
        return [_described(broker, topic, range(topic.partitions)) for topic in topics.values()]
    wanted: dict[str, set[int]] = {}
    for named in request.topics:
        wanted.setdefault(named.topic, set()).update(named.partitions)
    described = [
        _described(broker, topics[name], sorted(indexes))
        for name, indexes in wanted.items()
        if name in topics
    ]
    return [topic for topic in described if topic.partitions]


def _described(broker: Broker, topic: Topic, indexes: Iterable[int]) -> DescribeLogDirsTopic:
    sizes = {
        partition.topic_partition.partition: partition.size
        for partition in broker.partitions.existing(topic)
    }
    return DescribeLogDirsTopic(
        topic.name,
        [
            DescribeLogDirsPartition(partition_index=index, partition_size=sizes.get(index, 0))
            for index in indexes
            if 0 <= index < topic.partitions
        ],
    )

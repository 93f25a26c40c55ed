"""Places and stretches of partitions, looked up in a cluster."""

from __future__ import annotations

from collections.abc import Iterable

from mq.cli.cluster import Cluster
from mq.cli.offsets import Place, Span
from mq.cli.reader import Stretch
from mq.record import TopicPartition

__all__ = ["resolve_places", "resolve_stretches"]


def resolve_places(
    cluster: Cluster, partitions: Iterable[TopicPartition], place: Place
) -> dict[TopicPartition, int]:
    """The offset of ``place`` in each partition."""
    spans = cluster.spans(partitions)
    times: dict[TopicPartition, int | None] = {}
    if place.timestamp_ms is not None:
        times = cluster.offsets_at(dict.fromkeys(spans, place.timestamp_ms))
    return {
        partition: place.offset(span.start, span.end, times.get(partition))
        for partition, span in spans.items()
    }


def resolve_stretches(
    cluster: Cluster, partitions: list[TopicPartition], span: Span, *, follow: bool = False
) -> dict[TopicPartition, Stretch]:
    """What to read of each partition.

    Where ``span`` names no end it is where the partition ends now, or never with ``follow``.
    """
    begins = resolve_places(cluster, partitions, span.begin)
    if span.end is not None:
        ends: dict[TopicPartition, int] = resolve_places(cluster, partitions, span.end)
    elif not follow:
        ends = {each: at.end for each, at in cluster.spans(partitions).items()}
    else:
        ends = {}
    return {each: Stretch(begin, ends.get(each)) for each, begin in begins.items()}

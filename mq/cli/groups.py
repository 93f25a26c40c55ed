"""``mq groups``: who consumes what, and how far behind they are."""

from __future__ import annotations

import time
from typing import Any

import click

from mq.cli.cluster import Cluster, Group, Span
from mq.cli.offsets import parse_span
from mq.cli.output import Column, confirm, print_fields, print_rows, remark
from mq.cli.places import resolve_places
from mq.cli.settings import Settings, shared_options
from mq.cli.topics import existing
from mq.errors import ConfigurationError, NothingMatched
from mq.record import TopicPartition

__all__ = ["groups"]


@click.group()
def groups() -> None:
    """See consumer groups and how far behind they are."""


def _lag_style(lag: int | None) -> str:
    return "yellow" if lag else "green"


_LAG = Column("lag", justify="right", style=_lag_style, text=lambda lag: f"{lag:,}")


@groups.command("list")
@shared_options
def list_(settings: Settings, /) -> None:
    """List consumer groups with their total lag."""
    with settings.kafka() as bootstrap:
        cluster = Cluster(bootstrap)
        found = cluster.describe_groups(cluster.groups())
        committed = {group.name: cluster.committed(group.name) for group in found}
        spans = cluster.spans({each for offsets in committed.values() for each in offsets})
    rows = [
        {
            "group": group.name,
            "state": group.state,
            "members": len(group.members),
            "topics": sorted({each.topic for each in committed[group.name]}),
            "lag": sum(_lag(spans[at], o) for at, o in committed[group.name].items()),
        }
        for group in found
    ]
    if not rows:
        remark("no consumer groups yet")
    columns = (
        Column("group", style="bold"),
        Column("state", style=lambda state: "green" if state == "stable" else "dim"),
        Column("members", justify="right"),
        _LAG,
        Column("topics", style="dim", text=", ".join),
    )
    print_rows(settings.output, rows, columns)


def _lag(span: Span, committed: int) -> int:
    """How many records are left; what retention has deleted is not."""
    return max(0, span.end - max(committed, span.start))


@groups.command()
@click.argument("name")
@shared_options
def show(settings: Settings, /, name: str) -> None:
    """Show each partition's committed offset, lag and owner."""
    with settings.kafka() as bootstrap:
        cluster = Cluster(bootstrap)
        group = _existing(cluster, name)
        committed = cluster.committed(name)
        owned = {each for member in group.members for each in member.partitions}
        spans = cluster.spans(owned | committed.keys())
    rows = _partition_rows(group, committed, spans)
    total = sum(row["lag"] for row in rows)
    summary = {"group": name, "state": group.state, "members": len(group.members), "lag": total}
    if settings.output in ("json", "ndjson"):
        print_fields(settings.output, {**summary, "partitions": rows})
        return
    print_fields(None, {**summary, "lag": f"{total:,}"})
    columns = (
        Column("topic"),
        Column("partition", justify="right"),
        Column("committed", justify="right"),
        Column("end", justify="right"),
        _LAG,
        Column("member", style="dim"),
        Column("host", style="dim"),
    )
    print_rows(None, rows, columns)


def _partition_rows(
    group: Group, committed: dict[TopicPartition, int], spans: dict[TopicPartition, Span]
) -> list[dict[str, Any]]:
    owners = {each: member for member in group.members for each in member.partitions}
    rows = []
    for at, span in spans.items():
        owner = owners.get(at)
        row = {
            "topic": at.topic,
            "partition": at.partition,
            "committed": committed.get(at),
            "end": span.end,
            "lag": _lag(span, committed.get(at, span.start)),
            "member": owner.id if owner else None,
            "host": owner.host if owner else None,
        }
        rows.append(row)
    return rows


def _existing(cluster: Cluster, name: str) -> Group:
    """A group that the cluster knows.

    Raises:
        NothingMatched: there is none of that name.
    """
    if name not in cluster.groups():
        raise NothingMatched(f"there is no consumer group {name}")
    return cluster.describe_groups([name])[0]


@groups.command()
@click.argument("names", nargs=-1, required=True, metavar="NAME…")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@shared_options
def delete(settings: Settings, /, names: tuple[str, ...], yes: bool) -> None:
    """Forget groups and their offsets. They must have no members."""
    with settings.kafka() as bootstrap:
        cluster = Cluster(bootstrap)
        for name in names:
            _existing(cluster, name)
        confirm(f"forget {', '.join(names)} and all offsets", yes=yes)
        for name in names:
            cluster.delete_group(name)
            remark(f"deleted {name}")


@groups.command()
@click.argument("name")
@click.argument("topic")
@click.option(
    "--to", "place", required=True, metavar="OFFSET", help="start, end, 47, +2, -3 or @-1h."
)
@click.option("--dry-run", is_flag=True, help="Show what would change, and change nothing.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@shared_options
def reset(
    settings: Settings, /, name: str, topic: str, place: str, dry_run: bool, yes: bool
) -> None:
    """Move a group to another place in TOPIC.

    The group must have no members: stop its workers first.
    """
    span = parse_span(place, int(time.time() * 1000))
    if span.end is not None:
        raise ConfigurationError(f"{place!r} is a stretch; a group is reset to one place")
    with settings.kafka() as bootstrap:
        cluster = Cluster(bootstrap)
        partitions = [TopicPartition(topic, each) for each in range(existing(cluster, topic))]
        target = resolve_places(cluster, partitions, span.begin)
        before = cluster.committed(name) if name in cluster.groups() else {}
        rows = [
            {"topic": topic, "partition": at.partition, "from": before.get(at), "to": offset}
            for at, offset in target.items()
        ]
        columns = [Column("topic"), *(Column(k, justify="right") for k in ("partition", "from"))]
        print_rows(settings.output, rows, [*columns, Column("to", justify="right", style="bold")])
        if dry_run:
            return
        confirm(f"move {name} there", yes=yes)
        cluster.commit(name, target)

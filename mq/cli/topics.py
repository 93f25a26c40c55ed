"""``mq topics``: what topics there are, and what is in them."""

from __future__ import annotations

from typing import Final

import click

from mq.app.topics import check_topic
from mq.cli.cluster import Cluster
from mq.cli.output import Column, confirm, print_fields, print_rows, remark
from mq.cli.settings import Settings, shared_options
from mq.errors import ConfigurationError, NothingMatched
from mq.record import TopicPartition

__all__ = ["topics"]

HIDDEN: Final = ("__", "_mq.")
"""Topics whose names begin so belong to the broker or to mq; ``--all`` shows them."""


@click.group()
def topics() -> None:
    """List, create, describe and delete topics."""


@topics.command("list")
@click.option("-a", "--all", "everything", is_flag=True, help="Internal topics too.")
@shared_options
def list_(settings: Settings, /, everything: bool) -> None:
    """List topics with the number of their records."""
    with settings.kafka() as bootstrap:
        cluster = Cluster(bootstrap)
        found = cluster.topics()
        shown = {n: count for n, count in found.items() if everything or not n.startswith(HIDDEN)}
        spans = cluster.spans(_partitions(shown))
    rows = [
        {
            "topic": name,
            "partitions": count,
            "records": sum(span.end - span.start for at, span in spans.items() if at.topic == name),
        }
        for name, count in shown.items()
    ]
    if not rows:
        remark("no topics yet")
    columns = (
        Column("topic", style="bold"),
        Column("partitions", justify="right"),
        Column("records", justify="right", text=lambda count: f"{count:,}"),
    )
    print_rows(settings.output, rows, columns)


def _partitions(counts: dict[str, int]) -> list[TopicPartition]:
    return [TopicPartition(name, each) for name, count in counts.items() for each in range(count)]


@topics.command()
@click.argument("name")
@shared_options
def describe(settings: Settings, /, name: str) -> None:
    """Show a topic's partitions and the settings it was given."""
    with settings.kafka() as bootstrap:
        cluster = Cluster(bootstrap)
        partitions = _partitions({name: existing(cluster, name)})
        spans = cluster.spans(partitions)
        given = cluster.settings_of(name)
    rows = [
        {"partition": at.partition, "start": span.start, "end": span.end}
        for at, span in spans.items()
    ]
    if settings.output in ("json", "ndjson"):
        values = {setting.name: setting.value for setting in given}
        print_fields(settings.output, {"topic": name, "partitions": rows, "settings": values})
        return
    own = {setting.name: setting.value for setting in given if setting.own}
    records = sum(span.end - span.start for span in spans.values())
    print_fields(None, {"topic": name, "records": f"{records:,}", **own})
    print_rows(None, rows, [Column(key, justify="right") for key in ("partition", "start", "end")])


def existing(cluster: Cluster, name: str) -> int:
    """The number of partitions of a topic.

    Raises:
        NothingMatched: there is no such topic.
    """
    count = cluster.topics().get(name)
    if count is None:
        raise NothingMatched(f"there is no topic {name}")
    return count


def _assignments(
    _ctx: click.Context, _parameter: click.Parameter, values: tuple[str, ...]
) -> dict[str, str]:
    """``name=value`` of every ``--config``."""
    pairs = [value.partition("=") for value in values]
    if any(not equals or not name for name, equals, _ in pairs):
        raise click.BadParameter("write NAME=VALUE, such as retention.ms=3600000")
    return {name: value for name, _, value in pairs}


_config: Final = click.option(
    "-c",
    "--config",
    multiple=True,
    metavar="NAME=VALUE",
    callback=_assignments,
    help="A setting such as retention.ms=3600000; may be repeated.",
)


@topics.command()
@click.argument("name")
@click.option(
    "-p", "--partitions", type=click.IntRange(min=1), metavar="N", help="Default: the broker's."
)
@click.option("--replicas", type=click.IntRange(min=1), metavar="N", help="Default: the broker's.")
@_config
@click.option("--if-not-exists", is_flag=True, help="Be content if it is there already.")
@shared_options
def create(
    settings: Settings,
    /,
    name: str,
    partitions: int | None,
    replicas: int | None,
    config: dict[str, str],
    if_not_exists: bool,
) -> None:
    """Create a topic."""
    check_topic(name)
    with settings.kafka() as bootstrap:
        cluster = Cluster(bootstrap)
        if if_not_exists and name in cluster.topics():
            remark(f"{name} is there already")
            return
        cluster.create_topic(name, partitions or -1, replicas or -1, config)
    remark(f"created {name}")


@topics.command()
@click.argument("name")
@_config
@click.option("--unset", multiple=True, metavar="NAME", help="Take a setting back.")
@click.option(
    "-p", "--partitions", type=click.IntRange(min=1), metavar="N", help="Grow to so many."
)
@shared_options
def alter(
    settings: Settings,
    /,
    name: str,
    config: dict[str, str],
    unset: tuple[str, ...],
    partitions: int | None,
) -> None:
    """Change a topic's settings, or add partitions.

    More partitions send keys elsewhere: records of one key are then in two partitions.
    """
    changes: dict[str, str | None] = {**config, **dict.fromkeys(unset)}
    if not changes and partitions is None:
        raise ConfigurationError("say what to change: --config, --unset or --partitions")
    with settings.kafka() as bootstrap:
        cluster = Cluster(bootstrap)
        existing(cluster, name)
        if changes:
            cluster.alter_settings(name, changes)
        if partitions is not None:
            cluster.grow_topic(name, partitions)
    remark(f"altered {name}")


@topics.command()
@click.argument("names", nargs=-1, required=True, metavar="NAME…")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@shared_options
def delete(settings: Settings, /, names: tuple[str, ...], yes: bool) -> None:
    """Delete topics and all of their records."""
    with settings.kafka() as bootstrap:
        cluster = Cluster(bootstrap)
        missing = [name for name in names if name not in cluster.topics()]
        if missing:
            raise NothingMatched(f"there is no topic {', '.join(missing)}")
        confirm(f"delete {', '.join(names)} with all records", yes=yes)
        for name in names:
            cluster.delete_topic(name)
            remark(f"deleted {name}")

"""``mq consume``: read records from a topic, without a group and without leaving a trace."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from itertools import islice
from typing import Final

import click
from rich.text import Text

from mq.cli.cluster import Cluster
from mq.cli.envelope import decoded, to_json
from mq.cli.offsets import parse_span
from mq.cli.output import clock, print_json_line, stdout_console
from mq.cli.places import resolve_stretches
from mq.cli.reader import Reader
from mq.cli.settings import Settings, shared_options
from mq.cli.topics import existing
from mq.errors import NothingMatched
from mq.record import Record, TopicPartition

__all__ = ["consume"]


@click.command()
@click.argument("topic")
@click.option(
    "-O",
    "--offset",
    "place",
    default="start",
    show_default=True,
    metavar="OFFSET",
    help="start, end, 47, +2, -3, @-1h, @2026-01-31T12:00Z, or A:B.",
)
@click.option(
    "-p", "--partition", type=click.IntRange(min=0), metavar="N", multiple=True, help="Only these."
)
@click.option("-n", "--count", type=click.IntRange(min=1), metavar="N", help="Stop after so many.")
@click.option("-f", "--follow", is_flag=True, help="Wait for more at the end.")
@click.option("--headers", is_flag=True, help="Show headers in the table too.")
@shared_options
def consume(
    settings: Settings,
    /,
    topic: str,
    place: str,
    partition: tuple[int, ...],
    count: int | None,
    follow: bool,
    headers: bool,
) -> None:
    """Read the records of TOPIC up to its end, which is where it ends now."""
    span = parse_span(place, int(time.time() * 1000))
    with settings.kafka() as bootstrap:
        cluster = Cluster(bootstrap)
        partitions_there = existing(cluster, topic)
        if partition and max(partition) >= partitions_there:
            raise NothingMatched(f"{topic} has {partitions_there} partitions, numbered from 0")
        wanted = partition or range(partitions_there)
        partitions = [TopicPartition(topic, each) for each in sorted({*wanted})]
        stretches = resolve_stretches(cluster, partitions, span, follow=follow)
        with Reader(bootstrap, stretches) as reader:
            if not _PRINTERS[settings.output or "table"](islice(reader, count), headers):
                raise NothingMatched(f"{topic} has no records there")


def _print_values(records: Iterator[Record], _headers: bool) -> bool:
    """The values alone, byte by byte, each on a line."""
    seen = False
    for record in records:
        sys.stdout.buffer.write((record.value or b"") + b"\n")
        sys.stdout.buffer.flush()
        seen = True
    return seen


def _print_ndjson(records: Iterator[Record], _headers: bool) -> bool:
    seen = False
    for record in records:
        print_json_line(to_json(record))
        seen = True
    return seen


def _print_json(records: Iterator[Record], _headers: bool) -> bool:
    """An array that is written as it is read, so that its length needs no memory."""
    before = "["
    for record in records:
        click.echo(before)
        click.echo(json.dumps(to_json(record), indent=2, ensure_ascii=False), nl=False)
        before = ","
    click.echo("\n]" if before == "," else "[]")
    return before == ","


def _print_lines(records: Iterator[Record], headers: bool) -> bool:
    """One line per record as it comes: where it is, when it was written, key and value."""
    console = stdout_console()
    seen = False
    for record in records:
        line = Text(f"{record.partition}:{record.offset}".ljust(8) + "  ", style="dim")
        line.append(clock(record.timestamp) + "  ")
        line.append(_short(record.key).ljust(12) + "  ", style="cyan")
        line.append(_shown(record), style="not dim")
        for name, value in record.headers if headers else ():
            line.append(f"\n{'':10}{name}: {_short(value)}")
        console.print(line, overflow="ellipsis", no_wrap=not headers)
        seen = True
    return seen


def _shown(record: Record) -> str:
    """The value in one line, decoded; null has no value to show."""
    if record.value is None:
        return "∅"
    value = decoded(record)
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _short(value: bytes | None) -> str:
    return "" if value is None else value.decode(errors="backslashreplace")


_PRINTERS: Final = {
    "table": _print_lines,
    "json": _print_json,
    "ndjson": _print_ndjson,
    "raw": _print_values,
}

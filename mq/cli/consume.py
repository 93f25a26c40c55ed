"""``mq consume``: read records from a topic, without a group and without leaving a trace."""

from __future__ import annotations

import json
import re
import shutil
import sys
import time
from collections.abc import Iterator
from itertools import islice
from typing import Final

import click

from mq.cli.cluster import Cluster
from mq.cli.envelope import decoded, to_json
from mq.cli.offsets import parse_span
from mq.cli.output import clock, paint, print_json_line
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
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    seen = False
    for record in records:
        place = f"{record.partition}:{record.offset}"
        before = f"{place:8}  {clock(record.timestamp)}  "
        key = f"{_short(record.key):12}  "
        value = _shown(record)
        if width is not None and len(before + key + value) > width:
            value = value[: max(width - len(before + key) - 1, 0)] + "…"
        click.echo(paint(before, dim=True) + paint(key, fg="cyan") + value)
        for name, content in record.headers if headers else ():
            click.echo(paint(f"{'':10}{name}: {_short(content)}", dim=True))
        seen = True
    return seen


def _shown(record: Record) -> str:
    """The value in one line, decoded; null has no value to show."""
    if record.value is None:
        return "∅"
    value = decoded(record)
    if not isinstance(value, str):
        value = json.dumps(value, ensure_ascii=False)
    return _visible(value)


def _short(value: bytes | None) -> str:
    return "" if value is None else _visible(value.decode(errors="backslashreplace"))


def _visible(text: str) -> str:
    """``text`` without what would move a terminal's cursor or do worse: anyone can send records."""
    return _CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", text)


_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")


_PRINTERS: Final = {
    "table": _print_lines,
    "json": _print_json,
    "ndjson": _print_ndjson,
    "raw": _print_values,
}

"""How results and remarks look: results on standard output, everything else on standard error.

The same fields are printed in every format. Tables are for people: relative ages, grouped digits,
no frames. JSON is for programs: whole numbers, milliseconds since the epoch. Nothing here knows
what the rows are about.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal, Protocol

import click

from mq.errors import ConfigurationError

if TYPE_CHECKING:
    from rich.console import Console

__all__ = [
    "Column",
    "Progress",
    "age",
    "clock",
    "complain",
    "confirm",
    "duration",
    "paint",
    "print_fields",
    "print_json_line",
    "print_rows",
    "progress",
    "remark",
    "stdout_console",
]

Row = Mapping[str, Any]

WIDE = 100_000
"""The width of what is no terminal: a pipe shall see whole lines."""


@dataclass(frozen=True, slots=True)
class Column:
    """One field of a row in a table: its key, and how a person reads its value."""

    key: str
    title: str = ""
    justify: Literal["left", "right"] = "left"
    style: str | Callable[[Any], str] = ""
    text: Callable[[Any], str] = str
    wrap: bool = False


def print_rows(output: str | None, rows: Iterable[Row], columns: Sequence[Column]) -> None:
    """Print ``rows`` as a table of ``columns``, whole as ``json`` or ``ndjson``, or ``raw``."""
    if output == "json":
        click.echo(json.dumps(list(rows), indent=2, ensure_ascii=False))
    elif output == "ndjson":
        for row in rows:
            print_json_line(row)
    elif output == "raw":
        for row in rows:
            click.echo("\t".join(_plain(row.get(column.key)) for column in columns))
    else:
        _print_table(list(rows), columns)


def _plain(value: object) -> str:
    """A field for ``cut`` and ``awk``."""
    return "" if value is None else ",".join(value) if isinstance(value, list) else str(value)


def print_json_line(row: Row) -> None:
    """Print one line of ndjson."""
    click.echo(json.dumps(row, ensure_ascii=False, separators=(",", ":")))


def _print_table(rows: list[Row], columns: Sequence[Column]) -> None:
    if not rows:
        return
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0), header_style="dim")
    for column in columns:
        title = (column.title or column.key).upper()
        table.add_column(title, justify=column.justify, no_wrap=not column.wrap)
    for row in rows:
        cells = []
        for column in columns:
            value = row.get(column.key)
            style = column.style(value) if callable(column.style) else column.style
            cells.append(Text("" if value is None else column.text(value), style))
        table.add_row(*cells)
    stdout_console().print(table)


def print_fields(output: str | None, fields: Row) -> None:
    """Print one thing: a name and a value per line, or one JSON object."""
    if output == "json":
        click.echo(json.dumps(fields, indent=2, ensure_ascii=False))
    elif output == "ndjson":
        print_json_line(fields)
    else:
        from rich.table import Table
        from rich.text import Text

        table = Table.grid(padding=(0, 3, 0, 0))
        table.add_column(style="dim")
        for name, value in fields.items():
            table.add_row(name, Text("" if value is None else str(value)))
        stdout_console().print(table, "", sep="\n")


def stdout_console() -> Console:
    """For results: coloured on a terminal, as wide as need be elsewhere."""
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else WIDE, highlight=False)


class Progress(Protocol):
    """Called with how many more are done."""

    def __call__(self, more: int = 1) -> None: ...


@contextmanager
def progress(title: str, total: int | None = None, *, show: bool = True) -> Iterator[Progress]:
    """A progress bar on standard error while the work goes on, if a person looks there."""
    if not show or not sys.stderr.isatty():
        yield _unseen
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        TextColumn,
        TimeElapsedColumn,
    )
    from rich.progress import Progress as Bar

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Bar(*columns, TimeElapsedColumn(), console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(title, total=total)
        yield lambda more=1: bar.advance(task, more)


def _unseen(more: int = 1) -> None:
    """Progress that nobody looks at."""


def remark(message: str) -> None:
    """Say something that is not a result."""
    click.echo(message, err=True)


def complain(error: object) -> None:
    """Say in one sentence what went wrong."""
    click.echo(paint(f"mq: {error}", fg="red"), err=True)


def paint(text: str, **style: Any) -> str:
    """``text`` in Click's ``style``, for :func:`click.echo`, which paints terminals only."""
    return text if os.environ.get("NO_COLOR") else click.style(text, **style)


def confirm(deed: str, *, yes: bool) -> None:
    """Ask before a ``deed`` that cannot be undone, such as "delete everything".

    Raises:
        ConfigurationError: there is nobody to ask, and ``--yes`` was not given.
        Abort: the answer is no.
    """
    if yes:
        return
    if not sys.stdin.isatty():
        raise ConfigurationError(f"nobody is here to be asked whether to {deed}: say --yes")
    click.confirm(f"{deed[:1].upper()}{deed[1:]}?", abort=True, err=True)


def duration(seconds: float) -> str:
    """A length of time in its largest unit."""
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "m")):
        if seconds >= size:
            return f"{seconds / size:.0f}{unit}"
    return f"{max(seconds, 0):.0f}s"


def clock(timestamp_ms: int) -> str:
    """``timestamp_ms`` as the clock on the wall showed it."""
    return datetime.fromtimestamp(timestamp_ms / 1000).strftime("%Y-%m-%d %H:%M:%S")


def age(timestamp_ms: int) -> str:
    """How long ago ``timestamp_ms`` was."""
    return duration(time.time() - timestamp_ms / 1000)

"""``mq run MODULE:APP``: the worker in a terminal."""

from __future__ import annotations

import asyncio
import logging
import os
import sys

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from mq.cli.settings import Settings, shared_options
from mq.worker.supervisor import (
    Died,
    Draining,
    Killing,
    Notice,
    Ready,
    Worker,
    supervise,
)

__all__ = ["run"]


def _processes(_ctx: click.Context, _parameter: click.Parameter, value: str) -> int:
    if value == "auto":
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1
    if not value.isdecimal() or not 1 <= int(value) <= 1024:
        raise click.BadParameter("a number from 1 to 1024, or auto")
    return int(value)


@click.command()
@click.argument("target", metavar="MODULE:APP")
@click.option(
    "-p",
    "--processes",
    default="1",
    show_default=True,
    metavar="N|auto",
    callback=_processes,
    help="How many processes; auto is one per CPU.",
)
@click.option(
    "--drain",
    "drain_s",
    type=click.FloatRange(min=0),
    metavar="SECONDS",
    help="How long handlers may finish what they have begun; 25 unless the application says.",
)
@click.option(
    "--log-level",
    type=click.Choice(["debug", "info", "warning", "error"]),
    default="info",
    show_default=True,
    help="Of the handlers' log, unless the application arranges its own.",
)
@shared_options
def run(
    settings: Settings, /, target: str, processes: int, drain_s: float | None, log_level: str
) -> int:
    """Run the handlers of an application until Ctrl-C.

    MODULE:APP is what you would import, such as billing.main:app. The first Ctrl-C (or SIGTERM)
    lets handlers finish, the second ends them. A process that dies is started again.
    """
    worker = Worker(target, processes, settings.bootstrap, settings.data, drain_s, log_level)
    announcer = _Announcer(processes)
    logging.getLogger("mq").addHandler(announcer)
    return asyncio.run(supervise(worker, announcer.tell))


class _Announcer(logging.Handler):
    """Tells a person on standard error what the supervisor does, and what worries it."""

    def __init__(self, processes: int) -> None:
        super().__init__(logging.WARNING)
        self._processes = processes
        self._console = Console(stderr=True, highlight=False, soft_wrap=True)

    def emit(self, record: logging.LogRecord) -> None:
        self._say("yellow", record.getMessage())

    def tell(self, notice: Notice) -> None:
        match notice:
            case Ready():
                self._banner(notice)
            case Died(child, how, pause_s):
                self._say("red", f"process {child} died: {how}; again in {pause_s:g} s")
            case Draining():
                self._say("yellow", "draining; once more ends it at once")
            case Killing(child):
                self._say("red", f"process {child} gets no more time")

    def _say(self, style: str, sentence: str) -> None:
        self._console.print(Text("● ", style=style) + Text(sentence))

    def _banner(self, ready: Ready) -> None:
        facts = Table.grid(padding=(0, 2, 0, 0))
        facts.add_column(style="dim")
        facts.add_row("app", Text(ready.app, style="bold"))
        broker = Text(ready.address)
        if ready.bootstrap.data:
            broker.append(f"  {ready.bootstrap}", style="dim")
        else:
            broker.append(f"  {ready.bootstrap.origin}", style="dim")
        facts.add_row("broker", broker)
        title = "handlers"
        for each in ready.handlers:
            line = Text(", ".join(each.topics))
            line.append(f" → {each.handler}", style="green")
            if each.group != ready.app:
                line.append(f"  group {each.group}", style="dim")
            facts.add_row(title, line)
            title = ""
        count = f"{self._processes} process" + ("es" if self._processes > 1 else "")
        stop = "Ctrl-C drains" if sys.stderr.isatty() else "SIGTERM drains"
        facts.add_row("worker", Text(f"{count}, pid {os.getpid()}; {stop}"))
        self._console.print(facts)

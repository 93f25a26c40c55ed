"""The command-line reference, written from the commands themselves.

    python -m tools.cli_reference        # writes docs/reference/cli.md anew

A test holds the page against the commands, so it cannot fall behind.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import click

from mq.cli.main import cli

PAGE = Path(__file__).resolve().parent.parent / "docs" / "reference" / "cli.md"
WIDTH = 96

OPENING = """\
# Command line

<!-- Written by `python -m tools.cli_reference`; do not edit. -->

Every command takes `--bootstrap`, `--data`, `-o` and `--debug`, before or after its name. Results
go to standard output, everything else to standard error. How a command ends is told by its
[exit code](exit-codes.md).
"""


def page() -> str:
    """The whole page in Markdown."""
    return OPENING + "".join(_sections(cli, None, "mq"))


def _sections(command: click.Command, parent: click.Context | None, name: str) -> Iterator[str]:
    """The help of a command and, behind it, of those below it."""
    settings = {**command.context_settings, "terminal_width": WIDTH, "max_content_width": WIDTH}
    context = click.Context(command, parent=parent, info_name=name, **settings)
    heading = "#" * (context.command_path.count(" ") + 2)
    told = command.get_help(context).rstrip()
    yield f"\n{heading} {context.command_path}\n\n```text\n{told}\n```\n"
    if isinstance(command, click.Group):
        for below in command.list_commands(context):
            found = command.get_command(context, below)
            assert found is not None
            if not found.hidden:
                yield from _sections(found, context, below)


def main() -> int:
    """Write the page."""
    PAGE.write_text(page(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())

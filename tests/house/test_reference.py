"""The reference pages say what the program does."""

from __future__ import annotations

from tools import cli_reference


def test_the_command_line_page_is_what_the_commands_say() -> None:
    written = cli_reference.PAGE.read_text(encoding="utf-8")
    assert written == cli_reference.page(), "run: python -m tools.cli_reference"

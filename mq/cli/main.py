"""The command ``mq``: finds the subcommand, and turns every error into a sentence and an exit code.

Only the chosen subcommand's module is imported, so ``mq --help`` costs little more than Python and
Click. An error of ours is one sentence on standard error, without traceback unless ``--debug``.
Exit codes: 0 done, 1 failed, 2 asked for wrongly, 3 no broker, 4 no application, 5 nothing matched,
6 done in part, 130 interrupted.
"""

from __future__ import annotations

import importlib
import logging
import sys
from typing import Final, NoReturn

import click

from mq.cli.output import complain
from mq.cli.settings import Settings, shared_options
from mq.errors import MqError

__all__ = ["cli", "main"]

COMMANDS: Final = {
    "run": "Run an application's handlers.",
    "broker": "Run a broker of its own.",
    "topics": "List, create, describe and delete topics.",
    "groups": "See consumer groups and how far behind they are.",
    "produce": "Send records to a topic.",
    "consume": "Read records from a topic.",
    "dlq": "Find, mend and replay dead letters.",
}
"""The subcommands in the order of their first use; each lives in the module of its name."""

INTERRUPTED: Final = 130


class _Commands(click.Group):
    """The subcommands, imported when chosen."""

    def list_commands(self, _ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, _ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"mq.cli.{cmd_name}")
        command = getattr(module, cmd_name)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, _ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


def _print_version(ctx: click.Context, _parameter: click.Parameter, asked: bool) -> None:
    if asked:
        from importlib import metadata

        try:
            version = metadata.version("mq")
        except metadata.PackageNotFoundError:  # run from a source tree
            version = "0+unknown"
        click.echo(f"mq {version}")
        ctx.exit()


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_version,
    help="Show the version and exit.",
)
@shared_options
def cli(settings: Settings, /) -> None:
    """Services that talk through topics, on Kafka's protocol.

    Where no broker is configured, the one of this directory is used, and started if need be.
    """
    click.get_current_context().obj = settings


def main(arguments: list[str] | None = None) -> NoReturn:
    """Run the command line and end the process with its exit code."""
    sys.exit(_run(sys.argv[1:] if arguments is None else arguments))


def _run(arguments: list[str]) -> int:
    debug = "--debug" in arguments
    if debug:
        logging.basicConfig(level=logging.DEBUG)
    else:
        logging.getLogger("mq").addHandler(logging.NullHandler())  # we say it in our own words
    try:
        result = cli.main(arguments, prog_name="mq", standalone_mode=False)
    except click.Abort:
        return INTERRUPTED
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except KeyboardInterrupt:
        return INTERRUPTED
    except MqError as error:
        if debug:
            raise
        complain(error)
        return error.exit_code
    return result if isinstance(result, int) else 0

"""What every command needs to know: which Kafka, and how to print.

The options may stand before the subcommand or after it; the later one wins.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Concatenate, Final, ParamSpec, TypeVar

import click

__all__ = ["Settings", "shared_options"]

P = ParamSpec("P")
R = TypeVar("R")

FORMATS: Final = ("table", "json", "ndjson", "raw")
"""``raw`` is for cut and awk: fields with tabs between them, and of records the values alone."""


@dataclass(frozen=True, slots=True)
class Settings:
    """The shared options as given; None and False mean not given."""

    bootstrap: str | None = None
    data: Path | None = None
    output: str | None = None
    debug: bool = False

    @contextmanager
    def kafka(self) -> Iterator[str]:
        """The address of the Kafka to use, which stays up at least as long as the context.

        Raises:
            ConfigurationError: none may be used without being configured, as in production.
            BrokerUnreachable: the embedded broker did not start.
        """
        from mq import embedded  # costs 0.1 s, which `mq --help` need not pay

        origin = "from --data" if self.data else "from --bootstrap"
        found = embedded.resolve(self.bootstrap, data=self.data, origin=origin)
        if found.data is None:
            yield str(found.address)
            return
        with embedded.attach(found.data) as lease:
            yield lease.bootstrap


def shared_options(command: Callable[Concatenate[Settings, P], R]) -> Callable[P, R]:
    """Give a command the shared options; it receives them as its first argument."""

    @click.option("--bootstrap", metavar="HOST:PORT", help="Kafka's address, or 'embedded'.")
    @click.option(
        "--data",
        metavar="DIR",
        type=click.Path(file_okay=False, path_type=Path),
        help="Use the embedded broker of this directory.",
    )
    @click.option("-o", "--output", type=click.Choice(FORMATS), help="How to print results.")
    @click.option("--debug", is_flag=True, help="Show tracebacks.")
    @functools.wraps(command)
    def wrapper(
        *args: Any,
        bootstrap: str | None,
        data: Path | None,
        output: str | None,
        debug: bool,
        **kwargs: Any,
    ) -> R:
        outer = click.get_current_context().find_object(Settings) or Settings()
        settings = replace(outer, debug=debug or outer.debug, output=output or outer.output)
        if bootstrap or data:
            settings = replace(settings, bootstrap=bootstrap, data=data)
        return command(settings, *args, **kwargs)

    return wrapper  # type: ignore[return-value]

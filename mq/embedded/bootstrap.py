"""Which Kafka to use: an address somebody configured, or the broker of a directory.

Reads the environment and ``mq.toml``; touches no network and starts nothing.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from mq.errors import ConfigurationError

__all__ = ["Bootstrap", "resolve"]


class Bootstrap(NamedTuple):
    """Where to find a Kafka: at ``address``, or embedded in the directory ``data``.

    Exactly one of the two is set. ``origin`` tells a person who said so, as in "from MQ_BOOTSTRAP".
    """

    address: str | None
    data: Path | None
    origin: str

    def __str__(self) -> str:
        where = self.address or f"embedded in {_friendly(self.data or Path())}"
        return f"{where} ({self.origin})"


def resolve(
    bootstrap: str | None = None,
    *,
    data: Path | None = None,
    origin: str = "as given",
    environ: Mapping[str, str] = os.environ,
    directory: Path | None = None,
) -> Bootstrap:
    """Decide which Kafka to use.

    In this order: ``bootstrap`` or ``data`` if given, ``MQ_BOOTSTRAP``, ``bootstrap`` in the
    nearest ``mq.toml`` upward from ``directory`` (the current one), else the broker embedded in
    ``MQ_DATA``, in ``.mq`` beside that ``mq.toml``, or in ``./.mq``. The word ``embedded`` as an
    address asks for the embedded broker. ``origin`` is what to call the source of ``bootstrap``
    and ``data``.

    Raises:
        ConfigurationError: ``mq.toml`` is not readable, or this is production
            (``MQ_ENV=production`` or Kubernetes), where embedded must be asked for with
            ``MQ_BOOTSTRAP=embedded``.
    """
    here = (directory or Path.cwd()).absolute()
    if bootstrap and data:
        raise ConfigurationError("give an address or a data directory, not both")
    if data is None:
        toml = _nearest_toml(here)
        address, said_by = _configured(bootstrap, origin, environ, toml)
        if address and address != "embedded":
            return Bootstrap(address, None, said_by)
        data, origin = _data_directory(environ, toml, here)
    if environ.get("MQ_BOOTSTRAP") != "embedded":
        _refuse_in_production(environ, data)
    return Bootstrap(None, (here / data).absolute(), origin)


def _configured(
    given: str | None, origin: str, environ: Mapping[str, str], toml: Path | None
) -> tuple[str | None, str]:
    if given:
        return given, origin
    if environ.get("MQ_BOOTSTRAP"):
        return environ["MQ_BOOTSTRAP"], "from MQ_BOOTSTRAP"
    if toml:
        return _bootstrap_of(toml), f"from {_friendly(toml)}"
    return None, ""


def _nearest_toml(here: Path) -> Path | None:
    return next((d / "mq.toml" for d in (here, *here.parents) if (d / "mq.toml").is_file()), None)


def _bootstrap_of(toml: Path) -> str | None:
    try:
        found = tomllib.loads(toml.read_text(encoding="utf-8")).get("bootstrap")
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"{toml} cannot be read: {error}") from error
    if found is not None and not isinstance(found, str):
        raise ConfigurationError(f"{toml}: bootstrap must be a string such as 'localhost:9092'")
    return found or None


def _data_directory(environ: Mapping[str, str], toml: Path | None, here: Path) -> tuple[Path, str]:
    if environ.get("MQ_DATA"):
        return here / environ["MQ_DATA"], "from MQ_DATA"
    if toml:
        return toml.parent / ".mq", f"beside {_friendly(toml)}"
    return here / ".mq", "the default"


def _refuse_in_production(environ: Mapping[str, str], data: Path) -> None:
    """Nobody acknowledges into a container's disposable disk by accident."""
    if environ.get("MQ_ENV") == "production":
        reason = "MQ_ENV=production"
    elif environ.get("KUBERNETES_SERVICE_HOST"):
        reason = "this runs under Kubernetes"
    else:
        return
    raise ConfigurationError(
        f"{reason}, and no broker is configured: set MQ_BOOTSTRAP to its address, or to 'embedded' "
        f"to keep all messages in {data}"
    )


def _friendly(path: Path) -> str:
    """``path`` as a person would write it from here."""
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)

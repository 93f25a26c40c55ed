"""How to run one of our own modules in a process of its own."""

from __future__ import annotations

import os
import sys
import sysconfig
from pathlib import Path

__all__ = ["command", "environment"]


def command(module: str, *arguments: str) -> list[str]:
    """The command line that runs ``module``.

    ``-P`` keeps the current directory off the import path: a ``select.py`` that happens to lie
    there must not become part of a broker.
    """
    return [sys.executable, "-P", "-m", module, *arguments]


def environment() -> dict[str, str]:
    """Our environment, in which the other interpreter finds the same ``mq`` as this one."""
    root = str(Path(__file__).parents[2])
    if root in (sysconfig.get_path("purelib"), sysconfig.get_path("platlib")):
        return dict(os.environ)  # found anyway; on PYTHONPATH it would stand before the stdlib
    path = filter(None, (root, os.environ.get("PYTHONPATH")))
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path)}

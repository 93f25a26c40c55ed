"""Finding the application that a person named as ``MODULE:APP``, or saying in one sentence why not.

Importing runs the application's own code, so this happens in a worker's child and nowhere else.
"""

from __future__ import annotations

import importlib
import sys
import traceback
from pathlib import Path
from types import ModuleType

from mq.app.app import App
from mq.errors import ApplicationError, MqError

__all__ = ["load"]


def load(target: str) -> App:
    """Import the application ``MODULE:APP``; ``:app`` is understood where no name is given.

    The current directory is importable, as it is for ``python -m``.

    Raises:
        ApplicationError: no such module, it cannot be imported, or there is no App of that name.
        ConfigurationError: the application declares something that mq refuses.
    """
    module_name, _, path = target.partition(":")
    path = path or "app"
    if not module_name or not all(part.isidentifier() for part in module_name.split(".")):
        raise ApplicationError(
            f"{target!r} names no application: write MODULE:APP, such as billing.main:app"
        )
    module = _import(module_name)
    found: object = module
    for name in path.split("."):
        if not hasattr(found, name):
            raise ApplicationError(f"{module_name} has no {path!r}{_instead(module)}")
        found = getattr(found, name)
    if not isinstance(found, App):
        kind = type(found).__name__
        raise ApplicationError(f"{module_name}:{path} is of type {kind}, not an App")
    return found


def _import(name: str) -> ModuleType:
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        return importlib.import_module(name)
    except MqError:
        raise
    except ModuleNotFoundError as error:
        if error.name and f"{name}.".startswith(f"{error.name}."):
            raise ApplicationError(
                f"there is no module {error.name!r}, neither in {here} nor installed"
            ) from error
        raise ApplicationError(_why(name, error)) from error
    except (Exception, SystemExit) as error:
        raise ApplicationError(_why(name, error)) from error


def _why(name: str, error: BaseException) -> str:
    """The error and the line of the application's own code that it came from."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [f for f in frames if "importlib" not in f.filename and f.filename != __file__]
    where = f" ({Path(ours[-1].filename).name}, line {ours[-1].lineno})" if ours else ""
    if isinstance(error, SyntaxError) and error.filename:
        where = f" ({Path(error.filename).name}, line {error.lineno})"
    told = error.msg if isinstance(error, SyntaxError) else error
    return f"{name} cannot be imported: {type(error).__name__}: {told}{where}"


def _instead(module: ModuleType) -> str:
    names = [name for name, value in vars(module).items() if isinstance(value, App)]
    return f"; did you mean {module.__name__}:{names[0]}?" if names else " and no App at all"

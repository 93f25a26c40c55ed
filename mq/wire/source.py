"""Python source under construction: lines, blocks, fresh names and the constants they refer to.

Knows nothing of messages; ``encoder`` and ``decoder`` say what the lines are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["Source"]


class Source:
    """The body of one function. ``scope`` holds the names that it may use beyond its arguments."""

    def __init__(self, scope: dict[str, Any]) -> None:
        self.scope = dict(scope)
        self._lines: list[str] = []
        self._depth = 1
        self._names = 0
        self._constants: dict[object, str] = {}

    def line(self, text: str) -> None:
        self._lines.append("    " * self._depth + text)

    @contextmanager
    def block(self, head: str) -> Iterator[None]:
        """What is written inside goes below ``head``, one step further in."""
        self.line(head)
        self._depth += 1
        yield
        self._depth -= 1

    def name(self, stem: str) -> str:
        """A name not used before in this function."""
        self._names += 1
        return f"{stem}_{self._names}"

    def constant(self, value: object, key: object = None) -> str:
        """The name under which the function finds ``value``; one name per ``key``."""
        key = id(value) if key is None else key
        if key not in self._constants:
            self._constants[key] = name = f"C{len(self._constants)}"
            self.scope[name] = value
        return self._constants[key]

    def text(self, name: str, arguments: tuple[str, ...]) -> str:
        return "\n".join([f"def {name}({', '.join(arguments)}):", *self._lines, ""])

    def compile(self, name: str, arguments: tuple[str, ...], title: str) -> Callable[..., Any]:
        """The function itself; ``title`` is what a traceback calls its file."""
        code = compile(self.text(name, arguments), f"<{title}>", "exec")
        exec(code, self.scope)
        function: Callable[..., Any] = self.scope[name]
        return function

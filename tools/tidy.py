"""House rules that no linter knows, as a program: `python -m tools.tidy` prints what breaks them.

Each rule is a function from one parsed file to complaints; `RULES` is the whole list. Purity has
its own table: the machines of the house import neither clocks, sockets, disks, threads nor chance,
directly or through another module of ours.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TypeAlias

ROOT = Path(__file__).resolve().parent.parent

FUNCTION_LINES_MAX = 70
MODULE_LINES_MAX = 500
GENERATED = "mq/wire/messages/"

VAGUE_NAMES = frozenset({"base", "common", "helper", "helpers", "misc", "util", "utils"})

# Paths and hosts of one person's machine; a reader has others.
MACHINE = re.compile(
    r"(?<![\w.~-])/(?:home|root|work|Users)/\w+|https?://[\w.-]+\.(?:corp|internal|lan|local)\b"
)
TEXT_SUFFIXES = frozenset(
    {".cfg", ".ini", ".md", ".py", ".sh", ".toml", ".txt", ".xml", ".yaml", ".yml"}
)

IMPURE = frozenset(
    [
        *("os", "subprocess", "socket", "ssl", "select", "selectors", "signal"),
        *("asyncio", "anyio", "trio", "uvloop", "concurrent", "multiprocessing", "threading"),
        *("time", "random", "secrets"),
    ]
)
PURE = (
    "mq/errors.py",
    "mq/record.py",
    "mq/wire/**/*.py",
    "mq/coordinators/**/*.py",
    "mq/log/checkpoints.py",
    "mq/log/cleaner.py",
    "mq/log/config.py",
    "mq/log/entries.py",
    "mq/log/epochs.py",
    "mq/log/index.py",
    "mq/log/placement.py",
    "mq/log/producers.py",
    "mq/log/recovery.py",
    "mq/log/retention.py",
    "mq/log/rotation.py",
    "mq/log/transactions.py",
    "mq/log/trusted_time.py",
    "mq/log/uncleaned.py",
    "mq/log/validation.py",
    "mq/broker/catalog.py",
    "mq/broker/client_quotas.py",
    "mq/broker/scram.py",
    "mq/app/codecs.py",
    "mq/app/lanes.py",
    "mq/app/progress.py",
    "mq/app/provenance.py",
    "mq/app/retry.py",
    "mq/app/dead_letters.py",
)

# A call to one of these is a claim too: it fails the test by itself.
CLAIMS = frozenset(
    {"aeventually", "eventually", "fail", "raises", "run_state_machine_as_test", "warns"}
)

Function: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True, slots=True)
class Source:
    """One Python file: its path below the root (with forward slashes), text and syntax tree."""

    path: str
    text: str
    tree: ast.Module

    @classmethod
    def of(cls, path: str, text: str) -> Source:
        """Parse a file's text."""
        return cls(path, text, ast.parse(text, path))

    @property
    def functions(self) -> Iterator[Function]:
        """Every function and method, nested ones too."""
        for node in ast.walk(self.tree):
            if isinstance(node, Function):
                yield node


@dataclass(frozen=True, slots=True, order=True)
class Complaint:
    """One broken rule at one line."""

    path: str
    line: int
    text: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.text}"


def short_functions(source: Source) -> Iterator[Complaint]:
    """A function fits on a screen; its docstring does not count."""
    for function in source.functions:
        body = function.body[1:] if ast.get_docstring(function) else function.body
        if body and (lines := (function.end_lineno or 0) - body[0].lineno + 1) > FUNCTION_LINES_MAX:
            text = f"{function.name} has {lines} lines, more than {FUNCTION_LINES_MAX}"
            yield Complaint(source.path, function.lineno, text)


def short_modules(source: Source) -> Iterator[Complaint]:
    """A module is read in one sitting; generated tables are not read."""
    lines = len(source.text.splitlines())
    if lines > MODULE_LINES_MAX and not source.path.startswith(GENERATED):
        yield Complaint(source.path, 1, f"{lines} lines, more than {MODULE_LINES_MAX}")


def telling_names(source: Source) -> Iterator[Complaint]:
    """A module is named after its noun; a helper lives beside it."""
    path = PurePosixPath(source.path)
    for part in (*path.parent.parts, path.stem):
        if part.strip("_") in VAGUE_NAMES:
            yield Complaint(source.path, 1, f"a module named {part!r} says nothing")


def opening_docstrings(source: Source) -> Iterator[Complaint]:
    """A module opens with its theory; a generated one has none."""
    generated = source.path.startswith(GENERATED)
    if source.tree.body and not generated and ast.get_docstring(source.tree) is None:
        yield Complaint(source.path, 1, "no docstring opens the module")


def pure_machines(source: Source) -> Iterator[Complaint]:
    """A pure module imports nothing impure, and of ours only pure modules."""
    if not is_pure(source.path):
        return
    for line, name in sorted(set(_imports(source))):
        first = name.partition(".")[0]
        if first in IMPURE:
            yield Complaint(source.path, line, f"a pure module imports {name}")
        elif first == "mq" and not is_pure(_file_of(name)):
            yield Complaint(source.path, line, f"a pure module imports {name}, which is not pure")


def no_sleeping_tests(source: Source) -> Iterator[Complaint]:
    """A test waits for a condition (`eventually` in tests/conftest.py), never for a while."""
    if not source.path.startswith("tests/") or source.path == "tests/conftest.py":
        return
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Call | ast.ImportFrom) and _sleeps(node):
            yield Complaint(source.path, node.lineno, "time.sleep in a test")


def _sleeps(node: ast.Call | ast.ImportFrom) -> bool:
    if isinstance(node, ast.Call):
        return ast.unparse(node.func) == "time.sleep"
    return node.module == "time" and any(alias.name == "sleep" for alias in node.names)


def claiming_tests(source: Source) -> Iterator[Complaint]:
    """Every test asserts something, itself or through a function of its file."""
    if not PurePosixPath(source.path).name.startswith("test_"):
        return
    claiming = _claiming_functions(source)
    for function in source.functions:
        if function.name.startswith("test_") and function.name not in claiming:
            yield Complaint(source.path, function.lineno, f"{function.name} asserts nothing")


def unique_tests(source: Source) -> Iterator[Complaint]:
    """No test hides another one of the same name in its file."""
    if not PurePosixPath(source.path).name.startswith("test_"):
        return
    for scope in ast.walk(source.tree):
        if not isinstance(scope, ast.Module | ast.ClassDef):
            continue
        seen: set[str] = set()
        for node in scope.body:
            if isinstance(node, Function) and node.name.startswith("test_"):
                if node.name in seen:
                    yield Complaint(source.path, node.lineno, f"a second {node.name}")
                seen.add(node.name)


RULES: tuple[Callable[[Source], Iterator[Complaint]], ...] = (
    short_functions,
    short_modules,
    telling_names,
    opening_docstrings,
    pure_machines,
    no_sleeping_tests,
    claiming_tests,
    unique_tests,
)


def no_machine_paths(path: str, text: str) -> Iterator[Complaint]:
    """No file names a path or a host of the machine it was written on."""
    for number, line in enumerate(text.splitlines(), start=1):
        if found := MACHINE.search(line):
            yield Complaint(path, number, f"a path or host of one machine: {found.group()}")


def check(path: str, text: str) -> list[Complaint]:
    """All complaints about one file of the repository."""
    complaints = list(no_machine_paths(path, text))
    if path.endswith(".py"):
        source = Source.of(path, text)
        complaints += [complaint for rule in RULES for complaint in rule(source)]
    return sorted(complaints)


def is_pure(path: str) -> bool:
    """Whether the module at this path below the root is one of the pure ones."""
    parts = PurePosixPath(path)
    return any(parts.match(p.replace("**/", "")) or _below(path, p) for p in PURE)


def _below(path: str, pattern: str) -> bool:
    folder, recursive, _ = pattern.partition("**/")
    return bool(recursive) and path.startswith(folder)


def _imports(source: Source) -> Iterator[tuple[int, str]]:
    """Every module imported at run time, with its line; `from mq.wire import schema` names
    mq.wire.schema."""
    for node in _run_time_nodes(source.tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                is_module = (ROOT / _file_of(inner)).exists()
                yield node.lineno, inner if is_module else node.module


def _run_time_nodes(node: ast.AST) -> Iterator[ast.AST]:
    """All nodes but those that only type checkers see."""
    yield node
    if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
        return
    for child in ast.iter_child_nodes(node):
        yield from _run_time_nodes(child)


def _file_of(module: str) -> str:
    path = module.replace(".", "/")
    return f"{path}/__init__.py" if (ROOT / path).is_dir() else f"{path}.py"


def _claiming_functions(source: Source) -> set[str]:
    """The functions of a file that assert, or call one that does, however deep."""
    calls: dict[str, set[str]] = {}
    claiming: set[str] = set()
    for function in source.functions:
        called = calls.setdefault(function.name, set())
        for node in ast.walk(function):
            if isinstance(node, ast.Assert) or _raises_assertion_error(node):
                claiming.add(function.name)
            elif isinstance(node, ast.Call):
                name = ast.unparse(node.func).rpartition(".")[2]
                called.add(name)
                if name in CLAIMS or name.startswith(("assert_", "check")):
                    claiming.add(function.name)
    while more := {name for name, called in calls.items() if called & claiming} - claiming:
        claiming |= more
    return claiming


def _raises_assertion_error(node: ast.AST) -> bool:
    return isinstance(node, ast.Raise) and "AssertionError" in ast.unparse(node)


def repository_files() -> list[str]:
    """The text files that git knows or would add, as paths below the root."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    texts = (name for name in listed if _is_text(PurePosixPath(name)))
    return sorted(name for name in texts if (ROOT / name).is_file())


def _is_text(path: PurePosixPath) -> bool:
    return path.suffix in TEXT_SUFFIXES or path.name in {"Makefile", "run"}


def main() -> int:
    """Check the whole repository; 1 if anything is untidy."""
    complaints = [
        complaint
        for path in repository_files()
        for complaint in check(path, (ROOT / path).read_text(encoding="utf-8"))
    ]
    for complaint in complaints:
        print(complaint)
    print(f"tidy: {len(complaints)} complaints" if complaints else "tidy: no complaints")
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())

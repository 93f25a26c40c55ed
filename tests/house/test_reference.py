"""The pages say what the program does: commands, APIs, exit codes, names, blocks of code."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import mq
from mq import errors
from tools import cli_reference, protocol_reference

ROOT = Path(__file__).parent.parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
CODE_ROW = re.compile(r"^\| (\d+) \|", re.MULTILINE)
VARIABLE_ROW = re.compile(r"^\| `(MQ_[A-Z]+)` \|", re.MULTILINE)
LIMIT_ROW = re.compile(r"^\| `(\w+)` \| ([\d,]+)(?: MiB)? \|", re.MULTILINE)
PYTHON = re.compile(r"^```python[^\n]*\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def page(name: str) -> str:
    return (ROOT / "docs" / name).read_text(encoding="utf-8")


def test_the_command_line_page_is_what_the_commands_say() -> None:
    written = cli_reference.PAGE.read_text(encoding="utf-8")
    assert written == cli_reference.page(), "run: python -m tools.cli_reference"


def test_the_protocol_page_lists_the_apis_that_are_served() -> None:
    written = protocol_reference.PAGE.read_text(encoding="utf-8")
    assert written == protocol_reference.page(), "run: python -m tools.protocol_reference"


def test_the_page_of_exit_codes_lists_those_that_errors_have() -> None:
    listed = set(map(int, CODE_ROW.findall(page("reference/exit-codes.md"))))
    raised = {
        kind.exit_code
        for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, errors.MqError)
    }
    interrupted, done = 130, 0
    assert listed == raised | {done, interrupted}


def test_the_configuration_page_names_every_variable() -> None:
    sources = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "mq").rglob("*.py"))
    used = set(re.findall(r"\bMQ_[A-Z]+\b", sources))
    listed = set(VARIABLE_ROW.findall(page("reference/configuration.md")))
    assert listed == used


def test_the_configuration_page_tells_the_limits_as_they_are() -> None:
    told = dict(LIMIT_ROW.findall(page("reference/configuration.md")))
    limits = mq.Limits()
    for name, text in told.items():
        value = getattr(limits, name) / (2**20 if name.startswith("bytes") else 1)
        assert value == int(text.replace(",", "")), name
    assert set(told) == set(limits.__dataclass_fields__)


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_python_on_a_page_is_python_and_imports_what_there_is(path: Path) -> None:
    for block in PYTHON.findall(path.read_text(encoding="utf-8")):
        compile(block, str(path), "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.ImportFrom) and node.module == "mq":
                missing = {alias.name for alias in node.names} - set(mq.__all__)
                assert not missing


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_applications_on_a_page_can_be_declared(path: Path) -> None:
    for block in PYTHON.findall(path.read_text(encoding="utf-8")):
        if "= App(" in block:
            names: dict[str, object] = {"__name__": "page"}
            exec(compile(block, str(path), "exec"), names)
            assert isinstance(names["app"], mq.App)

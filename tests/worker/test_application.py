"""Finding an application by its name, or saying in one sentence why not."""

from __future__ import annotations

import sys

import pytest

from mq.errors import ApplicationError, ConfigurationError
from mq.worker.application import load

GOOD = "from mq import App\napp = App('good')\nclass box: app = App('boxed')\nnumber = 7\n"


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """Modules of a test are importable in it, and forgotten after it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", sys.path.copy())
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        if getattr(sys.modules[name], "__file__", None) is None or str(tmp_path) in str(
            sys.modules[name].__file__
        ):
            del sys.modules[name]


def test_an_application_is_found_by_module_and_name(tmp_path):
    (tmp_path / "good.py").write_text(GOOD)
    assert load("good:app").name == "good"
    assert load("good").name == "good"
    assert load("good:box.app").name == "boxed"


def test_an_application_in_a_package_is_found(tmp_path):
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "__init__.py").write_text("")
    (tmp_path / "shop" / "main.py").write_text(GOOD)
    assert load("shop.main:app").name == "good"


@pytest.mark.parametrize(
    ("target", "sentence"),
    [
        ("nowhere:app", "there is no module 'nowhere', neither in"),
        ("good.nowhere:app", "there is no module 'good.nowhere', neither in"),
        ("good.py:app", "there is no module 'good.py', neither in"),
        ("a b:app", "'a b:app' names no application: write MODULE:APP"),
        (":app", "':app' names no application: write MODULE:APP"),
        ("good:nothing", "good has no 'nothing'; did you mean good:app?"),
        ("empty:app", "empty has no 'app' and no App at all"),
        ("good:number", "good:number is of type int, not an App"),
        ("crash:app", "crash cannot be imported: ZeroDivisionError: division by zero (crash.py, "),
        ("typo:app", "typo cannot be imported: SyntaxError: "),
        ("needs:app", "needs cannot be imported: ModuleNotFoundError: No module named 'nowhere'"),
        ("leaves:app", "leaves cannot be imported: SystemExit: 3 (leaves.py, line 2)"),
    ],
)
def test_what_is_wrong_is_told_in_one_sentence(tmp_path, target, sentence):
    (tmp_path / "good.py").write_text(GOOD)
    (tmp_path / "empty.py").write_text("")
    (tmp_path / "crash.py").write_text("def f():\n    1 / 0\nf()\n")
    (tmp_path / "typo.py").write_text("def f(:\n")
    (tmp_path / "needs.py").write_text("import nowhere\n")
    (tmp_path / "leaves.py").write_text("import sys\nsys.exit(3)\n")
    with pytest.raises(ApplicationError) as caught:
        load(target)
    assert str(caught.value).startswith(sentence)
    assert len(str(caught.value).splitlines()) == 1


def test_a_declaration_that_mq_refuses_is_told_as_such(tmp_path):
    (tmp_path / "bad.py").write_text(
        "from mq import App\napp = App('x')\n@app.handler('no spaces')\ndef f(): ...\n"
    )
    with pytest.raises(ConfigurationError, match="no spaces"):
        load("bad:app")

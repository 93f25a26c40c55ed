"""The house rules catch what they are for, and the repository keeps them."""

from __future__ import annotations

import pytest

from tools import tidy


def complaints(path: str, text: str) -> list[str]:
    return [complaint.text for complaint in tidy.check(path, text)]


def test_the_repository_keeps_the_house_rules() -> None:
    found = [
        str(complaint)
        for path in tidy.repository_files()
        for complaint in tidy.check(path, (tidy.ROOT / path).read_text(encoding="utf-8"))
    ]
    assert found == []


LONG_BODY = "    x = 1\n" * 71

BROKEN = {
    "a long function": (
        "mq/client/consumer.py",
        f'"""Doc."""\ndef f():\n{LONG_BODY}',
        "f has 71 lines, more than 70",
    ),
    "a long module": (
        "mq/client/consumer.py",
        '"""Doc."""\n' + "x = 1\n" * 500,
        "501 lines, more than 500",
    ),
    "a vague name": (
        "mq/client/utils.py",
        '"""Doc."""\n',
        "a module named 'utils' says nothing",
    ),
    "a vague folder": (
        "mq/common/noun.py",
        '"""Doc."""\n',
        "a module named 'common' says nothing",
    ),
    "no docstring": (
        "mq/client/consumer.py",
        "x = 1\n",
        "no docstring opens the module",
    ),
    "a machine that reads the clock": (
        "mq/app/lanes.py",
        '"""Doc."""\nfrom time import monotonic\n',
        "a pure module imports time",
    ),
    "a machine that imports an edge of ours": (
        "mq/coordinators/groups.py",
        '"""Doc."""\nfrom mq.client.consumer import Consumer\n',
        "a pure module imports mq.client.consumer, which is not pure",
    ),
    "a test that sleeps": (
        "tests/app/test_x.py",
        '"""Doc."""\nimport time\ntime.sleep(1)\n',
        "time.sleep in a test",
    ),
    "a test that imports sleep": (
        "tests/app/test_x.py",
        '"""Doc."""\nfrom time import sleep\n',
        "time.sleep in a test",
    ),
    "a test that claims nothing": (
        "tests/app/test_x.py",
        '"""Doc."""\ndef test_a(): print(1)\n',
        "test_a asserts nothing",
    ),
    "a test that hides another": (
        "tests/app/test_x.py",
        '"""Doc."""\ndef test_a(): assert f()\ndef test_a(): assert g()\n',
        "a second test_a",
    ),
    "a path of one machine": (
        "docs/index.md",
        "See /" + "home/ada/notes.\n",
        "a path or host of one machine: /" + "home/ada",
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_rule_is_reported(case: str) -> None:
    path, text, complaint = BROKEN[case]
    assert complaints(path, text) == [complaint]


KEPT = {
    "a generated table may be long": (
        "mq/wire/messages/fetch.py",
        '"""Doc."""\n' + "x = 1\n" * 600,
    ),
    "a docstring does not make a function long": (
        "mq/client/consumer.py",
        '"""Doc."""\ndef f():\n    """Doc.\n' + "    more\n" * 80 + '    """\n    return 1\n',
    ),
    "a machine may import a machine": (
        "mq/coordinators/groups.py",
        '"""Doc."""\nfrom mq.wire import messages\nfrom mq.errors import KafkaError\n',
    ),
    "a machine may name the type of an edge": (
        "mq/app/lanes.py",
        '"""Doc."""\nif TYPE_CHECKING:\n    from mq.client.consumer import Consumer\n',
    ),
    "a test may claim through a function of its file": (
        "tests/app/test_x.py",
        '"""Doc."""\ndef same(a, b):\n    assert a == b\ndef test_a():\n    same(1, 1)\n',
    ),
    "an address of the web is no path": (
        "docs/index.md",
        "https://kafka.example/home/page and ~/work/x\n",
    ),
}


@pytest.mark.parametrize("case", KEPT)
def test_a_kept_rule_is_not_reported(case: str) -> None:
    path, text = KEPT[case]
    assert complaints(path, text) == []

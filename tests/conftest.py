"""The harness: one broker of the chosen engine for a test session, and the means to wait.

`pytest --engine embedded` (the default) runs every test, those that ask for `bootstrap` against
`python -m mq.broker`. `pytest --engine kafka` runs only those that ask for it, against Apache
Kafka: the rest would not notice the difference. Under pytest-xdist every worker has its own broker.
"""

from __future__ import annotations

import inspect
import itertools
import os
import signal
import time
import uuid
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, TypeVar

import anyio
import hypothesis
import pytest

from tools.apache_kafka import ApacheKafka
from tools.mq_broker import MqBroker

T = TypeVar("T")

ENGINES = ("embedded", "kafka")
POLL_S = 0.01

# In CI the same examples run every time and a failure prints the line that replays it; at home
# every run tries others. "night" digs: HYPOTHESIS_PROFILE=night make test
hypothesis.settings.register_profile("dev", deadline=None, print_blob=True)
hypothesis.settings.register_profile("ci", deadline=None, print_blob=True, derandomize=True)
hypothesis.settings.register_profile("night", deadline=None, print_blob=True, max_examples=5_000)
PROFILE = os.environ.get("HYPOTHESIS_PROFILE") or ("ci" if os.environ.get("CI") else "dev")
hypothesis.settings.load_profile(PROFILE)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--engine",
        choices=ENGINES,
        default="embedded",
        help="the broker behind the fixture `bootstrap`: ours, or Apache Kafka",
    )


def pytest_configure() -> None:
    """Started in the background, tests ignore Ctrl-C; what they start must not."""
    for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_IGN:
            usual = signal.default_int_handler if number is signal.SIGINT else signal.SIG_DFL
            signal.signal(number, usual)


def pytest_report_header(config: pytest.Config) -> str:
    return f"engine: {config.getoption('--engine')}, hypothesis profile: {PROFILE}"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--engine") == "embedded":
        return
    chosen = [item for item in items if "bootstrap" in getattr(item, "fixturenames", ())]
    config.hook.pytest_deselected(items=[item for item in items if item not in set(chosen)])
    items[:] = chosen


@pytest.fixture(scope="session")
def engine(pytestconfig: pytest.Config) -> str:
    """The name of the engine behind `bootstrap`: "embedded" or "kafka"."""
    return str(pytestconfig.getoption("--engine"))


@pytest.fixture(scope="session")
def bootstrap(engine: str) -> Iterator[str]:
    """The address of a running broker of the chosen engine; the whole session shares it."""
    if engine == "kafka":
        with ApacheKafka.start() as kafka:
            yield kafka.bootstrap
    else:
        with MqBroker.start() as broker:
            yield broker.bootstrap


@pytest.fixture
def unique(request: pytest.FixtureRequest) -> Callable[..., str]:
    """`unique("orders")` gives a topic or group name that no other test and no other run uses."""
    counter = itertools.count()
    run = uuid.uuid4().hex[:8]

    def name(stem: str = "t") -> str:
        return f"{stem}-{run}-{next(counter)}"

    return name


@pytest.fixture
def topic(unique: Callable[..., str]) -> str:
    """The name of a topic that does not exist yet."""
    return unique("topic")


@pytest.fixture
def eventually() -> Callable[..., Any]:
    """`eventually(condition, timeout=10)` polls until the condition is true and returns its value.

    The time-out only bounds a failing test; it never decides a passing one.
    """

    def poll(condition: Callable[[], T], timeout: float = 10.0) -> T:
        deadline = time.monotonic() + timeout
        while not (value := condition()):
            if time.monotonic() > deadline:
                raise AssertionError(f"not within {timeout} s: {_told(condition)}")
            time.sleep(POLL_S)
        return value

    return poll


@pytest.fixture
def aeventually() -> Callable[..., Awaitable[Any]]:
    """`await aeventually(condition, timeout=10)`: as `eventually`, while the event loop runs on.

    The condition may be a plain or an async function.
    """

    async def poll(condition: Callable[[], Any], timeout: float = 10.0) -> Any:  # noqa: ASYNC109
        deadline = time.monotonic() + timeout
        while True:
            value = condition()
            if inspect.isawaitable(value):
                value = await value
            if value:
                return value
            if time.monotonic() > deadline:
                raise AssertionError(f"not within {timeout} s: {_told(condition)}")
            await anyio.sleep(POLL_S)

    return poll


def _told(condition: Callable[[], Any]) -> str:
    """The source line of a condition, for the message of a failure."""
    try:
        return inspect.getsource(condition).strip()
    except OSError:
        return repr(condition)

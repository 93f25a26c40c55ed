"""The power goes at any moment: what was acknowledged is there, and nothing that was never written.

Twenty thousand states of a disk after a crash, of the many that `mq.testing.power_loss` can tell
of; `make crash` checks a million. A failure prints the story, the crash and what was found; the
stories are the same in every run.
"""

from __future__ import annotations

import random

import pytest

from mq.testing.power_loss import PowerLoss
from mq.testing.workloads import Workload, drawn, exhausted

pytestmark = pytest.mark.slow

STATES = 1000  # of each test below
SHORT = 12  # tests with stories of up to three steps
LONG = 8  # tests with longer ones


@pytest.fixture(scope="module")
def short_stories() -> list[Workload]:
    return [story for length in (1, 2, 3) for story in exhausted(length)]


@pytest.mark.parametrize("seed", range(SHORT))
def test_no_crash_in_a_short_story_breaks_a_promise(
    seed: int, short_stories: list[Workload]
) -> None:
    model, chance = PowerLoss(), random.Random(seed)
    while model.states < STATES:
        model.run(chance.choice(short_stories))
    assert model.states >= STATES


@pytest.mark.parametrize("seed", range(LONG))
def test_no_crash_in_a_long_story_breaks_a_promise(seed: int) -> None:
    chance = random.Random(seed)
    model = PowerLoss(chance=chance, per_moment=3)
    while model.states < STATES:
        model.run(drawn(chance.getrandbits(32)))
    assert model.states >= STATES


def test_a_stop_in_order_is_one_even_if_the_power_goes_right_after() -> None:
    model = PowerLoss()
    model.run(Workload(("stop",), ("append a", "commit", "append a")))
    assert model.states > 0

"""The power-loss model at length: every story of up to three steps, and others by chance.

    python -m tools.crash_model --states 1000000 --resume progress.json

The stories of `mq.testing.workloads` are numbered: all short ones, the shortest first, and now and
then one by chance; when the short ones are told, those by chance go on until so many states were
checked. A story depends on the run's seed and its own number alone. The file given with `--resume`
keeps how far a run has come, so that one that was interrupted goes on. A failure prints the story,
the crash and what was found, and how to tell it again.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import random
import sys
import time
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

from mq.testing.power_loss import PowerLoss
from mq.testing.promises import BrokenPromise
from mq.testing.workloads import Workload, drawn, exhausted

STEPS_MAX = 3
DRAWN_EVERY = 5
DRAWN_PER_MOMENT = 4
NOTED_EVERY = 24


class Progress(NamedTuple):
    """How far a run has come: the next story, and the states of those before."""

    seed: int
    next_story: int = 0
    states: int = 0


class Told(NamedTuple):
    """A story that was told: how many states it had, and what was broken, if anything."""

    states: int
    failure: str = ""


@cache
def short_stories() -> list[Workload]:
    """All of them, the shortest first."""
    return [story for length in range(1, STEPS_MAX + 1) for story in exhausted(length)]


def tell(seed: int, number: int) -> Told:
    """Check all crashes of one story."""
    short, (place, is_drawn) = short_stories(), divmod(number, DRAWN_EVERY)
    place = number - place - (is_drawn == DRAWN_EVERY - 1)
    if is_drawn < DRAWN_EVERY - 1 and place < len(short):
        model, story = PowerLoss(), short[place]
    else:
        chance = random.Random(f"{seed}/{number}")
        story = drawn(chance.getrandbits(32))
        model = PowerLoss(chance=chance, per_moment=DRAWN_PER_MOMENT)
    try:
        model.run(story)
    except BrokenPromise as error:
        return Told(model.states, str(error))
    return Told(model.states)


def _tell(task: tuple[int, int]) -> Told:
    return tell(*task)


def last_short_story() -> int:
    """The number of the first story after which only those by chance are left."""
    return len(short_stories()) * DRAWN_EVERY // (DRAWN_EVERY - 1) + 1


def run(progress: Progress, states: int, note: Callable[[Progress], None]) -> list[str]:
    """Tell stories until all short ones are told and `states` checked; what was broken."""
    began, last = time.monotonic(), last_short_story()
    with multiprocessing.Pool(os.cpu_count()) as pool:
        while progress.states < states or progress.next_story < last:
            numbers = range(progress.next_story, progress.next_story + NOTED_EVERY)
            told = pool.map(_tell, [(progress.seed, number) for number in numbers], chunksize=1)
            failures = [
                f"{each.failure}\n  again: --seed {progress.seed} --story {number}"
                for number, each in zip(numbers, told, strict=True)
                if each.failure
            ]
            if failures:
                return failures
            checked = progress.states + sum(each.states for each in told)
            progress = Progress(progress.seed, numbers.stop, checked)
            note(progress)
            print(
                f"seed {progress.seed}: {progress.next_story} stories (the short ones end at "
                f"{last}), {checked} states, {time.monotonic() - began:.0f} s",
                flush=True,
            )
    return []


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line: see the module's docstring."""
    parser = argparse.ArgumentParser(prog="python -m tools.crash_model")
    parser.add_argument("--states", type=int, default=1_000_000, help="how many at least")
    parser.add_argument("--seed", type=int, help="default: another one for every run")
    parser.add_argument("--story", type=int, help="tell only the story of this number")
    parser.add_argument("--resume", type=Path, help="go on where this file says, and keep it")
    given = parser.parse_args(arguments)
    progress = Progress(
        random.SystemRandom().randrange(2**32) if given.seed is None else given.seed
    )
    if given.story is not None:
        told = tell(progress.seed, given.story)
        print(told.failure or f"{told.states} states, nothing broken")
        return 1 if told.failure else 0
    if given.resume and given.resume.exists():
        progress = Progress(**json.loads(given.resume.read_text()))

    def note(reached: Progress) -> None:
        if given.resume:
            given.resume.write_text(json.dumps(reached._asdict()) + "\n")

    print(f"seed {progress.seed}: {progress.states} states checked so far", flush=True)
    failures = run(progress, given.states, note)
    print(*failures or ["every state kept what had been promised"], sep="\n")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())

"""What may happen to a data directory: short stories, all of them, and long ones by chance.

A step is a word that :data:`STEPS` knows. A word with a slash tells of two threads: the second part
happens while the first is under way, at one of its moments (``commit/append a@3``: at the third
announcement of the disk). All stories of a length are numbered, so that they can be told in any
order and by several processes; one by chance is told by its seed alone.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import product
from typing import Final, NamedTuple

from mq.testing.owner import Durability, Owner

__all__ = ["BEGINNINGS", "STEPS", "Workload", "drawn", "exhausted"]

STEPS: Final[Mapping[str, Callable[[Owner], None]]] = {
    "append a": lambda owner: owner.append("a"),
    "append large a": lambda owner: owner.append("a", size=700),
    "append many a": lambda owner: owner.append("a", count=3),
    "append b": lambda owner: owner.append("b"),
    "commit": Owner.commit,
    "roll a": lambda owner: owner.roll("a"),
    "prepare": Owner.prepare,
    "checkpoint": Owner.checkpoint,
    "delete records a": lambda owner: owner.delete_records("a"),
    "retain a": lambda owner: owner.retain("a"),
    "delete topic b": lambda owner: owner.delete_topic("b"),
    "full disk": Owner.fill,
    "stop": Owner.stop,
    "kill": Owner.kill,
}
"""All steps; a full one refuses the next write to a log, and after the last two another life begins
on the same disk."""

ENDS: Final = frozenset({"stop", "kill"})

# Who may do what beside whom: appends and deletions beside the flusher and the checkpoint thread.
_OUTER: Final = ("commit", "checkpoint")
_INNER: Final = ("append a", "append large a", "append b", "roll a", "delete records a", "retain a")

# Stories that are exhausted are told with fewer words; the others are met by chance.
_WORDS: Final = (
    *(word for word in STEPS if word not in ("append many a", "full disk")),
    "commit/append a@2",
)

BEGINNINGS: Final[Sequence[Sequence[str]]] = (
    (),
    (
        *("prepare", "append a", "append b", "commit", "append large a", "append a", "commit"),
        *("append b", "roll a", "commit", "append a", "checkpoint"),
    ),
)
"""Where stories begin: an empty disk, and one that has a journal and has seen something."""


class Workload(NamedTuple):
    """A story: crashes are looked for in ``steps``, after a ``beginning`` that is known to hold."""

    steps: tuple[str, ...]
    beginning: tuple[str, ...] = ()
    durability: Durability = "sync"

    def __str__(self) -> str:
        return f"durability {self.durability}: {', '.join((*self.beginning, *self.steps))}"


def exhausted(length: int) -> Iterator[Workload]:
    """All stories of ``length`` steps, whose crashes are in the last; the rest is a beginning.

    A crash in an earlier step is a crash of a shorter story.
    """
    for beginning, steps in product(BEGINNINGS, product(_WORDS, repeat=length)):
        yield Workload(steps[-1:], (*beginning, *steps[:-1]))


def drawn(seed: int) -> Workload:
    """A longer story; crashes are in all of its steps."""
    chance = random.Random(seed)
    weights = [_weight(word) for word in STEPS]
    steps = chance.choices(list(STEPS), weights, k=chance.randint(4, 16))
    for place, word in enumerate(steps):
        if word in _OUTER and chance.random() < 0.4:
            steps[place] = f"{word}/{chance.choice(_INNER)}@{chance.randint(1, 12)}"
    durability: Durability = "os" if chance.random() < 0.15 else "sync"
    return Workload(tuple(steps), durability=durability)


def _weight(word: str) -> int:
    if word in ENDS:
        return 1
    return 6 if word.startswith(("append", "commit")) else 3

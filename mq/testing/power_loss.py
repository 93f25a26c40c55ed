"""Power loss, modelled: whatever a crash makes of a disk, no promise is broken.

A workload runs on a :class:`~mq.testing.disk.Disk`. Before each change of the disk, and at the end,
the power may go: what is pending then survives or not, each unit by itself. Every disk that this
can leave is a *state*. A state is checked by a start on it, whose findings must be what was
promised (:mod:`mq.testing.promises`). Some are looked at deeper: the crash may come again at every
moment of that start; a second start must find the same; and what is appended, committed and lost
power on after it must be there.

Of all combinations these are tried: nothing survives, everything does (a process was killed, the
power stayed), each unit and each pair against both of these, and some by chance. A combination that
leaves the same disk as an earlier one under the same promises is no state and does not count.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from itertools import combinations, islice
from typing import Final, NamedTuple

from mq.errors import KafkaError, MqError
from mq.record import TopicPartition
from mq.testing.disk import Disk
from mq.testing.owner import Owner
from mq.testing.pending import Fate, Image, Unit
from mq.testing.promises import BrokenPromise, Promises, claim
from mq.testing.workloads import ENDS, STEPS, Workload

__all__ = ["PowerLoss", "fates_by_chance", "fates_exhausted"]

_SECTOR_FATES: Final = (Fate.OLD, Fate.ZERO, Fate.GARBAGE)
_NAME_FATES: Final = (Fate.OLD,)

# Up to so many pending units every pair of them is tried.
_PAIRED_UNITS_MAX: Final = 16

# Of so many states one is looked at deeper, besides those where nothing or everything survived.
_DEEP_EVERY: Final = 64


class _Crash(NamedTuple):
    """A crash: when, and what it decided."""

    when: str
    units: Sequence[Unit]
    fates: Sequence[Fate]

    def __str__(self) -> str:
        if not self.units:
            return f"{self.when}: nothing was pending"
        most = max(self.fates, key=self.fates.count)
        decided = zip(self.units, self.fates, strict=True)
        told = [f"{unit} ({fate.value})" for unit, fate in decided if fate is not most]
        others = f" but {'; '.join(told)}" if told else ""
        return f"{self.when}: all of {len(self.units)} pending were {most.value}{others}"


class PowerLoss:
    """Runs workloads and checks what crashes leave.

    Attributes:
        states: how many different ones were checked.
    """

    def __init__(
        self,
        *,
        chance: random.Random | None = None,
        per_moment: int = 0,
        deep_every: int = _DEEP_EVERY,
    ) -> None:
        """Try combinations as the module says.

        Args:
            chance: if given, combinations are drawn with it instead.
            per_moment: how many combinations to draw at each moment.
            deep_every: of so many states one is looked at deeper.
        """
        self.states = 0
        self._chance = chance
        self._per_moment = per_moment
        self._deep_every = deep_every
        self._promises = Promises()
        self._seen: set[int] = set()
        self._trail: list[object] = []  # what led to the state under the eye, told if it fails

    def run(self, workload: Workload) -> None:
        """Run a workload from an empty disk.

        Raises:
            BrokenPromise: a state is not what was promised; the text tells how to come to it.
        """
        self._promises = Promises()
        self._seen.clear()
        self._trail = []
        with _silence():
            try:
                self._tell(workload)
            except (MqError, OSError, BrokenPromise) as error:
                kind = "" if isinstance(error, BrokenPromise) else f"{type(error).__name__}: "
                told = "\n  ".join(map(str, (workload, *self._trail)))
                raise BrokenPromise(f"{kind}{error}\n  {told}") from error

    def _tell(self, workload: Workload) -> None:
        disk = Disk()
        owner = Owner(disk, self._promises, workload.durability)
        for word in workload.beginning:
            owner = self._step(owner, word)
        disk.observer = lambda what: self._crash(disk, workload, f"before {what}")
        for word in workload.steps:
            owner = self._step(owner, word)
        disk.observer = None
        self._crash(disk, workload, "at the end")
        owner.kill()

    def _step(self, owner: Owner, word: str) -> Owner:
        outer, _, beside = word.partition("/")
        if beside:
            inner, _, number = beside.partition("@")
            with _at_moment(owner, inner, int(number)):
                STEPS[outer](owner)
        else:
            self._perform(owner, outer)
        if outer not in ENDS:
            return owner
        again = Owner(owner.disk, self._promises, owner.durability)
        again.check()
        again.renew()
        return again

    def _perform(self, owner: Owner, word: str) -> None:
        """Do a step; it may fail if the disk does, and then has promised nothing."""
        before = owner.disk.failures
        try:
            STEPS[word](owner)
        except KafkaError:
            if owner.disk.failures == before:
                raise

    # --- one moment ------------------------------------------------------------------------------

    def _crash(self, disk: Disk, workload: Workload, when: str) -> None:
        """Check all that a crash at this moment may leave."""
        unsettled = disk.unsettled()
        for number, fates in enumerate(self._combinations(unsettled.units)):
            image = unsettled.image(fates)
            if self._is_new(image):
                self._trail = [_Crash(f"crash {when}", unsettled.units, fates)]
                is_deep = number < 2 or self.states % self._deep_every == 0
                self._check(image, workload, deep=is_deep)
        self._trail = []

    def _combinations(self, units: Sequence[Unit]) -> Iterator[list[Fate]]:
        if self._chance is None:
            return fates_exhausted(units)
        return islice(fates_by_chance(units, self._chance), self._per_moment)

    def _is_new(self, image: Image) -> bool:
        state = hash((frozenset(image.items()), self._promises.version))
        if state in self._seen:
            return False
        self._seen.add(state)
        self.states += 1
        return True

    def _check(self, image: Image, workload: Workload, *, deep: bool) -> None:
        disk = Disk(image)
        if deep:
            disk.observer = lambda what: self._crash_again(disk, workload, what)
        owner = Owner(disk, self._promises, workload.durability)
        owner.check()
        disk.observer = None
        owner.kill()
        if deep:
            self._go_on(disk, owner, workload)

    def _crash_again(self, disk: Disk, workload: Workload, what: str) -> None:
        """The power goes once more while the start repairs what the first time left."""
        unsettled = disk.unsettled()
        for fates in islice(self._combinations(unsettled.units), 2):
            image = unsettled.image(fates)
            if self._is_new(image):
                again = _Crash(f"again before {what}", unsettled.units, fates)
                self._trail.append(again)
                self._check(image, workload, deep=False)
                self._trail.pop()

    def _go_on(self, disk: Disk, first: Owner, workload: Workload) -> None:
        """Another start finds the same; what is stored after it outlives the next power loss."""
        promises = deepcopy(self._promises)  # this future is only tried
        self._trail.append("then a second start")
        owner = Owner(disk, promises, workload.durability)
        owner.check()
        found = _found(first), _found(owner)
        claim(found[0] == found[1], "two starts differ: {}, {}", *found)
        owner.renew()
        self._trail.append("then an append and a commit")
        for name in [each.topic for each in owner.logs if each.topic in owner.catalog.topics]:
            owner.append(name)
        owner.commit()
        owner.kill()
        self._trail.append("then a crash that leaves nothing pending")
        unsettled = disk.unsettled()
        left = Disk(unsettled.image([Fate.OLD] * len(unsettled.units)))
        Owner(left, promises, workload.durability).check()


def _found(owner: Owner) -> dict[TopicPartition, tuple[int, int, int]]:
    """Log start, log end and epoch of all that belongs to a topic."""
    durable = owner.durability == "sync"  # else every start after a crash raises the epoch
    return {
        each.topic_partition: (
            each.log_start_offset,
            each.log_end_offset,
            each.leader_epoch if durable else 0,
        )
        for each in (owner.metadata, *owner.logs)
        if each is owner.metadata or each.topic_id in owner.catalog.by_id
    }


# --- combinations --------------------------------------------------------------------------------


def fates_exhausted(units: Sequence[Unit]) -> Iterator[list[Fate]]:
    """Nothing, everything, and against both each unit and each pair of units the other way."""
    none, everything = [Fate.OLD] * len(units), [Fate.KEPT] * len(units)
    yield none
    yield everything
    for place, unit in enumerate(units):
        yield _with(none, {place: Fate.KEPT})
        for fate in _NAME_FATES if unit.is_name else _SECTOR_FATES:
            yield _with(everything, {place: fate})
    for one, other in _pairs(len(units)):
        yield _with(none, {one: Fate.KEPT, other: Fate.KEPT})
        yield _with(everything, {one: Fate.OLD, other: Fate.OLD})


def _pairs(units: int) -> Iterator[tuple[int, int]]:
    """Every pair; of more than :data:`_PAIRED_UNITS_MAX` units as many pairs, drawn."""
    if units <= _PAIRED_UNITS_MAX:
        yield from combinations(range(units), 2)
        return
    chance = random.Random(units)
    for _ in range(_PAIRED_UNITS_MAX * (_PAIRED_UNITS_MAX - 1) // 2):
        one, other = sorted(chance.sample(range(units), 2))
        yield one, other


def fates_by_chance(units: Sequence[Unit], chance: random.Random) -> Iterator[list[Fate]]:
    """Nothing, everything, then for ever each unit by lot, with other odds each time."""
    yield [Fate.OLD] * len(units)
    yield [Fate.KEPT] * len(units)
    while units:
        kept = chance.choice((0.1, 0.5, 0.9))
        fates = [
            Fate.KEPT
            if chance.random() < kept
            else chance.choice(_NAME_FATES if unit.is_name else _SECTOR_FATES)
            for unit in units
        ]
        yield fates


def _with(fates: Sequence[Fate], others: dict[int, Fate]) -> list[Fate]:
    changed = list(fates)
    for place, fate in others.items():
        changed[place] = fate
    return changed


# --- around --------------------------------------------------------------------------------------


@contextmanager
def _at_moment(owner: Owner, inner: str, number: int) -> Iterator[None]:
    """Do ``inner`` at the disk's announcement of this number, as another thread would.

    Or later, if the other thread would have to wait.
    """
    disk, before = owner.disk, owner.disk.observer
    left = number

    def observe(what: str) -> None:
        nonlocal left
        if before is not None:
            before(what)
        left -= 1
        if left <= 0 and not owner.would_wait(inner):
            disk.observer = before
            STEPS[inner](owner)

    disk.observer = observe
    try:
        yield
    finally:
        disk.observer = before


@contextmanager
def _silence() -> Iterator[None]:
    """No log lines: crashes are what is wanted here."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(before)

"""When to start, restart, drain and kill the processes of a worker, and how the worker ends.

A pure machine. It is told what happened and when, and returns what to do; it knows neither
processes nor pipes nor what the children work on. Times are seconds on any clock that only grows.

A child is in one of five states::

    absent ──Spawn──► starting ──Serving──► serving
                         │                     │
                         └───────Exited────────┤
                                               ├──► waiting ──due──► starting     it crashed
                                               └──► over                          else

The worker runs until a signal comes, until every child has ended by itself, or until it is clear
that no child can work. Then it drains: nothing is spawned any more, and it ends when the last child
has. A second signal, or the end of patience, kills what is left.
"""

from __future__ import annotations

import signal
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Final

__all__ = [
    "Drain",
    "Effect",
    "End",
    "Event",
    "Exited",
    "GiveUp",
    "Hopeless",
    "Kill",
    "Leave",
    "Lifecycle",
    "Pause",
    "Serving",
    "Signalled",
    "Spawn",
]

PAUSE_MIN_S: Final = 0.1
PAUSE_MAX_S: Final = 30.0
"""The pause before a restart: the first is hardly noticed, then each is twice the one before."""

HEALTHY_S: Final = 10.0
"""A child that served this long has earned a quick restart."""

STARTS_MAX: Final = 5
"""How often a child may die in a row while none has ever served, before the worker gives up."""

UNREACHABLE: Final = 3
CANNOT_WORK: Final = frozenset({2, 4})
"""Exit codes that another start will not change: wrong configuration, an unloadable application."""

ASKED_TO_END: Final = frozenset({0, -signal.SIGTERM, -signal.SIGINT, 128 + signal.SIGTERM})
"""Exit codes that are no failure of a child while the whole worker drains."""


@dataclass(frozen=True, slots=True)
class Serving:
    """The child has reached the broker and takes records."""

    child: int


@dataclass(frozen=True, slots=True)
class Exited:
    """The child's process is gone; ``code`` is negative for the signal that killed it."""

    child: int
    code: int


@dataclass(frozen=True, slots=True)
class Signalled:
    """The worker was asked to end."""

    number: int


@dataclass(frozen=True, slots=True)
class Hopeless:
    """The supervisor itself found that no child can work."""

    exit_code: int


@dataclass(frozen=True, slots=True)
class Spawn:
    """Start a process for the child."""

    child: int


@dataclass(frozen=True, slots=True)
class Drain:
    """Tell the child to finish what it has begun, and to end."""

    child: int


@dataclass(frozen=True, slots=True)
class Kill:
    """End the child's process at once."""

    child: int


@dataclass(frozen=True, slots=True)
class Leave:
    """Leave the child's consumer groups in its name: it died without doing so."""

    child: int


@dataclass(frozen=True, slots=True)
class Pause:
    """Nothing to do, but worth telling: the child will be spawned again after ``pause_s``."""

    child: int
    code: int
    pause_s: float


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Nothing to do, but worth telling: the worker ends because of how this child did."""

    child: int
    code: int


@dataclass(frozen=True, slots=True)
class End:
    """No process is left; the worker ends with this code."""

    exit_code: int


Event = Serving | Exited | Signalled | Hopeless
Effect = Spawn | Drain | Kill | Leave | Pause | GiveUp | End


class _State(Enum):
    ABSENT = auto()
    STARTING = auto()
    SERVING = auto()
    WAITING = auto()
    OVER = auto()


@dataclass(slots=True)
class _Child:
    state: _State = _State.ABSENT
    since: float = 0.0
    due: float = 0.0
    failures: int = 0

    @property
    def alive(self) -> bool:
        return self.state in (_State.STARTING, _State.SERVING)


@dataclass(slots=True)
class Lifecycle:
    """The decisions for ``processes`` children that get ``drain_s`` seconds to drain."""

    processes: int
    drain_s: float
    _children: list[_Child] = field(init=False)
    _ever_served: bool = field(default=False, init=False)
    _signals: int = field(default=0, init=False)
    _drain_until: float | None = field(default=None, init=False)
    _killed: bool = field(default=False, init=False)
    _exit_code: int = field(default=0, init=False)
    _ended: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        self._children = [_Child() for _ in range(self.processes)]

    @property
    def draining(self) -> bool:
        return self._drain_until is not None

    def deadline(self) -> float | None:
        """When :meth:`tick` is due next; None if nothing waits for the time."""
        if self._ended:
            return None
        due = [child.due for child in self._children if child.state is _State.WAITING]
        if self._drain_until is not None and not self._killed:
            due.append(self._drain_until)
        return min(due, default=None)

    def tick(self, now: float) -> list[Effect]:
        """What to do because of the time. The first tick spawns all children."""
        if self._drain_until is not None:
            return self._kill(1) if now >= self._drain_until and not self._killed else []
        due = (_State.ABSENT, _State.WAITING)
        return [
            self._spawn(number, now)
            for number, child in enumerate(self._children)
            if child.state in due and child.due <= now
        ]

    def receive(self, event: Event, now: float) -> list[Effect]:
        """What to do because of ``event``."""
        match event:
            case Serving(number):
                self._ever_served = True
                child = self._children[number]
                if child.state is _State.STARTING:
                    child.state, child.since = _State.SERVING, now
                return []
            case Exited(number, code):
                return self._exited(number, code, now)
            case Signalled(number):
                self._signals += 1
                return self._kill(128 + number) if self._signals > 1 else self._drain(0, now)
            case Hopeless(exit_code):
                return self._drain(exit_code, now)

    def _spawn(self, number: int, now: float) -> Spawn:
        child = self._children[number]
        child.state, child.since = _State.STARTING, now
        return Spawn(number)

    def _exited(self, number: int, code: int, now: float) -> list[Effect]:
        child = self._children[number]
        served_s = now - child.since if child.state is _State.SERVING else 0.0
        child.state = _State.OVER
        effects: list[Effect] = [Leave(number)] if code else []
        if self.draining:
            if code not in ASKED_TO_END:
                self._exit_code = self._exit_code or 1
        elif code in CANNOT_WORK or (code == UNREACHABLE and not self._ever_served):
            effects += self._give_up(number, code, now)
        elif code:
            effects += self._crashed(number, code, served_s, now)
        return effects + self._end()

    def _crashed(self, number: int, code: int, served_s: float, now: float) -> list[Effect]:
        child = self._children[number]
        child.failures = 1 if served_s >= HEALTHY_S else child.failures + 1
        if child.failures >= STARTS_MAX and not self._ever_served:
            return self._give_up(number, 1, now)
        # The exponent is bounded so that the power stays a float whatever the number of failures.
        pause_s = min(PAUSE_MIN_S * 2.0 ** min(child.failures - 1, 32), PAUSE_MAX_S)
        child.state, child.due = _State.WAITING, now + pause_s
        return [Pause(number, code, pause_s)]

    def _give_up(self, number: int, code: int, now: float) -> list[Effect]:
        return [GiveUp(number, code), *self._drain(code, now)]

    def _drain(self, exit_code: int, now: float) -> list[Effect]:
        if self.draining:
            return []
        self._exit_code = exit_code
        self._drain_until = now + self.drain_s
        for child in self._children:
            if not child.alive:
                child.state = _State.OVER
        alive = (number for number, child in enumerate(self._children) if child.alive)
        return [Drain(number) for number in alive] + self._end()

    def _kill(self, exit_code: int) -> list[Effect]:
        """Exit codes of children count no more: we end them, they do not fail."""
        self._exit_code = self._exit_code or exit_code
        self._killed = True
        return [Kill(number) for number, child in enumerate(self._children) if child.alive]

    def _end(self) -> list[Effect]:
        if self._ended or any(child.state is not _State.OVER for child in self._children):
            return []
        self._ended = True
        return [End(self._exit_code)]

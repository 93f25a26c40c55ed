"""Which dead letters a command is about: the selectors that all of them share.

A dead letter is named by where it lies, ``TOPIC/PARTITION/OFFSET``; no topic's name has a slash, so
names and topics may stand side by side on a command line. Everything else narrows further. This
module judges letters and reads no topics.
"""

from __future__ import annotations

import functools
import re
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any, Concatenate, NamedTuple, ParamSpec, TypeVar

import click

from mq.app.dead_letters import DeadLetter, Resolution, parse_dead_letter_topic
from mq.cli.offsets import parse_time_ms
from mq.errors import ConfigurationError
from mq.record import TopicPartition

__all__ = ["LetterId", "Selection", "selectors"]

P = ParamSpec("P")
R = TypeVar("R")


class LetterId(NamedTuple):
    """Where a dead letter lies, which is its name."""

    topic: str
    partition: int
    offset: int

    def __str__(self) -> str:
        return f"{self.topic}/{self.partition}/{self.offset}"

    @property
    def topic_partition(self) -> TopicPartition:
        return TopicPartition(self.topic, self.partition)

    @classmethod
    def of(cls, text: str) -> LetterId:
        """The name as it is written on a command line.

        Raises:
            ConfigurationError: it is no such name.
        """
        found = re.fullmatch(r"([^/]+)/(\d+)/(\d+)", text)
        if not found:
            raise ConfigurationError(
                f"{text!r} names no dead letter: write TOPIC/PARTITION/OFFSET, as mq dlq list does"
            )
        return cls(found[1], int(found[2]), int(found[3]))


@dataclass(frozen=True, slots=True)
class Selection:
    """What the options say. None and empty mean: any."""

    ids: frozenset[LetterId] = frozenset()
    topics: frozenset[str] = frozenset()
    group: str | None = None
    since_ms: int | None = None
    until_ms: int | None = None
    error: re.Pattern[str] | None = None
    message: re.Pattern[str] | None = None
    fingerprint: str | None = None
    handler: str | None = None
    key: str | None = None
    headers: tuple[tuple[str, bytes], ...] = ()
    state: str = "open"

    @property
    def narrowed(self) -> bool:
        """Whether it says anything beyond the state."""
        return self != Selection(state=self.state)

    def topics_among(self, names: Collection[str]) -> list[str]:
        """Those of all topics in which letters may be meant.

        A topic that letters came from stands for the dead-letter topics that they went to; where
        there are none, it is taken for a dead-letter topic with a name of its own.
        """
        from_topic: dict[str, list[str]] = {}
        by_group = []
        for name in sorted(names):
            if (parsed := parse_dead_letter_topic(name)) is not None:
                from_topic.setdefault(parsed[1], []).append(name)
                if self.group in (None, parsed[0]):
                    by_group.append(name)
        if not self.ids and not self.topics:
            return by_group
        meant = {each.topic for each in self.ids}
        for topic in self.topics:
            meant.update(from_topic.get(topic, [topic]))
        return sorted(meant)

    def covers(self, letter: DeadLetter, resolution: Resolution | None) -> bool:
        """Whether this letter is meant."""
        record = letter.record
        place = LetterId(record.topic, record.partition, record.offset)
        if self.ids and place not in self.ids and not self._names_topic(letter):
            return False
        state = resolution.state if resolution else "open"
        return (
            self.state in ("all", state)
            and (self.since_ms is None or record.timestamp >= self.since_ms)
            and (self.until_ms is None or record.timestamp < self.until_ms)
            and self.group in (None, letter.group)
            and self.handler in (None, letter.handler)
            and (self.key is None or record.key == self.key.encode())
            and (letter.fingerprint or "").startswith(self.fingerprint or "")
            and _found(self.error, letter.error_type)
            and _found(self.message, letter.error_message)
            and set(self.headers) <= set(letter.headers)
        )

    def _names_topic(self, letter: DeadLetter) -> bool:
        return letter.record.topic in self.topics or letter.topic in self.topics


def _found(pattern: re.Pattern[str] | None, text: str | None) -> bool:
    return pattern is None or pattern.search(text or "") is not None


def _regex(
    _ctx: click.Context, _parameter: click.Parameter, value: str | None
) -> re.Pattern[str] | None:
    try:
        return None if value is None else re.compile(value, re.IGNORECASE)
    except re.error as error:
        raise click.BadParameter(f"not a regular expression: {error}") from error


def _pairs(
    _ctx: click.Context, _parameter: click.Parameter, values: tuple[str, ...]
) -> tuple[tuple[str, bytes], ...]:
    parts = [value.partition("=") for value in values]
    if any(not equals for _, equals, _ in parts):
        raise click.BadParameter("write NAME=VALUE")
    return tuple((name, value.encode()) for name, _, value in parts)


def _time(_ctx: click.Context, _parameter: click.Parameter, value: str | None) -> int | None:
    return None if value is None else parse_time_ms(value, int(time.time() * 1000))


_STATES = ("open", "replayed", "discarded", "quarantined", "all")

_OPTIONS = (
    click.argument("targets", nargs=-1, metavar="[TOPIC|ID]…"),
    click.option("--id", "ids", multiple=True, metavar="ID", help="TOPIC/PARTITION/OFFSET."),
    click.option("-g", "--group", help="Given up by this group."),
    click.option("--handler", help="Given up by this handler."),
    click.option(
        "--since", "since_ms", metavar="TIME", callback=_time, help="1h or 2026-01-31T12:00Z."
    ),
    click.option("--until", "until_ms", metavar="TIME", callback=_time, help="The same."),
    click.option("--error", metavar="REGEX", callback=_regex, help="In the error's type."),
    click.option("--message", metavar="REGEX", callback=_regex, help="In the error's message."),
    click.option("--fingerprint", metavar="HEX", help="Of this kind; see mq dlq errors."),
    click.option("-k", "--key", help="With this key."),
    click.option("-H", "--header", "headers", multiple=True, callback=_pairs, metavar="NAME=VALUE"),
    click.option("--state", type=click.Choice(_STATES), default="open", show_default=True),
)


def selectors(command: Callable[Concatenate[Selection, P], R]) -> Callable[P, R]:
    """Give a command the selectors; it receives them as its first argument after the settings."""

    @functools.wraps(command)
    def wrapper(*args: Any, **kwargs: Any) -> R:
        targets = [*kwargs.pop("targets"), *kwargs.pop("ids")]
        chosen: dict[str, Any] = {
            name: kwargs.pop(name)
            for name in (
                *("group", "handler", "since_ms", "until_ms", "error", "message"),
                *("fingerprint", "key", "headers", "state"),
            )
        }
        selection = Selection(
            frozenset(LetterId.of(target) for target in targets if "/" in target),
            frozenset(target for target in targets if "/" not in target),
            **chosen,
        )
        return command(selection, *args, **kwargs)

    for option in reversed(_OPTIONS):
        wrapper = option(wrapper)
    return wrapper

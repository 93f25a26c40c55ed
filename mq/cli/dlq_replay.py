"""``mq dlq replay`` and ``discard``: what becomes of dead letters.

A letter is marked as resolved only after its record has been acknowledged at its new place. So a
replay that is interrupted is simply run again: what was marked is no longer open, and of the rest
at most those on their way are sent twice.
"""

from __future__ import annotations

import functools
import getpass
import json
import queue
import time
import uuid
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace as copy
from typing import Literal

import click

from mq.app import dead_letters
from mq.app.codecs import CODECS, CONTENT_TYPE, codec_of
from mq.app.dead_letters import (
    STATE_TOPIC,
    STATE_TOPIC_SETTINGS,
    DeadLetter,
    Replay,
    Resolution,
    state_key,
)
from mq.cli.cluster import Cluster
from mq.cli.envelope import Draft, decoded
from mq.cli.letters import Found, find
from mq.cli.output import Column, confirm, print_rows, progress, remark
from mq.cli.selection import Selection, selectors
from mq.cli.sender import Sender
from mq.cli.settings import Settings, shared_options
from mq.errors import ConfigurationError, MqError, NothingMatched, PartlyDone

__all__ = ["discard", "replay"]


def _rate(_ctx: click.Context, _parameter: click.Parameter, value: str | None) -> float | None:
    """Records per second from ``50``, ``50/s``, ``100/m`` or ``500/h``."""
    if value is None:
        return None
    number, _, unit = value.partition("/")
    seconds = {"": 1, "s": 1, "m": 60, "h": 3600}.get(unit)
    if seconds is None or not number.isdecimal() or int(number) == 0:
        raise click.BadParameter("write 50/s, 100/m or 500/h")
    return int(number) / seconds


@click.command()
@click.option(
    "--to",
    default="group",
    show_default=True,
    metavar="group|origin|TOPIC",
    help="Back to the group that gave up and no other; to the topic of origin; to any topic.",
)
@click.option("--value", "new_value", metavar="JSON", help="Replay with this value instead.")
@click.option("--edit", is_flag=True, help="Mend the value in $EDITOR first.")
@click.option("--max", "most", type=click.IntRange(min=1), metavar="N", help="The oldest so many.")
@click.option("--rate", metavar="N/s", callback=_rate, help="So many per second, minute or hour.")
@click.option(
    "--max-replays",
    type=click.IntRange(min=1),
    metavar="N",
    default=3,
    show_default=True,
    help="Leave letters alone that came back so often.",
)
@click.option("--dry-run", is_flag=True, help="Show what would go where, and send nothing.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@selectors
@shared_options
def replay(
    settings: Settings,
    selection: Selection,
    /,
    to: str,
    new_value: str | None,
    edit: bool,
    most: int | None,
    rate: float | None,
    max_replays: int,
    dry_run: bool,
    yes: bool,
) -> None:
    """Send dead letters back, and mark them as replayed.

    Key and headers stay as they were. To replay a whole topic, say so: mq dlq replay TOPIC.
    """
    with settings.kafka() as bootstrap:
        cluster = Cluster(bootstrap)
        found = _chosen(cluster, selection, most)
        ripe = [each for each in found if each.letter.replays < max_replays]
        if len(ripe) < len(found):
            remark(f"{len(found) - len(ripe)} came back {max_replays} times and stay")
        if new_value is not None or edit:
            ripe = [_mended(ripe, new_value)]
        topics = list(cluster.topics())
        plans = [(each, _plan(each.letter, topics, to)) for each in ripe]
        if dry_run:
            _show_plans(settings, plans)
            return
        if not selection.ids or selection.topics:
            confirm(f"replay {_count(plans)}", yes=yes)
        _send(cluster, plans, rate)


def _chosen(cluster: Cluster, selection: Selection, most: int | None) -> list[Found]:
    if not (selection.ids or selection.topics or selection.narrowed):
        raise ConfigurationError("say which letters: a topic, an ID, or options such as --group")
    found = find(cluster, selection)[:most]
    if not found:
        raise NothingMatched("no dead letter matches")
    return found


def _count(letters: Sequence[object]) -> str:
    return f"{len(letters):,} dead letter" + ("" if len(letters) == 1 else "s")


def _plan(letter: DeadLetter, topics: list[str], to: str) -> Replay:
    now_ms = int(time.time() * 1000)
    return dead_letters.replay(
        letter, topics=topics, now_ms=now_ms, to=None if to == "group" else to
    )


def _mended(found: list[Found], new_value: str | None) -> Found:
    """The one letter with another value, written as its content type says."""
    if len(found) != 1:
        raise ConfigurationError(f"one value mends one letter; {len(found)} are selected")
    record = found[0].letter.record
    text = new_value if new_value is not None else _edited(decoded(record))
    value = text.encode()
    content_type = record.header(CONTENT_TYPE)
    codec = CODECS["json"] if content_type is None else codec_of(content_type)
    if codec in (CODECS["json"], CODECS["msgpack"]):
        try:
            value = codec.encode(json.loads(text))
        except ValueError as error:
            raise ConfigurationError(f"the value is not JSON: {error}") from error
    mended = copy(found[0].letter, record=copy(record, value=value))
    return found[0]._replace(letter=mended)


def _edited(value: object) -> str:
    text = click.edit(json.dumps(value, indent=2, ensure_ascii=False), extension=".json")
    if text is None:
        raise click.Abort
    return text


def _show_plans(settings: Settings, plans: list[tuple[Found, Replay]]) -> None:
    rows = [
        {
            "id": str(each.id),
            "key": None if plan.key is None else plan.key.decode(errors="backslashreplace"),
            "to": plan.topic,
            "partition": plan.partition,
            "error": each.letter.error_type,
        }
        for each, plan in plans
    ]
    columns = (
        Column("id", style="bold"),
        Column("key", style="cyan"),
        Column("to", style="green"),
        Column("partition", justify="right"),
        Column("error", style="red"),
    )
    print_rows(settings.output, rows, columns)
    for kind, count in Counter(each.letter.error_type for each, _ in plans).most_common():
        remark(f"{count:,} × {kind}")
    remark("nothing was sent")


def _send(cluster: Cluster, plans: list[tuple[Found, Replay]], rate: float | None) -> None:
    """Send, and mark what was acknowledged; an interruption loses no mark."""
    states = _States(cluster)
    acknowledged: queue.SimpleQueue[Found] = queue.SimpleQueue()
    sender = Sender(cluster.bootstrap, {plan.topic for _, plan in plans})
    begun = time.monotonic()
    try:
        with progress("replaying", total=len(plans)) as advance:
            for number, (found, plan) in enumerate(plans):
                if rate:
                    time.sleep(max(0.0, begun + number / rate - time.monotonic()))
                draft = Draft(plan.key, plan.value, plan.headers, partition=plan.partition)
                sender.send(plan.topic, draft, functools.partial(_note, acknowledged, found))
                advance()
    finally:
        sender.finish()
        done = [acknowledged.get() for _ in range(acknowledged.qsize())]
        states.mark(done, "replayed")
    remark(f"{_count(done)} replayed")
    _tell_failures(sender.failures, len(done))


def _note(acknowledged: queue.SimpleQueue[Found], found: Found, _sent: object) -> None:
    acknowledged.put(found)


def _tell_failures(failures: list[MqError], done: int) -> None:
    if failures and done:
        raise PartlyDone(f"{len(failures)} could not be sent: {failures[0]}")
    if failures:
        raise failures[0]


class _States:
    """Writes down what became of letters."""

    def __init__(self, cluster: Cluster) -> None:
        if STATE_TOPIC not in cluster.topics():
            cluster.create_topic(STATE_TOPIC, 1, -1, STATE_TOPIC_SETTINGS)
        self._bootstrap = cluster.bootstrap
        self._job = uuid.uuid4().hex[:8]

    def mark(self, letters: list[Found], state: Literal["replayed", "discarded"]) -> None:
        """Mark letters as resolved.

        Raises:
            MqError: a mark was not accepted; the letter still counts as open.
        """
        now_ms = int(time.time() * 1000)
        value = Resolution(state, now_ms, self._job, getpass.getuser()).encode()
        sender = Sender(self._bootstrap, [STATE_TOPIC])
        for each in letters:
            sender.send(STATE_TOPIC, Draft(state_key(each.letter.record), value))
        sender.finish()
        _tell_failures(sender.failures, 0)


@click.command()
@click.option("--max", "most", type=click.IntRange(min=1), metavar="N", help="The oldest so many.")
@click.option("--dry-run", is_flag=True, help="Show which, and change nothing.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@selectors
@shared_options
def discard(
    settings: Settings,
    selection: Selection,
    /,
    most: int | None,
    dry_run: bool,
    yes: bool,
) -> None:
    """Mark dead letters as done with. The records stay where they are."""
    with settings.kafka() as bootstrap:
        cluster = Cluster(bootstrap)
        found = _chosen(cluster, selection, most)
        if dry_run:
            rows = [{"id": str(each.id), "error": each.letter.error_type} for each in found]
            print_rows(settings.output, rows, (Column("id", style="bold"), Column("error")))
            return
        if not selection.ids or selection.topics:
            confirm(f"discard {_count(found)}", yes=yes)
        _States(cluster).mark(found, "discarded")
    remark(f"{_count(found)} discarded")

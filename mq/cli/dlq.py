"""``mq dlq``: what failed for good, why, and since when."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from typing import Any

import click
from rich.console import Console
from rich.text import Text

from mq.app.dead_letters import parse_dead_letter_topic
from mq.cli.cluster import Cluster
from mq.cli.dlq_replay import discard, replay
from mq.cli.envelope import decoded, to_json
from mq.cli.letters import Found, find, find_one
from mq.cli.output import Column, age, clock, print_fields, print_rows, remark, stdout_console
from mq.cli.selection import LetterId, Selection, selectors
from mq.cli.settings import Settings, shared_options

__all__ = ["dlq"]


@click.group()
def dlq() -> None:
    """Find, mend and replay dead letters.

    A dead letter is named TOPIC/PARTITION/OFFSET. Where a TOPIC is asked for, the one that letters
    came from will do.
    """


dlq.add_command(replay)
dlq.add_command(discard)

_COUNT = Column("open", justify="right", style="red", text=lambda count: f"{count:,}")


@dlq.command()
@selectors
@shared_options
def topics(settings: Settings, selection: Selection, /) -> None:
    """List where dead letters lie, and how many are open."""
    rows = []
    for name, letters in _grouped(_found(settings, selection), lambda each: each.id.topic):
        group, origin = parse_dead_letter_topic(name) or (None, None)
        rows.append({"topic": name, "group": group, "origin": origin, **_summary(letters)})
    columns = (
        Column("topic", style="bold"),
        _COUNT,
        Column("oldest", justify="right", text=age),
        Column("newest", justify="right", text=age),
        Column("error", title="mostly", wrap=True),
    )
    print_rows(settings.output, rows, columns)


@dlq.command()
@selectors
@shared_options
def errors(settings: Settings, selection: Selection, /) -> None:
    """List what went wrong, the most frequent first."""
    groups = _grouped(_found(settings, selection), lambda each: each.letter.fingerprint or "")
    rows = []
    for fingerprint, letters in groups:
        last = letters[-1].letter
        told = {
            "fingerprint": fingerprint,
            **_summary(letters),
            "handler": last.handler,
            "message": last.error_message,
        }
        rows.append(told)
    rows.sort(key=lambda row: -row["open"])
    columns = (
        Column("fingerprint", style="dim"),
        _COUNT,
        Column("oldest", justify="right", text=age),
        Column("newest", justify="right", text=age),
        Column("handler"),
        Column("error", style="bold"),
        Column("message", wrap=True),
    )
    print_rows(settings.output, rows, columns)


def _found(settings: Settings, selection: Selection) -> list[Found]:
    with settings.kafka() as bootstrap:
        found = find(Cluster(bootstrap), selection)
    if not found:
        remark("no dead letters" + (" are open" if selection.state == "open" else ""))
    return found


def _grouped(found: list[Found], key: Callable[[Found], str]) -> list[tuple[str, list[Found]]]:
    groups: dict[str, list[Found]] = {}
    for each in found:
        groups.setdefault(key(each), []).append(each)
    return sorted(groups.items())


def _summary(letters: list[Found]) -> dict[str, Any]:
    kinds = Counter(each.letter.error_type or "unknown" for each in letters)
    return {
        "open": len(letters),
        "oldest": letters[0].letter.record.timestamp,
        "newest": letters[-1].letter.record.timestamp,
        "error": kinds.most_common(1)[0][0],
    }


@dlq.command("list")
@click.option("-n", "--limit", type=click.IntRange(min=1), metavar="N", help="The newest so many.")
@selectors
@shared_options
def list_(settings: Settings, selection: Selection, /, limit: int | None) -> None:
    """List dead letters, the newest last."""
    found = _found(settings, selection)
    shown = found[-limit:] if limit else found
    columns = (
        Column("id", style="bold"),
        Column("died", title="age", justify="right", text=age),
        Column("key", style="cyan"),
        Column("error", style="red"),
        Column("message", wrap=True),
        Column("attempt", title="tries", justify="right"),
        Column("replays", justify="right"),
        *([Column("state")] if selection.state != "open" else []),
    )
    print_rows(settings.output, [_row(each) for each in shown], columns)
    if len(shown) < len(found):
        remark(f"{len(found) - len(shown):,} older ones are not shown")


def _row(found: Found) -> dict[str, Any]:
    letter = found.letter
    key = letter.record.key
    return {
        "id": str(found.id),
        "died": letter.failed_at or letter.record.timestamp,
        "group": letter.group,
        "handler": letter.handler,
        "origin": letter.topic,
        "key": None if key is None else key.decode(errors="backslashreplace"),
        "error": letter.error_type,
        "message": letter.error_message,
        "fingerprint": letter.fingerprint,
        "attempt": letter.attempt,
        "replays": letter.replays,
        "state": found.state,
    }


@dlq.command()
@click.argument("name", metavar="ID")
@shared_options
def show(settings: Settings, /, name: str) -> None:
    """Show all that is known of one dead letter."""
    with settings.kafka() as bootstrap:
        found = find_one(Cluster(bootstrap), LetterId.of(name))
    if settings.output in ("json", "ndjson"):
        letter = found.letter
        whole = {
            **_row(found),
            "origin_partition": letter.partition,
            "origin_offset": letter.offset,
            "first_failed_at": letter.first_failed_at,
            "traceback": letter.error_traceback,
            "payload": decoded(letter.record),
            "record": to_json(letter.record),
        }
        print_fields(settings.output, whole)
    else:
        _show(found, stdout_console())


def _show(found: Found, console: Console) -> None:
    letter = found.letter
    origin = f"{letter.topic} {letter.partition}:{letter.offset}" if letter.topic else "unknown"
    told = {
        "origin": origin,
        "group": letter.group,
        "handler": letter.handler,
        "attempts": letter.attempt,
        "replays": letter.replays or None,
        "first failed": letter.first_failed_at and _when(letter.first_failed_at),
        "died": _when(letter.failed_at or letter.record.timestamp),
        "fingerprint": letter.fingerprint,
        "state": found.state,
        "key": _row(found)["key"],
    }
    error = Text(letter.error_type or "unknown error", style="bold red")
    console.print(error + Text(f"  {letter.error_message or ''}", style="not bold default"))
    print_fields(None, {name: value for name, value in told.items() if value is not None})
    value = decoded(letter.record)
    console.print(Text("value", style="dim"))
    console.print(value if isinstance(value, str) else json.dumps(value, indent=2), markup=False)
    if letter.headers:
        console.print(Text("\nheaders", style="dim"))
    for name, content in letter.headers:
        console.print(f"{name}: {(content or b'').decode(errors='backslashreplace')}", markup=False)
    if letter.error_traceback:
        console.print(Text("\ntraceback", style="dim"))
        console.print(letter.error_traceback.rstrip(), markup=False)


def _when(timestamp_ms: int) -> str:
    return f"{clock(timestamp_ms)}, {age(timestamp_ms)} ago"

"""``mq produce``: send what is typed, piped, or was printed by ``mq consume``."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any, Final

import click

from mq.app.codecs import CODECS, CONTENT_TYPE
from mq.app.topics import check_topic
from mq.cli.cluster import probe
from mq.cli.envelope import Draft, from_json
from mq.cli.output import print_json_line, progress, remark
from mq.cli.sender import Sender, Sent
from mq.cli.settings import Settings, shared_options
from mq.errors import ConfigurationError, MqError, NothingMatched, PartlyDone
from mq.record import Headers

__all__ = ["produce"]


def _headers(_ctx: click.Context, _parameter: click.Parameter, values: tuple[str, ...]) -> Headers:
    pairs = [value.partition("=") for value in values]
    if any(not equals or not name for name, equals, _ in pairs):
        raise click.BadParameter("write NAME=VALUE")
    return tuple((name, value.encode()) for name, _, value in pairs)


def _separator(_ctx: click.Context, _parameter: click.Parameter, value: str | None) -> str | None:
    if value == "":
        raise click.BadParameter("nothing separates nothing")
    return value


@click.command()
@click.argument("topic")
@click.argument("value", required=False)
@click.option("-k", "--key", help="The key of every record.")
@click.option(
    "-K",
    "--key-separator",
    metavar="TEXT",
    callback=_separator,
    help="Each line is KEY, this, VALUE.",
)
@click.option(
    "-H",
    "--header",
    "headers",
    multiple=True,
    metavar="NAME=VALUE",
    callback=_headers,
    help="May be repeated.",
)
@click.option(
    "-t",
    "--type",
    "kind",
    type=click.Choice(["json", "msgpack", "text"]),
    help="Check the value and say what it is; msgpack is typed as JSON and sent packed.",
)
@click.option("-p", "--partition", type=click.IntRange(min=0), metavar="N", help="Default: by key.")
@click.option("--tombstone", is_flag=True, help="Send a null value.")
@click.option(
    "--from",
    "source",
    type=click.Choice(["lines", "ndjson"]),
    default="lines",
    show_default=True,
    help="What standard input is; ndjson is what mq consume -o ndjson prints.",
)
@shared_options
def produce(
    settings: Settings,
    /,
    topic: str,
    value: str | None,
    source: str,
    tombstone: bool,
    **given: Any,
) -> None:
    """Send VALUE, or every line of standard input, to TOPIC."""
    check_topic(topic)
    pattern = Draft(
        key=None if given["key"] is None else given["key"].encode(),
        value=None,
        headers=given["headers"],
        partition=given["partition"],
    )
    if tombstone:
        drafts: Iterable[Draft] = [pattern]
    elif value is not None:
        drafts = [_typed(replace(pattern, value=value.encode()), given["kind"])]
    elif source == "ndjson":
        drafts = _from_ndjson(pattern)
    else:
        drafts = _from_lines(pattern, given["key_separator"], given["kind"])
    with settings.kafka() as bootstrap:
        probe(bootstrap)
        _send_all(bootstrap, topic, drafts, settings.output)


def _from_lines(pattern: Draft, separator: str | None, kind: str | None) -> Iterator[Draft]:
    for line in sys.stdin.buffer:
        value = line.removesuffix(b"\n").removesuffix(b"\r")
        draft = replace(pattern, value=value)
        if separator is not None:
            key, found, value = value.partition(separator.encode())
            if not found:
                raise ConfigurationError(f"a line has no {separator!r}: {line[:80]!r}")
            draft = replace(pattern, key=key, value=value)
        yield _typed(draft, kind)


def _from_ndjson(pattern: Draft) -> Iterator[Draft]:
    """Records as they were, but at a place of their own: offsets and partitions are new."""
    for line in sys.stdin.buffer:
        try:
            draft = from_json(json.loads(line))
        except ValueError as error:
            raise ConfigurationError(f"a line is not JSON: {error}") from error
        yield replace(
            draft,
            key=draft.key if pattern.key is None else pattern.key,
            headers=draft.headers + pattern.headers,
            partition=pattern.partition,
        )


def _typed(draft: Draft, kind: str | None) -> Draft:
    """The record with its value checked, packed if need be, and named in a header."""
    if kind is None or draft.value is None:
        return draft
    codec, value = CODECS[kind], draft.value
    try:
        if kind == "text":
            value.decode()
        else:
            content = json.loads(value)
            value = codec.encode(content) if kind == "msgpack" else value
    except ValueError as error:
        wanted = "UTF-8" if kind == "text" else "JSON"
        raise ConfigurationError(f"the value is not {wanted}: {error}") from error
    mark = (CONTENT_TYPE, codec.content_type.encode())
    return replace(draft, value=value, headers=(*draft.headers, mark))


SHOWN_EVERY: Final = 100
"""How many records the progress bar moves by: drawing must not be what takes the time."""


def _send_all(bootstrap: str, topic: str, drafts: Iterable[Draft], output: str | None) -> None:
    sent: list[Sent] = []
    single = isinstance(drafts, list)

    def on_sent(sending: Sent) -> None:
        sent.append(sending)
        if output in ("json", "ndjson"):
            receipt = {"topic": topic, "partition": sending.partition, "offset": sending.offset}
            print_json_line(receipt)
        elif single:
            click.echo(f"{topic} {sending.partition}:{sending.offset}")

    sender = Sender(bootstrap, [topic])
    stopped: MqError | None = None
    with progress("sending", show=not sys.stdin.isatty() and not single) as advance:
        try:
            for number, draft in enumerate(drafts, 1):
                sender.send(topic, draft, on_sent)
                if number % SHOWN_EVERY == 0:
                    advance(SHOWN_EVERY)
        except MqError as error:
            stopped = error  # what was sent before stays sent, and is told
        finally:
            sender.finish()
    if sent and not single:
        remark(f"{len(sent):,} records sent to {topic}")
    failure = stopped or next(iter(sender.failures), None)
    if failure and sent:
        raise PartlyDone(f"{len(sent):,} records were sent, then: {failure}")
    if failure:
        raise failure
    if not sent:
        raise NothingMatched("there was nothing to send")

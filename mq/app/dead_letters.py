"""Dead letters: how to read them, where they can go from there, and what became of them.

Letters of others are read too: Spring Kafka's (both families of headers, binary integers and all),
Kafka Streams', Kafka Connect's and KIP-1191's.

Kafka cannot delete one record, so what became of a dead letter is kept beside it, in a compacted
topic: :func:`state_key` and :class:`Resolution`.

Reading and planning only: nothing here sends or stores.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal, TypeAlias

import msgspec

from mq.app.provenance import (
    ID,
    KIP_1191,
    REPLAYS,
    Hop,
    digest,
    last_values,
    number,
    text,
    user_headers,
    with_ours,
)
from mq.app.retry import Tier, retry_topic, tier_of_topic
from mq.errors import ConfigurationError
from mq.record import Headers, Record

__all__ = [
    "STATE_TOPIC",
    "STATE_TOPIC_SETTINGS",
    "DeadLetter",
    "Replay",
    "Resolution",
    "dead_letter_topic",
    "parse_dead_letter_topic",
    "replay",
    "state_key",
]

STATE_TOPIC: Final = "_mq.dlq.state"
STATE_TOPIC_SETTINGS: Final[Mapping[str, str]] = {"cleanup.policy": "compact"}


def dead_letter_topic(group: str, topic: str) -> str:
    """Where records of ``topic`` end that ``group`` gave up."""
    return f"dlq.{group}.{topic}"


def parse_dead_letter_topic(name: str) -> tuple[str, str] | None:
    """Group and topic from the name of a dead-letter topic; None if it is no such name."""
    match = _DEAD_LETTER_TOPIC.fullmatch(name)
    return (match[1], match[2]) if match else None


_DEAD_LETTER_TOPIC: Final = re.compile(r"dlq\.([A-Za-z0-9_-]+)\.(.+)")


Family: TypeAlias = Literal["mq", "kip-1191", "spring", "streams", "connect", "unknown"]


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A dead letter as its reader wants to see it. What it does not say is None.

    ``family`` tells whose headers were read.
    """

    record: Record
    family: Family
    id: str | None = None
    topic: str | None = None
    partition: int | None = None
    offset: int | None = None
    timestamp: int | None = None
    group: str | None = None
    handler: str | None = None
    attempt: int | None = None
    first_failed_at: int | None = None
    failed_at: int | None = None
    error_type: str | None = None
    error_message: str | None = None
    error_traceback: str | None = None
    fingerprint: str | None = None
    replays: int = 0

    @property
    def headers(self) -> Headers:
        """The headers of the record before it died."""
        foreign = _FOREIGN_PREFIXES.get(self.family, ())
        users = user_headers(self.record.headers)
        return tuple(header for header in users if not header[0].startswith(foreign))

    @classmethod
    def from_record(cls, record: Record) -> DeadLetter:
        """Read a record of a dead-letter topic, whoever wrote it. Never fails."""
        found = last_values(record.headers)
        family, fields = _first_family(found)
        named = parse_dead_letter_topic(record.topic)
        if named is not None and family in ("mq", "unknown"):
            fields.setdefault("group", named[0])
            fields.setdefault("topic", named[1])
        letter = cls(
            record,
            family,
            id=text(found.get(ID)),
            replays=number(found.get(REPLAYS), 0),
            **fields,
        )
        if letter.fingerprint is None and (letter.error_type or letter.error_message):
            told = digest(letter.error_type or "", "", letter.error_message or "")
            letter = replace(letter, fingerprint=told)
        return letter


def _first_family(found: Mapping[str, bytes]) -> tuple[Family, dict[str, Any]]:
    """Whose headers these are, and the fields of a letter that they tell."""
    for family, table in _FAMILIES:
        fields = {field: read(found[name]) for name, field, read in table if name in found}
        if not fields.keys().isdisjoint(("topic", "error_type", "error_message")):
            return family, fields
    return "unknown", {}


def _binary(value: bytes) -> int:
    """An integer as Java writes it: two's complement, big-endian."""
    return int.from_bytes(value, "big", signed=True)


_Table: TypeAlias = tuple[tuple[str, str, Callable[[bytes], Any]], ...]


def _spring(prefix: str, origin: str, error: str) -> _Table:
    return (
        (prefix + origin + "topic", "topic", text),
        (prefix + origin + "partition", "partition", _binary),
        (prefix + origin + "offset", "offset", _binary),
        (prefix + origin + "timestamp", "timestamp", _binary),
        (prefix + origin + "consumer-group", "group", text),
        (prefix + error + "fqcn", "error_type", text),
        (prefix + error + "cause-fqcn", "error_type", text),  # the wrapper tells less
        (prefix + error + "message", "error_message", text),
        (prefix + error + "stacktrace", "error_traceback", text),
    )


_FAMILIES: Final[tuple[tuple[Family, _Table], ...]] = (
    (
        "mq",
        (
            ("mq-origin-topic", "topic", text),
            ("mq-origin-partition", "partition", number),
            ("mq-origin-offset", "offset", number),
            ("mq-origin-timestamp", "timestamp", number),
            ("mq-group", "group", text),
            ("mq-handler", "handler", text),
            ("mq-attempt", "attempt", number),
            ("mq-first-failed-at", "first_failed_at", number),
            ("mq-failed-at", "failed_at", number),
            ("mq-error-type", "error_type", text),
            ("mq-error-message", "error_message", text),
            ("mq-error-traceback", "error_traceback", text),
            ("mq-fingerprint", "fingerprint", text),
        ),
    ),
    (
        "kip-1191",
        (
            (KIP_1191 + "topic", "topic", text),
            (KIP_1191 + "partition", "partition", number),
            (KIP_1191 + "offset", "offset", number),
            (KIP_1191 + "group", "group", text),
            (KIP_1191 + "delivery.count", "attempt", number),
            (KIP_1191 + "message", "error_message", text),
        ),
    ),
    ("spring", _spring("kafka_dlt-", "original-", "exception-")),
    ("spring", _spring("kafka_", "original-", "exception-")),
    (
        "streams",
        (
            ("__streams.errors.topic", "topic", text),
            ("__streams.errors.partition", "partition", number),
            ("__streams.errors.offset", "offset", number),
            ("__streams.errors.exception", "error_type", text),
            ("__streams.errors.message", "error_message", text),
            ("__streams.errors.stacktrace", "error_traceback", text),
        ),
    ),
    (
        "connect",
        (
            ("__connect.errors.topic", "topic", text),
            ("__connect.errors.partition", "partition", number),
            ("__connect.errors.offset", "offset", number),
            ("__connect.errors.connector.name", "group", text),
            ("__connect.errors.class.name", "handler", text),
            ("__connect.errors.exception.class.name", "error_type", text),
            ("__connect.errors.exception.message", "error_message", text),
            ("__connect.errors.exception.stacktrace", "error_traceback", text),
        ),
    ),
)

_FOREIGN_PREFIXES: Final[Mapping[Family, tuple[str, ...]]] = {
    "spring": ("kafka_dlt-", "kafka_original-", "kafka_exception-", "retry_topic-"),
    "streams": ("__streams.errors.",),
    "connect": ("__connect.errors.",),
}


@dataclass(frozen=True, slots=True)
class Replay:
    """What to send, and where to, so that a dead letter lives again. None: by key."""

    topic: str
    partition: int | None
    key: bytes | None
    value: bytes | None
    headers: Headers


def replay(
    letter: DeadLetter, *, topics: Sequence[str], now_ms: int, to: str | None = None
) -> Replay:
    """Plan the redrive of one dead letter. Key, value and the record's headers stay as they were.

    Args:
        letter: the dead letter.
        topics: the names of the topics that exist.
        now_ms: the time, when the record will be due.
        to: ``None`` for the first retry tier of the group that gave it up, so that no other group
            sees it again; ``"origin"`` for the topic it came from; else the name of a topic.

    Raises:
        ConfigurationError: the letter does not say where that is, or there is no such topic.
    """
    if to is None:
        return _replay_to_group(letter, topics, now_ms)
    topic = letter.topic if to == "origin" else to
    if topic is None:
        raise ConfigurationError("the dead letter does not say which topic it came from")
    if topic not in topics:
        raise ConfigurationError(f"there is no topic {topic}")
    ours = [] if letter.id is None else [(ID, letter.id.encode())]
    ours.append((REPLAYS, b"%d" % (letter.replays + 1)))
    record = letter.record
    partition = letter.partition if to == "origin" else None
    return Replay(topic, partition, record.key, record.value, with_ours(letter.headers, ours))


def _replay_to_group(letter: DeadLetter, topics: Sequence[str], now_ms: int) -> Replay:
    group, topic = letter.group, letter.topic
    if group is None or topic is None:
        raise ConfigurationError("the dead letter does not name its group and topic: name a topic")
    tiers = [tier for name in topics if (tier := tier_of_topic(name, group, topic)) is not None]
    if not tiers:
        raise ConfigurationError(f"{group} has no retry topic for {topic}: name a topic instead")
    first: Tier = min(tiers)
    record = letter.record
    partition = record.partition if letter.partition is None else letter.partition
    hop = Hop(
        id=letter.id or f"{record.topic}/{record.partition}/{record.offset}",
        topic=topic,
        partition=partition,
        offset=record.offset if letter.offset is None else letter.offset,
        timestamp=record.timestamp if letter.timestamp is None else letter.timestamp,
        group=group,
        handler=letter.handler or "",
        due_at=now_ms,
        replays=letter.replays + 1,
    )
    headers = hop.headers(letter.headers)
    return Replay(retry_topic(group, topic, first), partition, record.key, record.value, headers)


def state_key(record: Record) -> bytes:
    """The key under which the compacted state topic keeps what became of a dead letter."""
    return f"{record.topic}/{record.partition}/{record.offset}".encode()


class Resolution(msgspec.Struct, frozen=True, omit_defaults=True):
    """What became of a dead letter: the value in the state topic, as JSON.

    ``at`` is in milliseconds since the epoch; ``job`` and ``actor`` say through what and by whom.
    """

    state: Literal["replayed", "discarded", "quarantined"]
    at: int
    job: str = ""
    actor: str = ""

    def encode(self) -> bytes:
        """The bytes of the value."""
        return msgspec.json.encode(self)

    @classmethod
    def decode(cls, value: bytes) -> Resolution:
        """Read a value. Raises ``msgspec.DecodeError`` if it is none."""
        return msgspec.json.decode(value, type=cls)

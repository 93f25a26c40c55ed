"""Real clients against Apache Kafka 4.3, with our coordinator in its place.

The capture of ``tests/wire`` holds what eight kinds of clients said to Kafka and what it answered.
Every request about a classic group is handed to the coordinator at the same distance in time, the
random part of every member id being the one that Kafka drew. Then every answer must be Kafka's, to
the last field.
"""

from __future__ import annotations

import gzip
import json
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from mq.wire import schema
from mq.wire.framing import parse_request
from mq.wire.messages import REQUESTS

Owner = Any

CAPTURE = Path(__file__).parents[1] / "wire" / "golden" / "kafka-4.3-wire.jsonl.gz"
COMMIT, FETCH, JOIN, BEAT, LEAVE, SYNC, DESCRIBE, DELETE = 8, 9, 11, 12, 13, 14, 15, 42
TXN_COMMIT = 28
UUID_LENGTH = 36


class Exchange(NamedTuple):
    """A request, and what Kafka answered."""

    time_ms: int
    key: int
    version: int
    client_id: str
    request: Any
    answer: Any


def conversation() -> Iterator[Exchange]:
    """All exchanges about groups, in the order of their requests."""
    asked: dict[tuple[int, int], tuple[int, Any]] = {}
    answered: list[tuple[int, Exchange]] = []
    with gzip.open(CAPTURE, "rt") as lines:
        for order, line in enumerate(lines):
            frame = json.loads(line)
            key, version = frame["k"], frame["v"]
            if key not in {COMMIT, FETCH, JOIN, BEAT, LEAVE, SYNC, DESCRIBE, DELETE, TXN_COMMIT}:
                continue
            data, place = bytes.fromhex(frame["x"]), (frame["c"], frame["cid"])
            if frame["d"] == "q":
                asked[place] = order, (int(frame["t"] * 1_000), *parse_request(data))
                continue
            first, (time_ms, header, request) = asked.pop(place)
            kind = REQUESTS[key]
            flexible = kind.FLEXIBLE is not None and version >= kind.FLEXIBLE
            answer, _ = schema.decode(kind.RESPONSE, data, version, 5 if flexible else 4)
            client_id = header.client_id or ""
            answered.append((first, Exchange(time_ms, key, version, client_id, request, answer)))
    return (exchange for _, exchange in sorted(answered, key=lambda each: each[0]))


def groups_of(exchange: Exchange) -> set[str]:
    """The ids of the groups that a request names."""
    request = exchange.request
    if exchange.key == DESCRIBE:
        return set(request.groups)
    if exchange.key == DELETE:
        return set(request.groups_names)
    if exchange.key == FETCH and exchange.version >= 8:
        return {group.group_id for group in request.groups}
    return {request.group_id}


def is_foreign(exchange: Exchange, transactional: set[str]) -> bool:
    """Whether an answer depends on a transaction, or on Kafka still making its state topic."""
    offsets = exchange.key in {FETCH, TXN_COMMIT} and groups_of(exchange) & transactional
    return bool(offsets) or getattr(exchange.answer, "error_code", 0) == 16


class AllTopics:
    """A catalog in which every topic exists that a client speaks of."""

    def topic_name(self, topic_id: uuid.UUID) -> str:
        return str(topic_id)

    def topic_id(self, name: str) -> uuid.UUID:
        return uuid.UUID(name) if len(name) == UUID_LENGTH else uuid.UUID(int=1)

    def has_partition(self, name: str, partition: int) -> bool:
        return True


def test_kafkas_clients_get_kafkas_answers(new_owner: Callable[..., Owner]) -> None:
    exchanges = list(conversation())
    classic = set().union(*(groups_of(each) for each in exchanges if each.key == JOIN))
    transactional = set().union(*(groups_of(each) for each in exchanges if each.key == TXN_COMMIT))
    owner = new_owner()
    owner.coordinator._offsets._topics = AllTopics()
    owner.coordinator._random_id = lambda: drawn
    tokens = {}
    started_ms = exchanges[0].time_ms - owner.now.monotonic_ms
    for each in exchanges:
        if not groups_of(each) <= classic or is_foreign(each, transactional):
            continue
        owner.advance(max(each.time_ms - started_ms - owner.now.monotonic_ms, 0))
        drawn = each.answer.member_id[-UUID_LENGTH:] if each.key == JOIN else ""
        tokens[owner.send(each.request, each.version, each.client_id)] = each
    owner.advance(60_000)
    assert len(tokens) > 80
    for token, each in tokens.items():
        assert owner.answers[token] == each.answer, each

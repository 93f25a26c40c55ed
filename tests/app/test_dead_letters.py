"""Provenance and dead letters: written once, read from anyone, replayed without a changed byte."""

from __future__ import annotations

import struct
import uuid
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mq.app.dead_letters import (
    DeadLetter,
    Resolution,
    dead_letter_topic,
    parse_dead_letter_topic,
    replay,
    state_key,
)
from mq.app.provenance import (
    MESSAGE_BYTES_MAX,
    TRACEBACK_BYTES_MAX,
    Death,
    Hop,
    fingerprint,
    user_headers,
)
from mq.app.retry import Dead
from mq.errors import ConfigurationError
from mq.record import Headers, Record

HOP = Hop(
    id="0198-id",
    topic="orders.placed",
    partition=3,
    offset=42,
    timestamp=1_700_000_000_000,
    group="billing",
    handler="billing.main.charge",
    attempt=2,
    first_failed_at=1_700_000_000_100,
    failed_at=1_700_000_000_200,
    due_at=1_700_000_010_200,
)

users = st.lists(
    st.tuples(
        st.text(min_size=1, max_size=8).filter(lambda name: not name.startswith(("mq-", "__"))),
        st.none() | st.binary(max_size=8),
    ),
    max_size=5,
).map(tuple)


def raised(error: Exception) -> Exception:
    try:
        raise error
    except Exception as caught:
        return caught


def letter(headers: Headers, topic: str = "dlq.billing.orders.placed") -> DeadLetter:
    record = Record(topic, 3, 7, 1_700_000_000_300, b"key", b"value", headers)
    return DeadLetter.from_record(record)


@given(users)
def test_headers_of_the_record_stay_byte_for_byte_in_their_order(headers: Headers) -> None:
    hopped = HOP.headers(headers, ValueError("x"))
    died = Death(HOP, ValueError("x")).headers(hopped)
    for marked in (hopped, died):
        assert marked[: len(headers)] == headers
        assert user_headers(marked) == (*headers, ("mq-id", b"0198-id"))


@given(users, st.integers(0, 99), st.integers(0, 2**53), st.integers(0, 9))
def test_a_hop_reads_back_as_it_was_written(
    headers: Headers, attempt: int, due_at: int, replays: int
) -> None:
    hop = Hop("id", "t", 1, 2, 3, "g", "h", attempt, 4, 5, due_at, replays)
    nothing = Hop("", "", 0, 0, 0, "", "")
    assert Hop.read(hop.headers(headers), nothing) == hop


@given(st.lists(st.tuples(st.sampled_from(["mq-attempt", "mq-due-at", "mq-id"]), st.binary())))
def test_foreign_records_in_a_retry_topic_never_fail(headers: list[tuple[str, bytes]]) -> None:
    assert Hop.read(headers, HOP).topic == HOP.topic


def test_a_second_death_replaces_the_headers_of_the_first() -> None:
    once = Death(HOP, raised(ValueError("first"))).headers([("a", b"1")])
    twice = Death(HOP, raised(KeyError("second"))).headers(once)
    names = [name for name, _ in twice]
    assert len(names) == len(set(names))
    assert letter(twice).error_type == "KeyError"
    assert sum(len(n) + len(v or b"") for n, v in twice) < 10_000


def test_an_id_that_was_there_before_stays() -> None:
    headers = HOP.headers([("mq-id", b"original")])
    assert [value for name, value in headers if name == "mq-id"] == [b"original"]


def test_a_dead_letter_tells_everything() -> None:
    error = raised(ValueError("no such customer: 17"))
    read = letter(Death(HOP, error).headers([("content-type", b"application/json")]))
    assert read.family == "mq"
    assert read.headers == (("content-type", b"application/json"), ("mq-id", b"0198-id"))
    assert (read.id, read.topic, read.partition, read.offset) == (HOP.id, HOP.topic, 3, 42)
    assert (read.group, read.handler, read.attempt) == ("billing", "billing.main.charge", 2)
    assert (read.timestamp, read.first_failed_at, read.failed_at) == (
        HOP.timestamp,
        HOP.first_failed_at,
        HOP.failed_at,
    )
    assert (read.error_type, read.error_message) == ("ValueError", "no such customer: 17")
    assert read.error_traceback is not None
    assert "in raised" in read.error_traceback
    assert read.fingerprint == fingerprint(error)


def test_other_tools_find_the_headers_of_kip_1191() -> None:
    headers = dict(Death(HOP, ValueError("no")).headers(()))
    assert headers["__dlq.errors.topic"] == b"orders.placed"
    assert headers["__dlq.errors.partition"] == b"3"
    assert headers["__dlq.errors.offset"] == b"42"
    assert headers["__dlq.errors.group"] == b"billing"
    assert headers["__dlq.errors.delivery.count"] == b"2"
    assert headers["__dlq.errors.message"] == b"no"


def test_a_letter_too_large_sheds_its_traceback_and_then_its_message() -> None:
    death = Death(HOP, raised(ValueError("x" * 100_000)))
    kept_all = dict(death.headers(()))
    kept_message = dict(death.headers((), keep="message"))
    kept_type = dict(death.headers((), keep="type"))
    assert "mq-error-traceback" in kept_all
    assert "mq-error-traceback" not in kept_message
    assert "mq-error-message" in kept_message
    assert "mq-error-message" not in kept_type
    assert kept_type["mq-error-type"] == b"ValueError"


def deep(depth: int) -> None:
    if depth:
        deep(depth - 1)
    raise RecursionError("d" * 50_000)


class UnspeakableError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("not even that")


@pytest.mark.parametrize(
    "error", [ValueError("x" * 10**6), RecursionError(), UnspeakableError(), ValueError("\udcff")]
)
def test_no_error_is_too_strange_for_a_letter(error: Exception) -> None:
    headers = dict(Death(HOP, raised(error)).headers(()))
    assert len(headers["mq-error-message"] or b"") <= MESSAGE_BYTES_MAX
    assert len(headers["mq-error-traceback"] or b"") <= TRACEBACK_BYTES_MAX


def test_a_long_traceback_keeps_its_end() -> None:
    try:
        deep(200)
    except RecursionError as error:
        headers = dict(Death(HOP, error).headers(()))
    trace = headers["mq-error-traceback"] or b""
    assert len(trace) <= TRACEBACK_BYTES_MAX
    assert b"..." in trace[:4]


def fails_for(customer: str) -> Exception:
    return raised(LookupError(f"no customer {customer} in row {len(customer)}"))


def fails_elsewhere(customer: str) -> Exception:
    try:
        raise LookupError(f"no customer {customer} in row {len(customer)}")
    except LookupError as error:
        return error


def test_a_fingerprint_masks_numbers_and_ids_and_nothing_else() -> None:
    one, other = fails_for(str(uuid.uuid4())), fails_for(str(uuid.uuid4()))
    assert fingerprint(one) == fingerprint(other)
    assert fingerprint(one) != fingerprint(raised(LookupError("something else")))
    assert fingerprint(one) != fingerprint(raised(KeyError(str(one))))
    assert fingerprint(one) != fingerprint(fails_elsewhere(str(uuid.uuid4())))


def test_verdicts_are_named_as_they_are_imported() -> None:
    assert dict(Death(HOP, Dead("no")).headers(()))["mq-error-type"] == b"mq.Dead"


SPRING = {
    "original-topic": b"orders",
    "original-partition": struct.pack(">i", 3),
    "original-offset": struct.pack(">q", 9),
    "original-timestamp": struct.pack(">q", 1_700_000_000_000),
    "exception-fqcn": b"org.springframework.kafka.listener.ListenerExecutionFailedException",
    "exception-cause-fqcn": b"java.lang.IllegalStateException",
    "exception-message": b"boom",
    "exception-stacktrace": b"at x.y.Z",
}


@pytest.mark.parametrize(
    ("headers", "family", "expected"),
    [
        (
            {
                **{"kafka_dlt-" + k: v for k, v in SPRING.items()},
                "kafka_dlt-original-consumer-group": b"g",
            },
            "spring",
            ("orders", 3, 9, "g", "java.lang.IllegalStateException", "boom"),
        ),
        (
            {"kafka_" + k: v for k, v in SPRING.items()},
            "spring",
            ("orders", 3, 9, None, "java.lang.IllegalStateException", "boom"),
        ),
        (
            {
                "__streams.errors.exception": b"org.X",
                "__streams.errors.message": b"boom",
                "__streams.errors.topic": b"orders",
                "__streams.errors.partition": b"3",
                "__streams.errors.offset": b"9",
            },
            "streams",
            ("orders", 3, 9, None, "org.X", "boom"),
        ),
        (
            {
                "__connect.errors.topic": b"orders",
                "__connect.errors.partition": b"3",
                "__connect.errors.offset": b"9",
                "__connect.errors.connector.name": b"sink",
                "__connect.errors.exception.class.name": b"org.Y",
                "__connect.errors.exception.message": b"boom",
            },
            "connect",
            ("orders", 3, 9, "sink", "org.Y", "boom"),
        ),
        (
            {
                "__dlq.errors.topic": b"orders",
                "__dlq.errors.partition": b"3",
                "__dlq.errors.offset": b"9",
                "__dlq.errors.group": b"share",
                "__dlq.errors.message": b"boom",
            },
            "kip-1191",
            ("orders", 3, 9, "share", None, "boom"),
        ),
        ({"a": b"1"}, "unknown", (None, None, None, None, None, None)),
    ],
)
def test_letters_of_others_are_read(
    headers: dict[str, bytes], family: str, expected: tuple[Any, ...]
) -> None:
    read = letter((("user", b"x"), *headers.items()), topic="orders.DLT")
    assert read.family == family
    told = (read.topic, read.partition, read.offset, read.group, read.error_type)
    assert (*told, read.error_message) == expected
    if family != "unknown":
        assert read.headers == (("user", b"x"),)
        assert read.fingerprint is not None


@given(
    st.lists(
        st.tuples(st.sampled_from(["mq-attempt", "kafka_dlt-original-offset", "x"]), st.binary())
    )
)
def test_reading_a_letter_never_fails(headers: list[tuple[str, bytes]]) -> None:
    assert letter(tuple(headers)).record.value == b"value"


TOPICS = [
    "orders.placed",
    "retry.billing.orders.placed.1m",
    "retry.billing.orders.placed.10s",
    "retry.shipping.orders.placed.1s",
    "elsewhere",
]


def dead(headers: Headers = (("user", b"x"),)) -> DeadLetter:
    return letter(Death(HOP, raised(ValueError("no"))).headers(headers))


def test_a_redrive_goes_to_the_first_tier_of_the_group_that_failed() -> None:
    plan = replay(dead(), topics=TOPICS, now_ms=5)
    assert (plan.topic, plan.partition) == ("retry.billing.orders.placed.10s", 3)
    assert (plan.key, plan.value) == (b"key", b"value")
    hop = Hop.read(plan.headers, Hop("", "", 0, 0, 0, "", ""))
    assert (hop.attempt, hop.first_failed_at, hop.due_at, hop.replays) == (0, None, 5, 1)
    assert (hop.id, hop.topic, hop.offset, hop.handler) == (HOP.id, HOP.topic, 42, HOP.handler)
    assert not [name for name, _ in plan.headers if name.startswith("mq-error")]


@pytest.mark.parametrize(
    ("to", "topic", "partition"), [("origin", "orders.placed", 3), ("elsewhere", "elsewhere", None)]
)
def test_a_redrive_elsewhere_leaves_only_id_and_count(
    to: str, topic: str, partition: int | None
) -> None:
    plan = replay(dead(), topics=TOPICS, now_ms=5, to=to)
    assert (plan.topic, plan.partition) == (topic, partition)
    assert plan.headers == (("user", b"x"), ("mq-id", b"0198-id"), ("mq-replays", b"1"))


def test_redrives_are_counted_through_the_next_death() -> None:
    plan = replay(dead(), topics=TOPICS, now_ms=5)
    hop = Hop.read(plan.headers, Hop("", "", 0, 0, 0, "", ""))
    again = letter(Death(hop, raised(ValueError("no"))).headers(plan.headers))
    assert again.replays == 1
    assert replay(again, topics=TOPICS, now_ms=6).headers[-1] == ("mq-due-at", b"6")
    read = Hop.read(replay(again, topics=TOPICS, now_ms=6).headers, hop)
    assert read.replays == 2


@given(users)
def test_a_redrive_changes_no_byte_of_the_users(headers: Headers) -> None:
    for to in (None, "origin", "elsewhere"):
        plan = replay(dead(headers), topics=TOPICS, now_ms=1, to=to)
        assert plan.headers[: len(headers)] == headers


def test_a_redrive_that_has_no_goal_says_so() -> None:
    foreign = letter((("a", b"1"),), topic="somebodys.dlt")
    for to in (None, "origin"):
        with pytest.raises(ConfigurationError):
            replay(foreign, topics=TOPICS, now_ms=1, to=to)
    with pytest.raises(ConfigurationError, match="nowhere"):
        replay(foreign, topics=TOPICS, now_ms=1, to="nowhere")
    with pytest.raises(ConfigurationError, match="no retry topic"):
        replay(dead(), topics=["orders.placed"], now_ms=1)


def test_a_letter_of_another_system_can_be_sent_to_a_topic() -> None:
    plan = replay(
        letter((("a", b"1"),), topic="somebodys.dlt"), topics=TOPICS, now_ms=1, to="elsewhere"
    )
    assert plan.headers == (("a", b"1"), ("mq-replays", b"1"))


def test_names_of_dead_letter_topics_say_group_and_topic() -> None:
    assert parse_dead_letter_topic(dead_letter_topic("g-1", "a.b.c")) == ("g-1", "a.b.c")
    assert parse_dead_letter_topic("orders.DLT") is None


def test_the_state_of_a_letter_is_kept_by_its_place() -> None:
    assert state_key(dead().record) == b"dlq.billing.orders.placed/3/7"
    resolution = Resolution("replayed", at=5, job="j", actor="me")
    assert Resolution.decode(resolution.encode()) == resolution
    assert Resolution.decode(b'{"state":"discarded","at":1,"later":true}').state == "discarded"

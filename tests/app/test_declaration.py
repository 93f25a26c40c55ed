"""Declarations: what cannot work is refused where it is written, in one clear sentence."""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

import mq
from mq import App, ConfigurationError, Lanes, Message, RetryPolicy, Router
from mq.app.declaration import Declaration
from mq.app.retry import parse_tiers
from mq.app.topics import Source

if TYPE_CHECKING:
    from decimal import Decimal as OnlyForChecking


@dataclass
class Order:
    id: int


def declared(function: Callable[..., Any], *topics: str, **options: Any) -> Declaration:
    app = App("test")
    app.handler(*(topics or ("t",)), **options)(function)
    (declaration,) = app.handlers
    return declaration


def called(function: Callable[..., Any]) -> Any:
    """What the function gets for a payload 7 and a message, coroutines awaited by hand."""
    declaration = declared(function)
    result = declaration.call(7, Message.fake(offset=3))
    if declaration.is_async:
        try:
            result.send(None)
        except StopIteration as stop:
            return stop.value
    return result


async def payload_only(number: int) -> Any:
    return number


async def message_only(message: Message) -> Any:
    return message.offset


async def both(number: int, message: Message) -> Any:
    return number, message.offset


async def both_reversed(message: Message, number: int) -> Any:
    return number, message.offset


async def by_keyword(*, message: Message, number: int) -> Any:
    return number, message.offset


def synchronous(number: int, /, message: Message) -> Any:
    return number, message.offset


async def nothing() -> Any:
    return "called"


async def with_default(number: int, rate: float = 1.5) -> Any:
    return number, rate


async def untyped(value) -> Any:  # type: ignore[no-untyped-def]
    return value


class Service:
    async def method(self, number: int) -> Any:
        return number

    async def __call__(self, message: Message, number: int) -> Any:
        return number, message.offset


def bound_later(factor: int, number: int) -> Any:
    return factor * number


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (payload_only, 7),
        (message_only, 3),
        (both, (7, 3)),
        (both_reversed, (7, 3)),
        (by_keyword, (7, 3)),
        (synchronous, (7, 3)),
        (nothing, "called"),
        (with_default, (7, 1.5)),
        (untyped, 7),
        (Service().method, 7),
        (Service(), (7, 3)),
        (functools.partial(bound_later, 6), 42),
    ],
)
def test_a_handler_gets_what_it_asks_for(function: Callable[..., Any], expected: Any) -> None:
    assert called(function) == expected


def test_a_handler_stays_the_plain_function_that_it_is() -> None:
    app = App("test")
    assert app.handler("t")(synchronous) is synchronous
    assert synchronous(1, Message.fake(offset=9)) == (1, 9)


def test_types_resolve_with_the_names_of_the_place_where_they_are_used() -> None:
    @dataclass
    class Local:
        id: int

    app = App("test")

    @app.handler("t")
    async def handle(order: Local) -> None: ...

    (declaration,) = app.handlers
    assert declaration.payloads is not None
    assert declaration.payloads.read(b'{"id": 1}', None) == Local(1)


async def only_for_checking(amount: OnlyForChecking) -> None: ...


async def two_payloads(one: int, other: int) -> None: ...


async def two_messages(one: Message, other: Message) -> None: ...


class Opaque: ...


async def opaque(value: Opaque) -> None: ...


async def ambiguous(value: Order | Opaque) -> None: ...


async def generator(number: int) -> AsyncIterator[int]:
    yield number


@pytest.mark.parametrize(
    ("function", "sentence"),
    [
        (only_for_checking, "OnlyForChecking, which does not exist when the program runs"),
        (two_payloads, "takes one and other, but a record has one payload"),
        (two_messages, "asks for the message twice"),
        (opaque, "no payload can be read as"),
        (generator, "is a generator"),
    ],
)
def test_a_signature_that_cannot_work_is_refused(
    function: Callable[..., Any], sentence: str
) -> None:
    with pytest.raises(ConfigurationError, match=sentence):
        declared(function)


@pytest.mark.parametrize("topic", ["", ".", "..", "with space", "with/slash", "ümlaut", "x" * 250])
def test_illegal_topics_are_refused(topic: str) -> None:
    with pytest.raises(ConfigurationError, match="cannot be a topic"):
        declared(nothing, topic)


def test_a_topic_whose_retry_topics_would_have_too_long_a_name_is_refused() -> None:
    source = Source("billing", "x" * 240, parse_tiers(["10m"]))
    with pytest.raises(ConfigurationError, match="more than 249 characters"):
        source.check()


@pytest.mark.parametrize("group", ["", "a.b", "with space", "ümlaut"])
def test_illegal_groups_are_refused(group: str) -> None:
    with pytest.raises(ConfigurationError, match="cannot be a consumer group"):
        App(group)
    if group:
        with pytest.raises(ConfigurationError, match="cannot be a consumer group"):
            declared(nothing, group=group)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"start": "yesterday"}, "start='yesterday'"),
        ({"unmatched": "keep"}, "unmatched='keep'"),
        ({"codec": "pickle"}, "there is no codec 'pickle'"),
        ({"match": {}}, "match="),
        ({"match": {"a": 1}}, "match="),
        ({"sends": "not a topic"}, "cannot be a topic"),
    ],
)
def test_options_that_mean_nothing_are_refused(options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ConfigurationError, match=sentence):
        declared(payload_only, **options)


def test_no_topic_and_the_same_topic_twice_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="names no topic"):
        App("test").handler()(nothing)
    with pytest.raises(ConfigurationError, match="twice"):
        App("test").handler("t", "t")(nothing)


def test_routers_bring_handlers_into_the_groups_of_the_app() -> None:
    router, app = Router(), App("billing")
    app.include(router)
    router.handler("a")(nothing)
    router.handler("b", group="other")(nothing)
    app.handler("c")(nothing)
    found = {handler.topics: handler.group for handler in app.handlers}
    assert found == {("a",): "billing", ("b",): "other", ("c",): "billing"}
    assert {handler.name for handler in app.handlers} == {f"{__name__}.nothing"}


def test_the_defaults_are_those_that_are_told() -> None:
    declaration = declared(nothing)
    assert declaration.options.lanes == Lanes(order="key", concurrency=64, timeout=None)
    assert [tier.name for tier in declaration.tiers] == ["10s", "1m", "10m", "1h"]
    policy = declaration.options.retry
    assert policy is not None
    assert policy.in_place == 1.0
    assert [tier.name for tier in declared(nothing, retry=None).tiers] == ["10s"]
    assert [t.name for t in declared(nothing, retry=RetryPolicy(tiers=["2m", "3s"])).tiers] == [
        "3s",
        "2m",
    ]


def test_every_public_name_can_be_imported_and_none_is_there_by_accident() -> None:
    assert sorted(mq.__all__) == mq.__all__
    for name in mq.__all__:
        assert getattr(mq, name).__doc__, f"{name} has no docstring"
    with pytest.raises(AttributeError):
        mq.no_such_name  # noqa: B018


def test_the_public_names_are_these() -> None:
    assert mq.__all__ == [
        "App",
        "ApplicationError",
        "BrokerUnreachable",
        "Codec",
        "ConfigurationError",
        "Dead",
        "Drop",
        "EncodeError",
        "ErrorCode",
        "InvalidPayloadError",
        "KafkaError",
        "Lanes",
        "Limits",
        "Message",
        "MqError",
        "PayloadError",
        "PendingReceipt",
        "QueueFull",
        "Receipt",
        "RetryIn",
        "RetryPolicy",
        "Router",
        "Send",
        "SyncClient",
        "Tombstone",
        "UndecodableError",
    ]

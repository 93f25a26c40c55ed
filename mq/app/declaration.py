"""What a handler declares: topics, group, types, policies, all checked where it is written.

A declaration is made once, at decoration, and never changes. It knows how to call its function but
not when: neither brokers nor event loops exist here.
"""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from mq.app.codecs import Codec, Payloads
from mq.app.lanes import Lanes
from mq.app.message import Message
from mq.app.provenance import RawHeaders, last_values
from mq.app.retry import DEFAULT_TIERS, RetryPolicy, Tier, parse_tiers
from mq.app.topics import check_group, check_topic
from mq.errors import ConfigurationError

__all__ = ["Declaration", "Options", "check_conflicts"]

CLOUD_EVENT_TYPE: Final = "ce_type"
"""The header that holds a CloudEvent's type in Kafka's binary mode."""

_DEFAULT_TIERS: Final = parse_tiers(DEFAULT_TIERS)


@dataclass(frozen=True, slots=True)
class Options:
    """The options of ``handler(...)``, as given."""

    group: str | None = None
    start: Literal["earliest", "latest"] = "earliest"
    codec: str | Codec | None = None
    sends: str | None = None
    match: str | Mapping[str, str] | None = None
    unmatched: Literal["dead", "drop"] = "dead"
    retry: RetryPolicy | None = field(default_factory=RetryPolicy)
    lanes: Lanes = field(default_factory=Lanes)


@dataclass(frozen=True, slots=True, eq=False)
class Declaration:
    """One handler of an application.

    ``payloads`` is None if the function takes no payload. ``call`` takes the payload and the
    message, whichever of them the function asks for. ``tiers`` are those of its retries, shortest
    first.
    """

    name: str
    function: Callable[..., Any]
    topics: tuple[str, ...]
    group: str
    options: Options
    match: Mapping[str, bytes]
    is_async: bool
    payloads: Payloads | None
    wants_message: bool
    call: Callable[[Any, Message | None], Any]
    tiers: tuple[Tier, ...]

    @classmethod
    def of(
        cls,
        function: Callable[..., Any],
        topics: tuple[str, ...],
        group: str,
        options: Options,
        names: Mapping[str, Any],
    ) -> Declaration:
        """Check and complete what was declared.

        Args:
            function: the handler.
            topics: what it handles.
            group: its consumer group.
            options: the rest.
            names: the names that its annotations may use beside those of its module.

        Raises:
            ConfigurationError: it cannot work; the text says what to correct.
        """
        name = _name(function)
        if not topics:
            raise ConfigurationError(f"the handler {name} names no topic")
        for topic in (*topics, *((options.sends,) if options.sends else ())):
            check_topic(topic)
        if len(set(topics)) != len(topics):
            raise ConfigurationError(f"the handler {name} names a topic twice")
        _check_choices(name, options)
        payload, message = _parameters(name, function, names)
        return cls(
            name=name,
            function=function,
            topics=topics,
            group=check_group(group),
            options=options,
            match=_matched_headers(name, options.match),
            is_async=_is_async(name, function),
            payloads=None if payload is None else _payloads(name, payload, options.codec),
            wants_message=message is not None,
            call=_caller(function, payload.parameter if payload else None, message),
            tiers=_tiers(options.retry),
        )

    def matches(self, headers: RawHeaders | None) -> bool:
        """Whether a record with these headers is for this handler."""
        if not self.match:
            return True
        found = last_values(headers)
        return all(found.get(name) == value for name, value in self.match.items())


def _tiers(policy: RetryPolicy | None) -> tuple[Tier, ...]:
    """The retry tiers of a policy; without a policy those that a redrive needs."""
    return _DEFAULT_TIERS[:1] if policy is None else parse_tiers(policy.tiers)


def check_conflicts(declarations: Iterable[Declaration]) -> None:
    """Make sure that no record could have two handlers in one group, and their settings agree.

    Raises:
        ConfigurationError: one could.
    """
    seen: dict[tuple[str, str], list[Declaration]] = {}
    for declaration in declarations:
        for topic in declaration.topics:
            others = seen.setdefault((declaration.group, topic), [])
            for other in others:
                _check_pair(declaration, other, topic)
            others.append(declaration)


def _check_pair(one: Declaration, other: Declaration, topic: str) -> None:
    both = f"{other.name} and {one.name}"
    if not any(one.match[name] != other.match[name] for name in one.match.keys() & other.match):
        raise ConfigurationError(
            f"{both} both handle {topic} in the group {one.group}: "
            "give one of them another group, or both a match that tells their records apart"
        )
    for option in ("start", "unmatched"):
        if getattr(one.options, option) != getattr(other.options, option):
            raise ConfigurationError(f"{both} handle {topic} together but differ in {option}=")


def _name(function: Callable[..., Any]) -> str:
    inner = inspect.unwrap(function)
    inner = getattr(inner, "func", inner)  # functools.partial
    module = getattr(inner, "__module__", None) or type(inner).__module__
    return f"{module}.{getattr(inner, '__qualname__', type(inner).__qualname__)}"


def _check_choices(name: str, options: Options) -> None:
    for option, choices in (("start", ("earliest", "latest")), ("unmatched", ("dead", "drop"))):
        if getattr(options, option) not in choices:
            raise ConfigurationError(
                f"the handler {name} has {option}={getattr(options, option)!r}; "
                f"it is {' or '.join(map(repr, choices))}"
            )


def _is_async(name: str, function: Callable[..., Any]) -> bool:
    call = getattr(function, "__call__", None)  # noqa: B004 - the method of a callable object
    for candidate in (inspect.unwrap(function), call):
        if inspect.isasyncgenfunction(candidate) or inspect.isgeneratorfunction(candidate):
            raise ConfigurationError(f"the handler {name} is a generator; write a plain function")
        if inspect.iscoroutinefunction(candidate):
            return True
    return False


@dataclass(frozen=True, slots=True)
class _Payload:
    parameter: inspect.Parameter
    annotation: Any


def _parameters(
    name: str, function: Callable[..., Any], names: Mapping[str, Any]
) -> tuple[_Payload | None, inspect.Parameter | None]:
    """Find the payload's parameter and the message's; either may be missing."""
    payload: _Payload | None = None
    message: inspect.Parameter | None = None
    for parameter in inspect.signature(function).parameters.values():
        annotation = _resolve(name, function, parameter, names)
        if annotation is Message:
            if message is not None:
                raise ConfigurationError(f"the handler {name} asks for the message twice")
            message = parameter
        elif parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            continue
        elif payload is None:
            payload = _Payload(parameter, annotation)
        elif parameter.default is parameter.empty:
            raise ConfigurationError(
                f"the handler {name} takes {payload.parameter.name} and {parameter.name}, but a "
                "record has one payload; everything else about it is in a parameter: Message"
            )
    return payload, message


def _resolve(
    name: str,
    function: Callable[..., Any],
    parameter: inspect.Parameter,
    names: Mapping[str, Any],
) -> Any:
    """The type that a parameter is annotated with; Any if it is not."""
    if parameter.annotation is parameter.empty:
        return Any
    inner = inspect.unwrap(getattr(function, "func", function))
    if not hasattr(inner, "__globals__"):  # an object that can be called
        inner = getattr(type(inner), "__call__", inner)  # noqa: B004
    known = getattr(inner, "__globals__", {})
    holder = type("holder", (), {"__annotations__": {parameter.name: parameter.annotation}})
    try:
        hints = typing.get_type_hints(holder, known, dict(names), include_extras=True)
    except NameError as error:
        raise ConfigurationError(
            f"the handler {name} annotates {parameter.name} with {error.name}, which does not "
            "exist when the program runs; import it outside of TYPE_CHECKING, above the handler"
        ) from error
    except Exception as error:
        raise ConfigurationError(
            f"the annotation of {parameter.name} in the handler {name} cannot be read: {error}"
        ) from error
    return hints[parameter.name]


def _payloads(name: str, payload: _Payload, codec: str | Codec | None) -> Payloads:
    try:
        return Payloads(payload.annotation, codec)
    except ConfigurationError as error:
        raise ConfigurationError(f"the handler {name}: {error}") from error


def _caller(
    function: Callable[..., Any],
    payload: inspect.Parameter | None,
    message: inspect.Parameter | None,
) -> Callable[[Any, Message | None], Any]:
    """A call of the function with whichever of the two it takes, as quick as can be."""
    if payload is None and message is None:
        return lambda _payload, _message: function()
    by_position = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    first_two = list(inspect.signature(function).parameters.values())[:2]
    if message is None and payload in first_two[:1] and payload.kind in by_position:
        return lambda value, _message: function(value)
    if payload is None and message in first_two[:1] and message.kind in by_position:
        return lambda _payload, record: function(record)
    if first_two == [payload, message] and message is not None and message.kind in by_position:
        return function
    return _keyword_caller(function, payload, message)


def _keyword_caller(
    function: Callable[..., Any],
    payload: inspect.Parameter | None,
    message: inspect.Parameter | None,
) -> Callable[[Any, Message | None], Any]:
    """For all other orders and kinds of parameters."""
    wanted = [p for p in inspect.signature(function).parameters.values() if p in (payload, message)]

    def call(value: Any, record: Message | None) -> Any:
        positional, named = [], {}
        for parameter in wanted:
            given = value if parameter == payload else record
            if parameter.kind is parameter.POSITIONAL_ONLY:
                positional.append(given)
            else:
                named[parameter.name] = given
        return function(*positional, **named)

    return call


def _matched_headers(name: str, match: str | Mapping[str, str] | None) -> Mapping[str, bytes]:
    """The headers that a record must have; a bare string is the type of a CloudEvent."""
    if match is None:
        return {}
    wanted = {CLOUD_EVENT_TYPE: match} if isinstance(match, str) else dict(match)
    if not wanted or not all(isinstance(text, str) for pair in wanted.items() for text in pair):
        raise ConfigurationError(
            f"the handler {name} has match={match!r}; it is a CloudEvents type, or header names "
            "with the texts that they must have"
        )
    return {header: text.encode() for header, text in wanted.items()}

"""Where handlers are declared: the decorator, and collections of decorated functions."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import Any, Final, Literal, TypeVar

from mq.app.codecs import Codec
from mq.app.declaration import Declaration, Options
from mq.app.lanes import Lanes
from mq.app.retry import RetryPolicy

__all__ = ["Router"]

F = TypeVar("F", bound=Callable[..., Any])

_DEFAULT_POLICY: Final = RetryPolicy()
_DEFAULT_LANES: Final = Lanes()


class Router:
    """Handlers declared in one module, for an :class:`App` of another one to include."""

    def __init__(self) -> None:
        self._declarations: list[Declaration] = []
        self._included: list[Router] = []

    def handler(
        self,
        *topics: str,
        group: str | None = None,
        start: Literal["earliest", "latest"] = "earliest",
        codec: str | Codec | None = None,
        sends: str | None = None,
        match: str | Mapping[str, str] | None = None,
        unmatched: Literal["dead", "drop"] = "dead",
        retry: RetryPolicy | None = _DEFAULT_POLICY,
        lanes: Lanes = _DEFAULT_LANES,
    ) -> Callable[[F], F]:
        """Have the decorated function called for each record of the topics.

        The function stays the plain function that it is. It is async, or synchronous and then runs
        in a thread. A parameter annotated with :class:`Message` gets the record; the one other
        parameter gets its value, as the type it is annotated with. It may have either, both or
        none. A record counts as finished once the function has returned and everything it sent is
        acknowledged. If the function raises, its record is tried again as ``retry`` says, and when
        that gives up it becomes a dead letter in ``dlq.<group>.<topic>``.

        Args:
            topics: the topics.
            group: the consumer group; each group gets every record once. Default: the app's name.
            start: where a group that is new to a topic begins.
            codec: what values are written in whose records do not say it by a content type: the
                name of a codec or a :class:`Codec`. Default: JSON, and raw for ``bytes``.
            sends: the topic for what the function returns; it keeps the record's key. Returning
                None sends nothing, :class:`Tombstone` a null value; :class:`Send` says more.
            match: only records with these headers; a bare string is a CloudEvents type. Two
                handlers of one group can share a topic if their matches exclude each other.
            unmatched: what becomes of records that no handler of the group matches.
            retry: when to try again; None for never.
            lanes: order, concurrency and time limit.

        Raises:
            ConfigurationError: the declaration cannot work; the text says what to correct.
        """
        options = Options(group, start, codec, sends, match, unmatched, retry, lanes)
        names = sys._getframe(1).f_locals

        def declare(function: F) -> F:
            group = options.group or self._default_group()
            self._declarations.append(Declaration.of(function, topics, group, options, names))
            return function

        return declare

    def include(self, router: Router) -> None:
        """Add the handlers of another router, also those that it is yet to declare."""
        self._included.append(router)

    def _default_group(self) -> str:
        """The group of handlers that name none, until an app includes them and gives its own."""
        return "default"

    def _all(self) -> list[Declaration]:
        """All declarations, those of included routers too."""
        return self._declarations + [d for router in self._included for d in router._all()]

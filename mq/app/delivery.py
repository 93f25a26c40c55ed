"""One record's life, from its first attempt until it is dealt with.

A delivery waits in its lane, runs, and then ends in one of four ways: its sends are acknowledged;
it is dropped by verdict; it hops to a retry topic; or it dies into the dead letters. Whatever must
be published for that is acknowledged before the record counts as finished, and what cannot be
published is tried for ever: the record stays unfinished meanwhile, so nothing is lost.

All of it happens on the event loop, except that a synchronous handler runs in a thread. Nothing
here awaits: what has to wait goes on in a callback, so no worker is held up by it.
"""

from __future__ import annotations

import inspect
import logging
import math
import time
from collections.abc import Hashable
from typing import Any, Final

from mq.app.codecs import CONTENT_TYPE
from mq.app.crew import RunningHandler
from mq.app.dead_letters import dead_letter_topic
from mq.app.forwarding import Forwarding, HeadersFor, headers_of
from mq.app.identity import derived_id, place_id
from mq.app.message import KEEP, Message, Send, Tombstone
from mq.app.partition import Partition
from mq.app.provenance import (
    ID,
    REPLAYS,
    Death,
    Hop,
    last_values,
    number,
    text,
    type_name,
    user_headers,
)
from mq.app.publishing import Content, PendingReceipt, as_key
from mq.app.retry import Again, Drop, Failure, decide, retry_topic, tier_for
from mq.client.consumer import RawMessage
from mq.errors import ConfigurationError

__all__ = ["Delivery"]

logger = logging.getLogger("mq.app")

# Where a delivery stands.
_NEW: Final = 0  # in its lane, and has never run
_RUNNING: Final = 1
_RESTING: Final = 2  # between two attempts, in the front of its lane
_QUEUED: Final = 3  # in its lane again for another attempt
_OUT: Final = 4  # in no lane


class Delivery:
    """A record and its handler. ``attempt`` is the number of the attempt that runs or ran last."""

    __slots__ = (
        "_awaited",
        "_due_at",
        "_first_failed_at",
        "_hop",
        "_ordinal",
        "_sends",
        "_stand",
        "attempt",
        "handler",
        "lane",
        "offset",
        "partition",
        "raw",
    )

    def __init__(
        self,
        handler: RunningHandler,
        partition: Partition,
        raw: RawMessage,
        offset: int,
        lane: Hashable | None,
        hop: Hop | None = None,
    ) -> None:
        self.handler = handler
        self.partition = partition
        self.raw = raw
        self.offset = offset
        self.lane = lane
        self._stand = _NEW
        self._hop = hop
        self._ordinal = 0
        self._due_at = 0  # when the attempt after the last one should start
        self._sends: list[PendingReceipt] | None = None
        self._awaited: set[PendingReceipt] | None = None
        if hop is None:
            self.attempt = 1
            self._first_failed_at: int | None = None
        else:
            self.attempt = hop.attempt + 1
            self._first_failed_at = hop.first_failed_at

    # running

    def took(self) -> None:
        """A worker takes it up."""
        if self._stand == _NEW:
            self.partition.busy += 1
        self._stand = _RUNNING
        self._ordinal = 0  # what is sent again has the same name again

    def start(self) -> Any:
        """Call the handler: the result of a plain function, the coroutine of an async one.

        Raises:
            PayloadError: the record's value cannot be given to it.
        """
        declaration, raw = self.handler.declaration, self.raw
        payload = message = None
        if declaration.payloads is not None:
            content_type: Any = None
            for header in raw.headers() or ():
                if header[0] == CONTENT_TYPE:
                    content_type = header[1]
            payload = declaration.payloads.read(raw.value(), content_type)
        if declaration.wants_message:
            message = self._message()
        return declaration.call(payload, message)

    def returned(self, result: Any) -> None:
        """The handler is done; its sends may not be."""
        if self.partition.fenced:
            self._end()
            return
        try:
            if result is not None:
                self._send_result(result)
        except Exception as error:  # of whatever it returned, or whatever that says of itself
            self.failed(error)
            return
        if self._sends is None:
            self._finish()
        else:
            self._await_sends(self._sends)

    def failed(self, error: BaseException) -> None:
        """The attempt failed, or the handler dropped the record."""
        if isinstance(error, Drop):
            logger.info("%s dropped: %s", self, error)
            self.returned(None)
            return
        for pending in self._sends or ():
            pending.disown()
        self._sends = self._awaited = None
        if self.partition.fenced:
            self._end()
        else:
            self._fail(error)

    def abandoned(self) -> None:
        """The attempt was cut off because the application ends at once; it did not fail."""
        self._end()

    def purged(self) -> None:
        """It was in its lane and has been taken out: its partition is being given up."""
        stood, self._stand = self._stand, _OUT
        if stood == _NEW:
            self.partition.intake.finished(len(self.raw))
        else:
            self.attempt -= 1  # the next one was only prepared
            self._give_up_rest()

    # sends

    def next_id(self) -> str:
        """The name of the next message that the handler sends."""
        ordinal, self._ordinal = self._ordinal, self._ordinal + 1
        return derived_id(self._origin().id, self.handler.declaration.name, ordinal)

    def sends(self, receipt: PendingReceipt) -> None:
        """The handler has something on its way."""
        if self._sends is None:
            self._sends = []
        self._sends.append(receipt)

    def sent(self, receipt: PendingReceipt) -> None:
        """Something that the handler sent is settled."""
        awaited = self._awaited
        if awaited is None or receipt not in awaited:
            return
        if receipt.error is not None:
            self.failed(receipt.error)
            return
        awaited.remove(receipt)
        if not awaited:
            self._finish()

    def _send_result(self, result: Any) -> None:
        if inspect.isawaitable(result):
            if inspect.iscoroutine(result):
                result.close()
            raise ConfigurationError(
                f"{self.handler.declaration.name} returned something to be awaited, so its work "
                "was not done: make it an async function"
            )
        sends = self.handler.declaration.options.sends
        if isinstance(result, Send):
            sending = result
        elif isinstance(result, Tombstone) or result is Tombstone:
            sending = Send(None)
        elif sends is None:
            return
        else:
            sending = Send(result)
        topic = sending.topic or sends
        if topic is None:
            raise ConfigurationError(
                f"{self.handler.declaration.name} returned {type(result).__name__} for no topic: "
                "name one in sends= or in Send(topic=)"
            )
        publisher = self.handler.publisher
        data, headers = publisher.write(topic, sending.value, sending.headers, None)
        pending = PendingReceipt(topic, publisher, self.next_id(), self)
        headers.append((ID, pending.id.encode()))
        key = self.raw.key() if sending.key is KEEP else as_key(sending.key)
        publisher.post(pending, Content(data, key, headers))
        self.sends(pending)

    def _await_sends(self, sends: list[PendingReceipt]) -> None:
        """Let go of the worker and the lane, not of the record."""
        awaited = set()
        for pending in sends:
            if not pending.is_settled:
                awaited.add(pending)
            elif pending.error is not None:
                self.failed(pending.error)
                return
        if awaited:
            self._awaited = awaited
            self._leave()
        else:
            self._finish()

    # failing

    def _fail(self, error: BaseException) -> None:
        now = _now_ms()
        if self._first_failed_at is None:
            self._first_failed_at = now
        failure = Failure(error, self.attempt, self._first_failed_at, now)
        decided = decide(self.handler.declaration.options.retry, failure)
        what = (self, self.attempt)
        why = (type_name(error), error)
        if not isinstance(decided, Again):
            line = "%s is dead after attempt %d (%s): %s: %s"
            logger.error(line, *what, decided.reason, *why, exc_info=error)
            self._die(error)
            return
        logger.info("%s failed at attempt %d, next in %.3g s: %s: %s", *what, decided.delay_s, *why)
        self._due_at = now + math.ceil(decided.delay_s * 1000) + 1  # now was cut to milliseconds
        if decided.in_place and not self.partition.closing:
            self._rest(decided.delay_s)
        else:
            self._hop_away(error)

    def _rest(self, delay_s: float) -> None:
        """Wait in place: the lane stays closed, the worker is free."""
        crew = self.handler.crew
        if self._stand == _RUNNING:  # not if only its sends failed, long after it ran
            self._stand = _RESTING
            crew.lanes.rest()
            crew.nudge()
        self.partition.resting[self] = self.handler.timers.after(delay_s, self.wake)

    def wake(self) -> None:
        """The rest is over, or has to be because the partition is being given up."""
        self.partition.resting.pop(self)
        if self.partition.closing:
            self._give_up_rest()
            return
        self.attempt += 1
        stood, self._stand = self._stand, _QUEUED
        if stood == _RESTING:
            self.handler.crew.again(self)
        else:
            self.handler.crew.enter_first(self)

    def _give_up_rest(self) -> None:
        """The next attempt was near; the partition's next owner will make it."""
        if self.partition.fenced:
            self._end()
        else:
            self._hop_away(None)

    def _hop_away(self, error: BaseException | None) -> None:
        hop = self._history(self._due_at)
        self._forward_to_tier(hop, error)

    def hop_again(self) -> None:
        """Move on to the next tier: this one is shorter than what is left of the delay."""
        self._start_outside()
        self._forward_to_tier(self._origin(), None)

    def _forward_to_tier(self, hop: Hop, error: BaseException | None) -> None:
        tier = tier_for(self.handler.declaration.tiers, (hop.due_at - _now_ms()) / 1000)
        headers = hop.headers(headers_of(self.raw), error)
        self._forward(
            retry_topic(self.handler.group, self.partition.topic, tier), lambda _: headers
        )

    def refused(self, error: BaseException) -> None:
        """Die without an attempt: no handler wants it."""
        self._start_outside()
        self.attempt -= 1
        if self._first_failed_at is None:
            self._first_failed_at = _now_ms()
        logger.error("%s is dead: %s", self, error)
        self._die(error)

    def _start_outside(self) -> None:
        """Start without ever having been in a lane."""
        self._stand = _OUT
        self.partition.busy += 1

    def _die(self, error: BaseException) -> None:
        death = Death(self._history(), error)
        self._forward(
            dead_letter_topic(self.handler.group, self.partition.topic),
            lambda keep: death.headers(headers_of(self.raw), keep),
        )

    # going elsewhere: what Forwarding wants to know of its owner

    def _forward(self, topic: str, headers: HeadersFor) -> None:
        """Publish the record elsewhere, and only then finish it here."""
        self._leave()
        handler = self.handler
        Forwarding(self, topic, headers, handler.publisher, handler.timers).begin()

    @property
    def number(self) -> int:
        return self.partition.number

    @property
    def is_given_up(self) -> bool:
        return self.partition.fenced

    def forwarded(self) -> None:
        self._finish()

    def not_forwarded(self) -> None:
        self.partition.group.could_not_forward()

    # ending

    def _finish(self) -> None:
        """The record is dealt with."""
        self._leave()
        partition = self.partition
        if partition.fenced:
            partition.intake.finished(len(self.raw))
            partition.ended()
        else:
            partition.finish(self.offset, len(self.raw))

    def _end(self) -> None:
        """The record is no longer ours, and stays unfinished as far as we are concerned."""
        self._leave()
        self.partition.intake.finished(len(self.raw))
        self.partition.ended()

    def _leave(self) -> None:
        """Let the next one of the lane run."""
        stood, self._stand = self._stand, _OUT
        if stood == _RUNNING:
            self.handler.crew.lanes.leave(self.lane)
        elif stood == _RESTING:
            self.handler.crew.open(self)

    # what it is

    def _message(self) -> Message:
        hop, raw = self._origin(), self.raw
        return Message(
            hop.topic,
            hop.partition,
            hop.offset,
            hop.timestamp,
            raw.key(),
            raw.value(),
            user_headers(headers_of(raw)),
            self.attempt,
            hop.id,
            self.handler.group,
        )

    def _history(self, due_at: int = 0) -> Hop:
        """The provenance, with what happened here."""
        return self._origin()._replace(
            attempt=self.attempt,
            first_failed_at=self._first_failed_at,
            failed_at=_now_ms(),
            due_at=due_at,
        )

    def _origin(self) -> Hop:
        """The record's provenance; one that never hopped has its own place for it."""
        if self._hop is not None:
            return self._hop
        raw, partition, handler = self.raw, self.partition, self.handler
        found = last_values(headers_of(raw))
        self._hop = Hop(
            id=text(found.get(ID))
            or place_id(handler.cluster, partition.topic, partition.number, self.offset),
            topic=partition.topic,
            partition=partition.number,
            offset=self.offset,
            timestamp=raw.timestamp()[1],
            group=handler.group,
            handler=handler.declaration.name,
            replays=number(found.get(REPLAYS), 0),
        )
        return self._hop

    def __str__(self) -> str:
        return f"{self.handler.group}: {self.partition.source}@{self.offset}"


def _now_ms() -> int:
    return time.time_ns() // 1_000_000

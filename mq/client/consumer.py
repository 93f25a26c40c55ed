"""Receiving records: librdkafka's consumer and the thread that polls it.

The thread never waits for what is done with records. It polls, hands over what came, and polls
again, so a group keeps its member however long a handler runs. If its listener has no room it
puts off polling for moments, then pauses partitions and polls on. The one thing it waits for is a
revocation, because partitions are given up when the callback returns.

Everything in :class:`Listener` is called on that thread. What others want of it (``commit``,
``assign``, ``unassign``, ``stop``) waits in a queue until it comes by.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from operator import methodcaller
from typing import Any, Final, Literal, Protocol

from confluent_kafka import Consumer as RawConsumer
from confluent_kafka import KafkaError as RawError
from confluent_kafka import KafkaException
from confluent_kafka import Message as RawMessage
from confluent_kafka import TopicPartition as RawPartition

from mq.client.endpoint import Endpoint
from mq.client.faults import translate, translate_exception
from mq.errors import ConfigurationError, MqError
from mq.record import TopicPartition

__all__ = ["Commit", "Consumer", "GroupProtocol", "Listener", "Prefetch", "RawMessage"]

logger = logging.getLogger("mq.client")

GroupProtocol = Literal["consumer", "classic"]

POLL_S: Final = 0.1
BATCH_MAX: Final = 1_000
NO_ROOM_S: Final = 0.005
"""How long to look away when there is no room."""
REQUEST_TIMEOUT_S: Final = 10.0
FETCH_WAIT_MS: Final = 100
UNREADABLE_HEADERS: Final = b"unknown, because the name of a header is not UTF-8"
"""How long a broker may hold an answer with nothing in it. Partitions that are assigned meanwhile
wait for it, so this is a part of the time from assignment to first record."""


@dataclass(frozen=True, slots=True)
class Commit:
    """An offset to commit, with the note beside it."""

    partition: TopicPartition
    offset: int
    note: str = ""


@dataclass(frozen=True, slots=True)
class Prefetch:
    """How much librdkafka may fetch ahead: ``records`` per partition, ``kbytes`` in all."""

    records: int
    kbytes: int


class Listener(Protocol):
    """What a consumer's thread tells, and asks. None of it may block for long."""

    def may_poll(self) -> bool:
        """Whether to poll now; false if there is no room for what might come."""

    def is_paused(self, partition: TopicPartition) -> bool:
        """Whether a partition is to be paused now."""

    def received(self, messages: list[RawMessage]) -> None:
        """Records, ends of partitions and errors, in the order in which they came."""

    def assigned(self, partitions: list[TopicPartition]) -> dict[TopicPartition, int]:
        """The group gave us partitions; the answer tells the offset to start each at."""

    def revoked(self, partitions: list[TopicPartition]) -> list[Commit]:
        """The group takes partitions; the answer is committed first. May wait for a drain."""

    def released(self, partitions: list[TopicPartition]) -> None:
        """They are given up, and their last offsets committed."""

    def lost(self, partitions: list[TopicPartition]) -> None:
        """Others have these partitions already; nothing may be committed for them."""

    def may_commit(self, partition: TopicPartition) -> bool:
        """Whether the partition is still ours to commit."""

    def committed(self, error: MqError | None) -> None:
        """The outcome of :meth:`Consumer.commit`."""

    def joined(self, member_id: str) -> None:
        """The consumer is a member of its group under this id."""

    def failed(self, error: MqError) -> None:
        """Something went wrong that librdkafka will try again by itself."""

    def ended(self, error: BaseException | None) -> None:
        """The thread is over: because it was stopped, or because of ``error``."""


class Consumer:
    """One consumer and its thread, which starts with :meth:`start`.

    ``protocol`` is how the group assigns; None is for a consumer that is only assigned by hand.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        group: str,
        listener: Listener,
        *,
        protocol: GroupProtocol | None,
        prefetch: Prefetch,
    ) -> None:
        self.group = group
        self._listener = listener
        self._member_id = ""
        self._is_member = protocol is not None
        self._paused: set[TopicPartition] = set()
        self._assigned: set[TopicPartition] = set()
        self._orders: deque[Callable[[], None]] = deque()
        self._commits: deque[list[Commit]] = deque()
        self._stopping = threading.Event()
        configuration = endpoint.configuration(
            self._error,
            {
                "group.id": group,
                "enable.auto.commit": False,
                "enable.auto.offset.store": False,
                "auto.offset.reset": "error",  # offsets are ours to decide; a lost one must be seen
                "enable.partition.eof": True,
                "on_commit": self._on_commit,
                "queued.min.messages": prefetch.records,
                "queued.max.messages.kbytes": prefetch.kbytes,
                "fetch.queue.backoff.ms": 20,  # its second outlasts a queue of a tenth of one
                "fetch.wait.max.ms": FETCH_WAIT_MS,
                **_protocol_settings(protocol),
            },
        )
        try:
            self._raw = RawConsumer(configuration)
        except KafkaException as error:
            raise ConfigurationError(f"no consumer can be made: {error.args[0].str()}") from error
        self._thread = threading.Thread(target=self._run, name=f"mq-{group}", daemon=True)

    def subscribe(self, topics: list[str]) -> None:
        """Join the group for these topics. Before :meth:`start`."""
        self._raw.subscribe(
            topics,
            on_assign=self._on_assign,
            on_revoke=self._on_revoke,
            on_lost=self._on_lost,
        )

    def start(self) -> None:
        """Start to poll."""
        self._thread.start()

    def stop(self) -> None:
        """Ask the thread to give up its partitions, leave the group and end."""
        self._stopping.set()

    def join(self, timeout: float) -> bool:
        """Wait for the end of the thread; whether it came in time. Blocks."""
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def commit(self, commits: Iterable[Commit]) -> None:
        """Commit as soon as the thread comes to it; what is no longer ours is left out."""
        self._commits.append(list(commits))

    def assign(self, offsets: dict[TopicPartition, int]) -> None:
        """Read these partitions too, from these offsets on."""
        self._orders.append(lambda: self._assign(offsets))

    def unassign(self, partitions: Collection[TopicPartition]) -> None:
        """Stop reading these partitions."""
        gone = list(partitions)
        self._orders.append(lambda: self._unassign(gone))

    def order(self, call: Callable[[], None]) -> None:
        """Have something done on the thread, where callbacks are."""
        self._orders.append(call)

    # on the thread

    def commits(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, Commit]:
        """The last commits of those partitions that have one. Only within a callback.

        Raises:
            MqError: the group's coordinator does not tell.
        """
        asked = [RawPartition(*partition) for partition in partitions]
        try:
            answers = self._raw.committed(asked, timeout=REQUEST_TIMEOUT_S) if asked else []
        except KafkaException as error:
            raise translate_exception(error, f"the committed offsets of {self.group}") from error
        found = {}
        for answer in answers:
            partition = _named(answer)
            if answer.error is not None:
                raise translate(answer.error, f"the committed offset of {self.group}, {partition}")
            if answer.offset >= 0:
                found[partition] = Commit(partition, answer.offset, answer.metadata or "")
        return found

    def edges(self, partition: TopicPartition) -> tuple[int, int]:
        """The first offset of a partition and the one after its last. Only within a callback.

        Raises:
            MqError: the partition's leader does not tell.
        """
        try:
            return self._raw.get_watermark_offsets(
                RawPartition(*partition), timeout=REQUEST_TIMEOUT_S
            )
        except KafkaException as error:
            raise translate_exception(error, f"the offsets of {partition}") from error

    def _run(self) -> None:
        failure: BaseException | None = None
        try:
            while not self._stopping.is_set():
                self._poll()
        except KafkaException as error:
            failure = translate_exception(error, f"the consumer of {self.group}")
        except BaseException as error:
            failure = error
        try:
            self._carry_out_orders()
            self._carry_out_commits()
            self._raw.close()  # calls back for the partitions that are left
        except BaseException as error:
            failure = failure or error
        self._listener.ended(failure)

    def _poll(self) -> None:
        self._carry_out_orders()
        self._carry_out_commits()
        if not self._listener.may_poll():
            time.sleep(NO_ROOM_S)
            return
        self._pause_and_resume()
        message = self._raw.poll(POLL_S)
        self._tell_member_id()
        if message is None:
            return
        # poll returns with the first message; consume takes what is there without waiting for more
        messages = [message, *self._raw.consume(BATCH_MAX - 1, 0)]
        for each in messages:
            _make_headers_readable(each)
        self._listener.received(messages)

    def _carry_out_orders(self) -> None:
        while self._orders:
            self._orders.popleft()()

    def _carry_out_commits(self) -> None:
        while self._commits:
            self._commit(self._commits.popleft())

    def _pause_and_resume(self) -> None:
        is_paused = self._listener.is_paused
        wanted = {partition for partition in self._assigned if is_paused(partition)}
        if wanted == self._paused:
            return
        pause, resume = wanted - self._paused, self._paused - wanted
        if pause:
            self._raw.pause([RawPartition(*partition) for partition in pause])
        if resume:
            self._raw.resume([RawPartition(*partition) for partition in resume])
        self._paused = wanted

    def _tell_member_id(self) -> None:
        if not self._is_member:
            return
        member_id = self._raw.memberid() or ""
        if member_id and member_id != self._member_id:
            self._member_id = member_id
            self._listener.joined(member_id)

    def _commit(self, commits: list[Commit]) -> None:
        raw = self._still_ours(commits)
        if not raw:
            self._listener.committed(None)
            return
        try:
            self._raw.commit(offsets=raw, asynchronous=True)
        except KafkaException as error:
            self._listener.committed(translate_exception(error, self._about_commits))

    def _commit_and_wait(self, commits: list[Commit]) -> None:
        raw = self._still_ours(commits)
        if not raw:
            return
        try:
            for partition in self._raw.commit(offsets=raw, asynchronous=False):
                if partition.error is not None:
                    about = f"{self._about_commits}, {_named(partition)}"
                    self._listener.failed(translate(partition.error, about))
        except KafkaException as error:
            self._listener.failed(translate_exception(error, self._about_commits))

    @property
    def _about_commits(self) -> str:
        return f"offsets of {self.group} were not committed"

    def _still_ours(self, commits: list[Commit]) -> list[RawPartition]:
        return [
            RawPartition(*each.partition, each.offset, each.note)
            for each in commits
            if self._listener.may_commit(each.partition)
        ]

    def _assign(self, offsets: dict[TopicPartition, int]) -> None:
        fresh = {p: offset for p, offset in offsets.items() if p not in self._assigned}
        self._raw.incremental_assign([RawPartition(*p, offset) for p, offset in fresh.items()])
        self._assigned.update(fresh)

    def _unassign(self, partitions: Iterable[TopicPartition]) -> None:
        gone = self._assigned.intersection(partitions)
        if paused := self._paused & gone:  # librdkafka would remember it, should they come back
            self._raw.resume([RawPartition(*partition) for partition in paused])
        self._raw.incremental_unassign([RawPartition(*partition) for partition in gone])
        self._assigned -= gone
        self._paused -= gone

    # librdkafka's callbacks, within poll, consume and close

    def _on_assign(self, _consumer: RawConsumer, partitions: list[RawPartition]) -> None:
        self._tell_member_id()
        self._carry_out_commits()  # those of an earlier time with a partition must not count now
        self._assign(self._listener.assigned([_named(partition) for partition in partitions]))

    def _on_revoke(self, _consumer: RawConsumer, partitions: list[RawPartition]) -> None:
        named = [_named(partition) for partition in partitions]
        self._commit_and_wait(self._listener.revoked(named))
        self._unassign(named)
        self._listener.released(named)

    def _on_lost(self, _consumer: RawConsumer, partitions: list[RawPartition]) -> None:
        named = [_named(partition) for partition in partitions]
        self._listener.lost(named)
        self._unassign(named)

    def _on_commit(self, error: RawError | None, partitions: list[RawPartition]) -> None:
        failures = [error, *(partition.error for partition in partitions)]
        for failure in failures:
            if failure is not None:
                self._listener.committed(translate(failure, self._about_commits))
                return
        self._listener.committed(None)

    def _error(self, error: RawError) -> None:
        told = translate(error, f"the consumer of {self.group}")
        if error.fatal():
            raise told
        self._listener.failed(told)


_try_headers: Final = methodcaller("headers")
"""A call by the interpreter's general way, which notices that confluent-kafka left an error behind.
The bytecode that CPython specialises for such a call does not."""


def _make_headers_readable(message: RawMessage) -> None:
    """Replace headers that confluent-kafka cannot give: the second try would end the process.

    What is left says so in place of a content type, which no codec will take.
    """
    try:
        _try_headers(message)
    except (UnicodeDecodeError, SystemError):
        message.set_headers([("content-type", UNREADABLE_HEADERS)])


def _named(partition: RawPartition) -> TopicPartition:
    return TopicPartition(partition.topic, partition.partition)


def _protocol_settings(protocol: GroupProtocol | None) -> dict[str, Any]:
    """Under the consumer protocol librdkafka refuses session, heartbeat and assignor settings."""
    if protocol == "consumer":
        return {"group.protocol": "consumer"}
    return {"partition.assignment.strategy": "cooperative-sticky"}

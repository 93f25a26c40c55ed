"""What holds whatever producers, disks and crashes do: random lives of two transactional ids.

Producers of both protocols begin, write, commit, abort, time out and are replaced. Syncs come when
they come; logs refuse to be written; a crash takes any part of what was not synced, of each log by
itself. At the end all fall silent, and every log is read like a consumer reads it.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any, NamedTuple

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from mq.coordinators.admission import Admission
from mq.coordinators.effects import Ending
from mq.coordinators.transaction import Identity
from mq.record import TopicPartition
from mq.wire.messages.add_partitions_to_txn import (
    AddPartitionsToTxnRequest,
    AddPartitionsToTxnTopic,
)
from mq.wire.messages.end_txn import EndTxnRequest
from mq.wire.messages.init_producer_id import InitProducerIdRequest
from tests.coordinators.transaction_owner import MINUTE_MS, ORDERS, Owner

FENCED = {47, 49, 90}


class Written(NamedTuple):
    """A batch in a log: whose, and of which transaction as its producer counts them."""

    producer_id: int
    epoch: int
    transaction: int


@dataclass(eq=False)
class Client:
    """One instance of a producer; ``who`` is None until it has an identity, or after it lost it."""

    name: str
    newer: bool
    who: Identity | None = None
    transaction: int = -1
    ending: bool | None = None  # whether it asked for a commit or an abort, and waits


class Lives(RuleBasedStateMachine):
    """Random lives of transactional ids; see the module's docstring."""

    clients = Bundle("clients")

    @initialize()
    def begin(self) -> None:
        self.owner = Owner()
        self.everyone: list[Client] = []
        self.waiting: dict[int, tuple[Client, Any]] = {}
        self.transactions = itertools.count()
        self.promised: dict[int, bool] = {}  # how a transaction ended, as its producer was told
        self.latest: dict[str, Identity] = {}  # the last identity that anyone of an id was given
        self.highest: dict[int, int] = {}

    # What producers do.

    @rule(target=clients, name=st.sampled_from("aab"), newer=st.booleans())
    def start(self, name: str, newer: bool) -> Client:
        client = Client(name, newer)
        self.everyone.append(client)
        return client

    @rule(client=clients, known=st.booleans())
    def init(self, client: Client, known: bool) -> None:
        who = client.who if known and client.who else Identity(-1, -1)
        client.who, client.ending = None, None
        self._send(client, InitProducerIdRequest(client.name, MINUTE_MS, *who), 5)

    @rule(client=clients, index=st.integers(0, 2))
    def join(self, client: Client, index: int) -> None:
        """Do without a batch what a producer of the older protocol does before it."""
        if client.who is not None and client.ending is None and not client.newer:
            topics = [AddPartitionsToTxnTopic("orders", [index])]
            request = AddPartitionsToTxnRequest([], client.name, *client.who, topics)
            self._send(client, request, 3)

    @rule(client=clients, index=st.integers(0, 2))
    def write(self, client: Client, index: int) -> None:
        if client.who is not None and client.ending is None:
            place = frozenset([ORDERS[index]])
            self._send(client, Admission(client.name, client.who, place, client.newer), 0)

    @rule(client=clients, commit=st.booleans())
    def end(self, client: Client, commit: bool) -> None:
        """Ask for an end; or ask again, as one does who waits for too long."""
        if client.who is not None:
            client.ending = commit if client.ending is None else client.ending
            request = EndTxnRequest(client.name, *client.who, client.ending)
            self._send(client, request, 5 if client.newer else 3)

    @rule(
        client=clients,
        indexes=st.lists(st.integers(0, 2), min_size=1, max_size=3),
        commit=st.booleans(),
        syncs=st.integers(0, 3),
    )
    def transact(self, client: Client, indexes: list[int], commit: bool, syncs: int) -> None:
        """Do what a producer library does, to its end; and leave before the last syncs."""
        if client.who is None:
            self.init(client, False)
            self.settle()
        for index in indexes:
            self.join(client, index)
            self.settle()
            self.write(client, index)
            self.settle()
        self.end(client, commit)
        for _ in range(syncs):
            self.sync()

    @rule(client=clients, other=clients, index=st.integers(0, 2), syncs=st.integers(0, 2))
    def replace_while_writing(self, client: Client, other: Client, index: int, syncs: int) -> None:
        """A batch is on its way while somebody else takes the id over."""
        self.join(client, index)
        self.settle()
        self.write(client, index)
        self.write(client, (index + 1) % 3)
        self.init(other, False)
        for _ in range(syncs):
            self.sync()

    # What happens to everyone.

    def settle(self) -> None:
        self.owner.sync()
        self._listen()

    @rule()
    def sync(self) -> None:
        self.owner.sync_once()
        self._listen()

    @rule(full=st.sets(st.sampled_from([*ORDERS, None]), max_size=2))
    def fill_disks(self, full: set[TopicPartition | None]) -> None:
        self.owner.full = {place or self.owner.state for place in full}

    @rule()
    def clear_disks(self) -> None:
        self.owner.full = set()

    @rule(milliseconds=st.sampled_from([1, 1_000, MINUTE_MS]))
    def wait(self, milliseconds: int) -> None:
        self.owner.advance(milliseconds)
        self._listen()

    @rule(data=st.data())
    def crash(self, data: st.DataObject) -> None:
        self.owner.crash(lambda count: data.draw(st.integers(0, count)) if count else 0)
        self.waiting = {}

    # What they hear.

    def _send(self, client: Client, request: Any, version: int) -> None:
        token = self.owner.send(request, version)
        self.waiting[token] = client, request
        self._listen()

    def _listen(self) -> None:
        for token in sorted(self.owner.answers):
            answer = self.owner.answers.pop(token)
            if token in self.waiting:
                self._hear(*self.waiting.pop(token), answer)

    def _hear(self, client: Client, request: Any, answer: Any) -> None:
        if isinstance(request, InitProducerIdRequest):
            if not answer.error_code:
                self._given(client, Identity(answer.producer_id, answer.producer_epoch))
                client.transaction = next(self.transactions)
        elif isinstance(request, Admission):
            if set(answer.values()) == {0}:
                self._append(client, request)
        elif isinstance(request, EndTxnRequest):
            self._ended(client, request, answer)

    def _given(self, client: Client, who: Identity) -> None:
        """Whoever had the id before is fenced from now on."""
        assert who.epoch > self.highest.get(who.producer_id, -1) or client.who is not None
        self.highest[who.producer_id] = max(self.highest.get(who.producer_id, -1), who.epoch)
        self.latest[client.name] = client.who = who

    def _append(self, client: Client, admission: Admission) -> None:
        """Write a batch that was admitted, if it still may be written."""
        if not self.owner.coordinator.admits(admission) or admission.producer != client.who:
            return
        assert self.latest[client.name] == client.who, "a fenced producer writes"
        [place] = admission.partitions
        self.owner.logs[place].entries.append(Written(*client.who, client.transaction))

    def _ended(self, client: Client, request: EndTxnRequest, answer: Any) -> None:
        if client.who != (request.producer_id, request.producer_epoch):
            return  # the answer to a repetition
        if answer.error_code in FENCED:
            client.who = client.ending = None
        if answer.error_code or client.ending is None:
            return
        assert self.promised.get(client.transaction, request.committed) == request.committed
        self.promised[client.transaction] = request.committed
        client.transaction, client.ending = next(self.transactions), None
        if client.newer:
            bumped = Identity(answer.producer_id, answer.producer_epoch)
            self.highest[bumped.producer_id] = bumped.epoch
            self.latest[client.name] = client.who = bumped

    # What must hold.

    @invariant()
    def what_was_promised_is_what_readers_see(self) -> None:
        for place in ORDERS:
            for written, ending in self._fates(place):
                if ending is not None and written.transaction in self.promised:
                    assert ending.commit == self.promised[written.transaction]

    @invariant()
    def a_transaction_ends_in_the_same_way_everywhere(self) -> None:
        fates: dict[int, bool] = {}
        for place in ORDERS:
            for written, ending in self._fates(place):
                if ending is not None:
                    assert fates.setdefault(written.transaction, ending.commit) == ending.commit

    @invariant()
    def nobody_writes_behind_a_marker_of_a_higher_epoch(self) -> None:
        for place in ORDERS:
            epochs: dict[int, int] = {}
            for entry in self.owner.logs[place].entries:
                epoch = entry.producer_epoch if isinstance(entry, Ending) else entry.epoch
                assert epoch >= epochs.get(entry.producer_id, -1)
                epochs[entry.producer_id] = epoch

    def _fates(self, place: TopicPartition) -> list[tuple[Written, Ending | None]]:
        """Each batch of a log and the marker that tells whether it counts."""
        entries = self.owner.logs[place].entries
        return [
            (entry, next((e for e in entries[at:] if _ends(e, entry.producer_id)), None))
            for at, entry in enumerate(entries)
            if isinstance(entry, Written)
        ]

    def teardown(self) -> None:
        """When all fall silent, every transaction ends, and nothing waits for anything."""
        if not hasattr(self, "owner"):
            return
        self.owner.full = set()
        self.owner.sync()
        self.owner.advance(2 * MINUTE_MS)
        self._listen()
        assert not self.owner.asked
        for name in "ab":
            assert self.owner.status(name) not in {"Ongoing", "PrepareCommit", "PrepareAbort"}
        for place in ORDERS:
            for written, ending in self._fates(place):
                assert ending is not None, f"{written} is never ended"
        self.what_was_promised_is_what_readers_see()
        self.a_transaction_ends_in_the_same_way_everywhere()


def _ends(entry: Any, producer_id: int) -> bool:
    return isinstance(entry, Ending) and entry.producer_id == producer_id


def test_transactions_live_through_everything() -> None:
    run_state_machine_as_test(Lives, settings=settings(max_examples=120, stateful_step_count=40))

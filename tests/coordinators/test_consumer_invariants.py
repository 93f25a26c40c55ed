"""What holds in groups of both protocols whatever happens: random lives of one group.

Members of the consumer protocol beat, give up and take over partitions as they like; members
of the classic protocol join, sync and beat beside them, so that the group passes from one protocol
to the other and back. Topics come, grow and go; time passes; the log refuses to be written; the
coordinator crashes. After every step the coordinator is compared with one that has only read the
log. In the end everybody goes on quietly, and all partitions must be owned.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

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

from mq.coordinators.consumer_group import ConsumerGroup
from mq.coordinators.group_config import GroupConfig
from mq.wire import schema
from mq.wire.messages.consumer_protocol import (
    ConsumerProtocolAssignment,
    ConsumerProtocolSubscription,
    TopicPartition,
)

Owner = Any
Place = tuple[UUID, int]

SUBSCRIPTIONS = [("orders",), ("orders", "bills"), ("bills",), ("absent",)]
SETTLING_ROUNDS = 45


@dataclass(eq=False)
class Client:
    """A member of the consumer protocol: what it wishes, was told and owns."""

    number: int
    instance_id: str | None
    topics: tuple[str, ...] | None
    regex: str | None
    assignor: str | None
    pace: int  # it hands over in every so many rounds
    lives: int = 0
    epoch: int = 0
    owned: set[Place] = field(default_factory=set)
    wanted: set[Place] = field(default_factory=set)
    leaving: bool = False

    @property
    def member_id(self) -> str:
        return f"m{self.number}-{self.lives}"

    def forget(self) -> None:
        """Begin anew, owning nothing."""
        self.epoch = 0
        self.owned, self.wanted = set(), set()


@dataclass(eq=False)
class Classic:
    """A member of the classic protocol.

    Unless it is cooperative it gives up everything before it joins again (KIP-429).
    """

    topics: tuple[str, ...]
    cooperative: bool
    stage: str = "out"
    member_id: str = ""
    generation: int = -1
    joining: int | None = None
    syncing: int | None = None
    leads: tuple[str, ...] = ()
    owned: set[Place] = field(default_factory=set)
    leaving: bool = False

    def metadata(self, names: dict[UUID, str]) -> bytes:
        owned: dict[str, list[int]] = {}
        for topic_id, partition in self.owned:
            if topic_id in names:
                owned.setdefault(names[topic_id], []).append(partition)
        listed = [TopicPartition(*each) for each in owned.items()]
        subscription = ConsumerProtocolSubscription(list(self.topics), None, listed)
        return b"\x00\x01" + schema.encode(subscription, 1)


class Lives(RuleBasedStateMachine):
    """Random lives of a group; see the module's docstring."""

    new_owner: Callable[..., Owner]
    clients = Bundle("clients")
    classics = Bundle("classics")

    @initialize()
    def begin(self) -> None:
        # Groups are not deleted behind the members' backs: a new one would count from 1.
        config = GroupConfig(consumer_max_size=5, offsets_retention_check_interval_ms=10**12)
        self.owner = type(self).new_owner(config)
        self.reader = type(self).new_owner(config)
        self.everyone: list[Client] = []
        self.old_fashioned: list[Classic] = []
        self.rounds = 0
        self.highest = 0  # epoch or generation while the group was never empty

    # Members of the consumer protocol.

    @rule(
        target=clients,
        instance_id=st.sampled_from([None, None, None, "one", "two"]),
        topics=st.sampled_from(SUBSCRIPTIONS),
        regex=st.sampled_from([None, None, "", "b.*", "(orders|bills)"]),
        assignor=st.sampled_from([None, None, "range", "uniform"]),
        pace=st.sampled_from([1, 1, 3]),
    )
    def start(
        self,
        instance_id: str | None,
        topics: tuple[str, ...],
        regex: str | None,
        assignor: str | None,
        pace: int,
    ) -> Client:
        client = Client(len(self.everyone), instance_id, topics, regex, assignor, pace)
        self.everyone.append(client)
        self._beat(client)
        return client

    @rule(client=clients)
    def go_on(self, client: Client) -> None:
        self._beat(client)

    @rule(client=clients)
    def hand_over(self, client: Client) -> None:
        """Give up what is not wanted any more; what is new is taken once that is known."""
        self._hand_over(client)

    @rule(rounds=st.integers(1, 4))
    def all_go_on(self, rounds: int) -> None:
        for _ in range(rounds):
            self._round()

    @rule(client=clients, topics=st.sampled_from(SUBSCRIPTIONS))
    def wish_for_something_else(self, client: Client, topics: tuple[str, ...]) -> None:
        client.topics = topics
        self._beat(client, everything=True)

    @rule(client=clients)
    def lose_an_answer(self, client: Client) -> None:
        """Not while it takes something over: what it does not report yet counts as given up, so an
        answer that is lost just then leaves two owners for a moment. The protocol is made so."""
        if client.epoch > 0 and not client.leaving and client.owned == client.wanted:
            self._send(client, everything=True)

    @rule(client=clients)
    def begin_anew(self, client: Client) -> None:
        client.forget()
        self._beat(client)

    @rule(client=clients, epoch=st.sampled_from([1, 7, 1_000]))
    def beat_in_a_wrong_epoch(self, client: Client, epoch: int) -> None:
        answer = self.owner.heartbeat(client.member_id, epoch, instance_id=client.instance_id)
        assert answer.error_code in {0, 25, 69, 81, 82, 110}

    @rule(client=clients, for_a_while=st.booleans())
    def leave(self, client: Client, for_a_while: bool) -> None:
        epoch = -2 if for_a_while and client.instance_id else -1
        answer = self.owner.heartbeat(client.member_id, epoch, instance_id=client.instance_id)
        assert answer.error_code in {0, 25, 69, 82}
        client.lives += 1
        client.forget()
        client.leaving = True

    @rule(client=clients)
    def come_back(self, client: Client) -> None:
        client.leaving = False
        self._beat(client)

    @rule(client=clients, partition=st.integers(0, 1))
    def commit(self, client: Client, partition: int) -> None:
        error = self.owner.commit(
            1, member_id=client.member_id, generation=client.epoch, partition=partition
        )
        assert error in {0, 3, 22, 25, 69, 113}

    # Members of the classic protocol.

    @rule(target=classics, topics=st.sampled_from(SUBSCRIPTIONS), cooperative=st.booleans())
    def start_classic(self, topics: tuple[str, ...], cooperative: bool) -> Classic:
        classic = Classic(topics, cooperative)
        self.old_fashioned.append(classic)
        self._go_on_classic(classic)
        return classic

    @rule(classic=classics)
    def go_on_classic(self, classic: Classic) -> None:
        self._go_on_classic(classic)

    @rule(classic=classics)
    def leave_classic(self, classic: Classic) -> None:
        self.owner.leave((classic.member_id, None))
        classic.stage, classic.member_id, classic.leaving = "out", "", True
        classic.owned = set()
        self._listen()

    # What happens to everyone.

    @rule(milliseconds=st.sampled_from([0, 1_000, 10_000, 44_999, 61_000]))
    def wait(self, milliseconds: int) -> None:
        self.owner.advance(milliseconds)
        self._listen()

    @rule(client=clients)
    def go_on_with_a_full_disk(self, client: Client) -> None:
        self.owner.disk_full = True
        self._beat(client)
        self.owner.disk_full = False

    @rule(milliseconds=st.sampled_from([10_000, 61_000]))
    def wait_with_a_full_disk(self, milliseconds: int) -> None:
        self.owner.disk_full = True
        self.wait(milliseconds)
        self.owner.disk_full = False

    @rule(name=st.sampled_from(["bills", "orders"]), more=st.integers(1, 3))
    def grow(self, name: str, more: int) -> None:
        topics = self.owner.topics
        topics.put(name, topics.counts.get(name, 0) + more)

    @rule(name=st.sampled_from(["bills", "orders"]))
    def delete(self, name: str) -> None:
        if name in self.owner.topics.ids:
            self.owner.topics.delete(name)

    @rule()
    def crash(self) -> None:
        self.owner = self.owner.restarted()
        for classic in self.old_fashioned:
            if classic.joining is not None or classic.syncing is not None:
                classic.stage = "out"
            classic.joining = classic.syncing = None
        self.highest = 0

    # What must hold.

    @invariant()
    def the_log_tells_all(self) -> None:
        reader = self.reader
        for partition, record in self.owner.log[len(reader.log) :]:
            reader.log.append((partition, record))
            assert reader.coordinator.apply(partition, *record) is None
        group = self._group()
        read = reader.coordinator._groups.get("g")
        assert isinstance(group, ConsumerGroup) == isinstance(read, ConsumerGroup)
        if isinstance(group, ConsumerGroup):
            for name in ("epoch", "target_epoch", "members", "targets", "patterns", "_owners"):
                assert getattr(read, name) == getattr(group, name), name
            assert read._static == group._static

    @invariant()
    def nothing_has_two_owners(self) -> None:
        group = self._group()
        if isinstance(group, ConsumerGroup):
            places = [
                place
                for member in group.members.values()
                for place in (*member.assigned, *member.revoking)
            ]
            assert len(places) == len(set(places))
            assert set(places) == set(group._owners)
            members = set(group.members)
        else:
            members = {each.member_id for each in group.members} if group else set()
        owned = [
            place
            for each in (*self.everyone, *self.old_fashioned)
            if each.member_id in members
            for place in each.owned
        ]
        if isinstance(group, ConsumerGroup):
            assert len(owned) == len(set(owned))

    @invariant()
    def epochs_never_fall(self) -> None:
        group = self._group()
        if group is None or group.empty:
            self.highest = 0
            return
        epoch = group.epoch if isinstance(group, ConsumerGroup) else group.generation
        assert epoch >= self.highest
        self.highest = epoch
        if isinstance(group, ConsumerGroup):
            assert all(member.epoch <= group.epoch for member in group.members.values())
            assert group.target_epoch <= group.epoch

    @invariant()
    def everyone_is_expected_to_be_heard_of(self) -> None:
        group = self._group()
        if isinstance(group, ConsumerGroup):
            timers = self.owner.coordinator._timers._timers
            waited_for = {key.member_id for key in timers if key.kind == "member"}
            assert waited_for >= set(group.members)

    def teardown(self) -> None:
        """Everybody goes on quietly: the group comes to rest, and everything is owned once."""
        if not hasattr(self, "owner"):
            return
        self.owner.advance(61_000 + 300_000)  # the dead are forgotten, and the living, too
        self._listen()
        for _ in range(SETTLING_ROUNDS):
            self._round()
            self.owner.advance(1_000)
            self._listen()
        group = self._group()
        if not isinstance(group, ConsumerGroup) or group.empty:
            return
        assert group.state == "Stable"
        counts, ids = self.owner.topics.counts, self.owner.topics.ids
        subscribed = {name for each in group.members.values() for name in group.topics_of(each)}
        expected = {(ids[name], i) for name in subscribed & set(ids) for i in range(counts[name])}
        owned = [
            place
            for each in (*self.everyone, *self.old_fashioned)
            if each.member_id in group.members
            for place in each.owned
        ]
        assert sorted(owned) == sorted(expected)

    # The consumer protocol, as a client library speaks it.

    def _group(self) -> Any:
        return self.owner.coordinator._groups.get("g")

    def _round(self) -> None:
        self.rounds += 1
        for client in self.everyone:
            if self.rounds % client.pace == 0:
                self._hand_over(client)
            self._beat(client)
        for classic in self.old_fashioned:
            self._go_on_classic(classic)
        self.owner.advance(0)
        self._listen()

    def _send(self, client: Client, *, everything: bool = False) -> Any:
        fields: dict[str, Any] = {"instance_id": client.instance_id}
        if everything or client.epoch == 0:
            fields |= {
                "subscribed_topic_names": None if client.topics is None else list(client.topics),
                "subscribed_topic_regex": client.regex,
                "server_assignor": client.assignor,
                "rebalance_timeout_ms": 30_000,
            }
        return self.owner.heartbeat(client.member_id, client.epoch, owned=client.owned, **fields)

    def _beat(self, client: Client, *, everything: bool = False) -> None:
        if client.leaving:
            return
        answer = self._send(client, everything=everything)
        error = answer.error_code
        assert error in {0, 16, 25, 69, 81, 82, 110, 111}, answer
        if error in (25, 69, 82, 110, 111):
            client.forget()
        elif error == 0:
            assert answer.member_epoch >= client.epoch
            client.epoch = answer.member_epoch
            if answer.assignment is not None:
                client.wanted = {
                    (each.topic_id, partition)
                    for each in answer.assignment.topic_partitions
                    for partition in each.partitions
                }

    def _hand_over(self, client: Client) -> None:
        if client.owned - client.wanted:
            client.owned &= client.wanted
        else:
            client.owned = set(client.wanted)

    # The classic protocol, likewise.

    def _go_on_classic(self, classic: Classic) -> None:
        if classic.joining is not None or classic.syncing is not None or classic.leaving:
            return
        if classic.stage == "out":
            group = self._group()
            if group is None or classic.member_id not in group.members:
                classic.owned = set()  # its session was over: it joins with nothing
            names = {topic_id: name for name, topic_id in self.owner.topics.ids.items()}
            protocols = [("range", classic.metadata(names))]
            classic.joining = self.owner.join(
                classic.member_id, protocols=protocols, rebalance_ms=30_000
            )
        elif classic.stage == "joined":
            classic.syncing = self.owner.sync(
                classic.member_id, classic.generation, self._decide(classic)
            )
        else:
            self._told(classic, self.owner.beat(classic.member_id, classic.generation))
        self._listen()

    def _decide(self, classic: Classic) -> dict[str, bytes]:
        """As leader, give each partition of each topic to one of those who subscribe to it.

        What another member has not given up yet stays where it is.
        """
        shares: dict[str, dict[str, list[int]]] = {member_id: {} for member_id in classic.leads}
        for name, count in self.owner.topics.counts.items():
            takers = [
                each.member_id
                for each in self.old_fashioned
                if each.member_id in shares and name in each.topics
            ]
            for partition in range(count if takers else 0):
                place = self.owner.topics.ids[name], partition
                holders = [each.member_id for each in self.old_fashioned if place in each.owned]
                taker = holders[0] if holders else takers[partition % len(takers)]
                if taker in takers:
                    shares[taker].setdefault(name, []).append(partition)
        return {
            member_id: b"\x00\x01"
            + schema.encode(
                ConsumerProtocolAssignment([TopicPartition(*each) for each in share.items()]), 1
            )
            for member_id, share in shares.items()
        }

    def _told(self, classic: Classic, error: int) -> None:
        if error:
            classic.stage = "out"
        if error not in (0, 27, 79) or (error and not classic.cooperative):
            classic.owned = set()
        if error in (25, 81, 82):
            classic.member_id, classic.generation = "", -1

    def _listen(self) -> None:
        for classic in self.old_fashioned:
            if classic.joining in self.owner.answers:
                answer, classic.joining = self.owner.answers[classic.joining], None
                self._told(classic, answer.error_code)
                if answer.error_code == 79:
                    classic.member_id = answer.member_id
                elif answer.error_code == 0:
                    classic.stage, classic.generation = "joined", answer.generation_id
                    classic.member_id = answer.member_id
                    classic.leads = tuple(each.member_id for each in answer.members)
            if classic.syncing in self.owner.answers:
                answer, classic.syncing = self.owner.answers[classic.syncing], None
                self._told(classic, answer.error_code)
                if answer.error_code == 0:
                    got = self._read(answer.assignment)
                    # What it has to give up first, another may get when it joins again.
                    classic.stage = "in" if classic.owned <= got else "out"
                    classic.owned = got

    def _read(self, assignment: bytes) -> set[Place]:
        if not assignment:
            return set()
        read, _ = schema.decode(ConsumerProtocolAssignment, assignment, 1, 2)
        ids = self.owner.topics.ids
        return {
            (ids[each.topic], partition)
            for each in read.assigned_partitions
            for partition in each.partitions
            if each.topic in ids
        }


def test_random_lives_keep_the_promises(new_owner: Callable[..., Owner]) -> None:
    Lives.new_owner = new_owner
    run_state_machine_as_test(Lives, settings=settings(stateful_step_count=40))

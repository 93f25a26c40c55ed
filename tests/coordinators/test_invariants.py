"""What holds whatever clients, disks and crashes do: random lives of two groups.

Clients do what a client library does, one by one or all together; or they do something else: join
again with other wishes, sync when nobody asked, commit, leave, start anew. Time passes; the log
refuses to be written; the coordinator crashes and starts again from its log. After every step the
coordinator is compared with one that has only read the log, and at the end everybody falls silent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

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

from mq.coordinators.classic_group import ClassicGroup, State
from mq.coordinators.group_config import GroupConfig
from mq.coordinators.timer_key import TimerKey
from mq.wire.messages.leave_group import LeaveGroupRequest, MemberIdentity

Owner = Any

GROUPS = "ab"
HOUR_MS = 3_600_000


@dataclass(eq=False)
class Client:
    """What a client wishes and remembers; it is ``out``, has ``joined``, or is ``in`` its group."""

    group_id: str
    version: int
    instance_id: str | None
    protocols: tuple[str, ...]
    session_ms: int
    rebalance_ms: int
    topics: bytes = b"x"
    stage: str = "out"
    member_id: str = ""
    generation: int = -1
    joining: int | None = None
    syncing: int | None = None


class Lives(RuleBasedStateMachine):
    """Random lives of groups; see the module's docstring."""

    new_owner: Callable[..., Owner]
    clients = Bundle("clients")

    @initialize(delay_ms=st.sampled_from([0, 3_000]))
    def begin(self, delay_ms: int) -> None:
        config = GroupConfig(
            max_size=4,
            initial_rebalance_delay_ms=delay_ms,
            # Groups are not deleted behind the clients' backs: a new one would count from 0.
            offsets_retention_check_interval_ms=10**12,
        )
        self.owner = type(self).new_owner(config)
        self.reader = type(self).new_owner(config)  # knows the log and nothing else
        self.everyone: list[Client] = []
        self.decisions = 0  # how often a leader has assigned
        self.decided: dict[tuple[str, int], set[str]] = {}
        self.highest: dict[str, int] = {}  # generation anyone was told in this life
        self.assigned: dict[str, int] = {}  # generation anyone was ever assigned something in
        self.offsets: dict[tuple[str, int], int] = {}
        self.refusals = False

    # What clients do.

    @rule(
        target=clients,
        group_id=st.sampled_from("aaab"),
        version=st.sampled_from([0, 3, 5, 8, 9]),
        instance=st.sampled_from([None, "one", "two", "three"]),
        protocols=st.sampled_from([("range",), ("range", "sticky"), ("sticky", "range")]),
        session_ms=st.sampled_from([6_000, 30_000]),
        rebalance_ms=st.sampled_from([-1, 0, 5_000, 40_000]),
    )
    def start(
        self,
        group_id: str,
        version: int,
        instance: str | None,
        protocols: tuple[str, ...],
        session_ms: int,
        rebalance_ms: int,
    ) -> Client:
        instance_id = instance if version >= 5 else None
        client = Client(group_id, version, instance_id, protocols, session_ms, rebalance_ms)
        self.everyone.append(client)
        return client

    @rule(client=clients)
    def go_on(self, client: Client) -> None:
        """Do what a client library does next."""
        if client.joining is not None or client.syncing is not None:
            return
        if client.stage == "out":
            self._join(client)
        elif client.stage == "joined":
            self._sync(client)
        else:
            self._beat(client)

    @rule(rounds=st.integers(1, 4))
    def all_go_on(self, rounds: int) -> None:
        for _ in range(rounds):
            for client in self.everyone:
                self.go_on(client)
            self.owner.advance(0)
            self._listen()

    @rule(client=clients, protocols=st.sampled_from([("range",), ("sticky", "range")]))
    def wish_for_something_else(self, client: Client, protocols: tuple[str, ...]) -> None:
        client.topics, client.protocols = client.topics + b"x", protocols
        self._join(client)

    @rule(client=clients)
    def sync_unasked(self, client: Client) -> None:
        self._sync(client)

    @rule(client=clients)
    def beat_in_a_wrong_generation(self, client: Client) -> None:
        client.generation += 1
        self._beat(client)

    @rule(client=clients)
    def restart(self, client: Client) -> None:
        client.stage, client.member_id, client.generation = "out", "", -1
        client.joining = client.syncing = None
        self.go_on(client)

    @rule(client=clients)
    def go_on_with_a_full_disk(self, client: Client) -> None:
        self.owner.disk_full = self.refusals = True
        self.go_on(client)
        self.owner.disk_full = False

    @rule(client=clients)
    def leave(self, client: Client) -> None:
        members = [MemberIdentity(client.member_id, client.instance_id)]
        answer = self.owner.ask(LeaveGroupRequest(client.group_id, members=members), 5)
        assert answer.error_code in {0, 16}
        client.stage, client.member_id = "out", ""
        self._listen()

    @rule(client=clients, partition=st.integers(0, 1), offset=st.integers(0, 9))
    def commit(self, client: Client, partition: int, offset: int) -> None:
        self._commit(client, client.generation, client.member_id, partition, offset)

    @rule(client=clients, partition=st.integers(0, 1), offset=st.integers(0, 9))
    def commit_anonymously(self, client: Client, partition: int, offset: int) -> None:
        self._commit(client, -1, "", partition, offset)

    # What happens to everyone.

    @rule(milliseconds=st.sampled_from([0, 1, 2_999, 3_000, 5_999, 6_000, 40_000, 300_000]))
    def wait(self, milliseconds: int) -> None:
        self.owner.advance(milliseconds)
        self._listen()

    @rule(milliseconds=st.sampled_from([3_000, 40_000]))
    def wait_with_a_full_disk(self, milliseconds: int) -> None:
        self.owner.disk_full = self.refusals = True
        self.wait(milliseconds)
        self.owner.disk_full = False

    @rule()
    def crash(self) -> None:
        self.owner = self.owner.restarted()
        for client in self.everyone:
            if client.joining is not None or client.syncing is not None:
                client.stage = "out"
            client.joining = client.syncing = None
        self.highest = dict(self.assigned)
        self.refusals = False

    # What must hold.

    @invariant()
    def the_log_tells_all_that_is_settled(self) -> None:
        reader = self.reader
        for partition, record in self.owner.log[len(reader.log) :]:
            reader.log.append((partition, record))
            assert reader.coordinator.apply(partition, *record) is None
        for (group_id, partition), offset in self.offsets.items():
            assert self.owner.committed(group_id, partition) == offset
            assert reader.committed(group_id, partition) == offset
        for group in self._groups():
            if group.state is State.STABLE or (group.empty and not self.refusals):
                read = reader.coordinator._groups[group.group_id]
                assert (read.state, read.generation) == (group.state, group.generation)
                assert read.members.leader == group.members.leader
                assert reader.describe(group.group_id) == self.owner.describe(group.group_id)

    @invariant()
    def everyone_who_waits_is_known(self) -> None:
        parked = [
            each.token
            for group in self._groups()
            for member in group.members
            for each in (member.joining, member.syncing)
            if each is not None
        ]
        assert sorted(parked) == sorted(self.owner.open)

    @invariant()
    def everyone_is_expected_to_be_heard_of_and_nobody_else(self) -> None:
        timers = self.owner.coordinator._timers
        expected = {TimerKey("expiry")}
        for group in self._groups():
            for kind in ("join", "sync"):
                if TimerKey(kind, group.group_id) in timers:
                    expected.add(TimerKey(kind, group.group_id))
            for member_id in group.members.pending:
                expected.add(TimerKey("session", group.group_id, member_id))
            for member in group.members:
                key = TimerKey("session", group.group_id, member.member_id)
                assert member.waits or key in timers
                expected.add(key)
            preparing = group.state is State.PREPARING_REBALANCE
            assert (TimerKey("join", group.group_id) in timers) == preparing
            unsynced = bool(group.members.unsynced)
            assert (TimerKey("sync", group.group_id) in timers) == unsynced
        assert set(timers._timers) <= expected

    def teardown(self) -> None:
        """Everybody falls silent: every request is answered, and no group is stuck."""
        if not hasattr(self, "owner"):
            return
        self.owner.advance(HOUR_MS)
        self._listen()
        assert not self.owner.open
        assert {self.owner.state(group_id) for group_id in GROUPS} <= {"Empty", "Dead"}

    # Looking on.

    def _groups(self) -> Iterator[ClassicGroup]:
        return iter(self.owner.coordinator._groups.values())

    def _join(self, client: Client) -> None:
        client.joining = self.owner.join(
            client.member_id,
            group_id=client.group_id,
            version=client.version,
            instance_id=client.instance_id,
            protocols=[(name, client.topics) for name in client.protocols],
            session_ms=client.session_ms,
            rebalance_ms=client.rebalance_ms,
        )
        self._listen()

    def _sync(self, client: Client) -> None:
        self.decisions += 1
        client.syncing = self.owner.sync(
            client.member_id,
            client.generation,
            {
                member.member_id: f"{self.decisions}:{member.member_id}".encode()
                for member in self.owner.describe(client.group_id).members
            },
            group_id=client.group_id,
            version=4,
            instance_id=client.instance_id,
        )
        self._listen()

    def _beat(self, client: Client) -> None:
        error = self.owner.beat(
            client.member_id,
            client.generation,
            group_id=client.group_id,
            instance_id=client.instance_id,
        )
        assert error in {0, 22, 25, 27, 82}
        self._told(client, error)

    def _commit(
        self, client: Client, generation: int, member_id: str, partition: int, offset: int
    ) -> None:
        error = self.owner.commit(
            offset,
            group_id=client.group_id,
            member_id=member_id,
            generation=generation,
            instance_id=client.instance_id if member_id else None,
            partition=partition,
        )
        if not error:
            self.offsets[client.group_id, partition] = offset

    def _told(self, client: Client, error: int) -> None:
        """What an error makes of a client."""
        if error:
            client.stage = "out"
        if error in (25, 81, 82):
            client.member_id, client.generation = "", -1

    def _listen(self) -> None:
        """Have the clients hear the answers that have come meanwhile."""
        for client in self.everyone:
            if client.joining in self.owner.answers:
                answer, client.joining = self.owner.answers[client.joining], None
                self._joined(client, answer)
            if client.syncing in self.owner.answers:
                answer, client.syncing = self.owner.answers[client.syncing], None
                self._synced(client, answer)

    def _joined(self, client: Client, answer: Any) -> None:
        self._told(client, answer.error_code)
        if answer.error_code == 79:
            client.member_id = answer.member_id
        elif answer.error_code == 0:
            client.stage, client.generation = "joined", answer.generation_id
            client.member_id = answer.member_id
            assert answer.generation_id >= self.highest.get(client.group_id, 0)
            self.highest[client.group_id] = answer.generation_id
            assert (answer.leader == answer.member_id) or not answer.members

    def _synced(self, client: Client, answer: Any) -> None:
        """Whatever is assigned in one generation was decided by one Sync of its leader."""
        self._told(client, answer.error_code)
        if answer.error_code:
            return
        client.stage = "in"
        if answer.assignment:
            decision, _, _ = answer.assignment.decode().partition(":")
            decided = self.decided.setdefault((client.group_id, client.generation), set())
            decided.add(decision)
            assert len(decided) == 1
            before = self.assigned.get(client.group_id, 0)
            self.assigned[client.group_id] = max(before, client.generation)


def test_random_lives_keep_the_promises(new_owner: Callable[..., Owner]) -> None:
    Lives.new_owner = new_owner
    run_state_machine_as_test(Lives, settings=settings(stateful_step_count=60))

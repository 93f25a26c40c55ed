"""kill -9 of the broker under load, again and again: nothing acknowledged is lost or doubled.

    python -m tools.kill_loop --count 1000 --resume progress.json

Idempotent producers, transactions, group commits, deletions and readers go on while the broker is
killed: after a while of work, or in the middle of its recovery. A round is some fifty kills of one
data directory; at its end everything that clients were told is held against what can be read, and
Apache Kafka's DumpLogSegments against every file. A round depends on its seed alone, as far as a
race between processes can; the file given with `--resume` keeps how many kills were survived, so
that a run that was interrupted goes on with its next round.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from confluent_kafka import KafkaException
from confluent_kafka import TopicPartition as Place
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from mq.record import TopicPartition
from mq.testing.history import History
from tools.dump_log import faults
from tools.kill_load import KEYS, Client, Committer, Reader, Sender, Transactor
from tools.mq_broker import MqBroker

KILLS_PER_ROUND = 50
PARTITIONS = {"plain": 3, "deleted": 3, "retained": 1, "compacted": 1, "transactions": 3}
STUCK_S = 60.0
COMPACTION_S = 10.0
SMALL = {"segment.bytes": "1048576"}  # the least there is: segments roll every few kills
TOPICS: dict[str, dict[str, str]] = {
    "plain": SMALL,
    "deleted": SMALL,
    "retained": {**SMALL, "retention.bytes": "1500000"},
    "compacted": {**SMALL, "cleanup.policy": "compact", "min.cleanable.dirty.ratio": "0.1"},
    "transactions": SMALL,
}
LOGS = ("plain", "deleted", "retained")

# The broker as it is, but for the patience of its housekeeping: lives are short here.
BUSY_BROKER = """
import dataclasses, sys
import mq.broker.__main__ as program
from mq.broker import compactor, housekeeping
from mq.broker.settings import Settings

def run(options, run=program.run):
    busy = Settings(retention_check_interval_ms=200)
    return run(dataclasses.replace(options, settings=busy))

compactor._CHECK_S = housekeeping._FIRST_RETENTION_S = 0.2
program.run = run
sys.exit(program.main(sys.argv[1:]))
"""


@dataclass
class Round:
    """One data directory, its clients, and what they found out.

    Attributes:
        kills: how many were survived.
        complaints: what went wrong; empty is what one hopes for.
        acknowledged: how many records were acknowledged in all.
        compacted: how many records of the compacted topic were compacted away.
        retained: how many records of the topic with a limit were deleted for it.
    """

    broker: MqBroker
    chance: random.Random
    kills: int = 0
    acknowledged: int = 0
    compacted: int = 0
    retained: int = 0
    complaints: list[str] = field(default_factory=list)
    _history: History = field(default_factory=History)
    _clients: list[Client] = field(default_factory=list)
    _deleted: dict[TopicPartition, int] = field(default_factory=dict)

    def run(self, kills: int) -> None:
        """Work, kill, and look."""
        self._create_topics()
        self._start_clients()
        try:
            while self.kills < kills and not self._collect():
                everyone = self.chance.random() < 0.2  # some take a second to find the broker
                self._await_progress(self.chance.randrange(1, 1_000), everyone=everyone)
                if self.chance.random() < 0.3:
                    self._delete_records()
                if self.chance.random() < 0.1:
                    self._await_compaction()
                self._kill()
            self._await_progress(1, everyone=True)
        finally:
            for client in self._clients:
                client.ended.set()
            for client in self._clients:
                client.join()
        self._collect()
        self._judge()

    def _create_topics(self) -> None:
        admin = AdminClient({"bootstrap.servers": self.broker.bootstrap})
        wanted = [
            NewTopic(name, PARTITIONS[name], config=config) for name, config in TOPICS.items()
        ]
        for created in admin.create_topics(wanted).values():
            created.result(30)

    def _start_clients(self) -> None:
        rest = self.broker.bootstrap, self._history
        topics = "plain", "plain", "deleted", "retained", "compacted"
        self._clients = [
            *(
                Sender(f"sender-{number}", topic, PARTITIONS[topic], *rest, self._chance())
                for number, topic in enumerate(topics)
            ),
            Transactor("writer", "transactions", PARTITIONS["transactions"], *rest, self._chance()),
            Committer("group", "plain", *rest, self._chance()),
            Reader("reader", _places(*LOGS), "read_uncommitted", *rest, self._chance()),
            Reader("committed", _places("transactions"), "read_committed", *rest, self._chance()),
        ]
        for client in self._clients[3:5]:  # logs that shrink shall roll often
            client.value_bytes_max = 10_000
        for client in self._clients:
            client.start()

    def _chance(self) -> random.Random:
        return random.Random(self.chance.random())

    def _await_progress(self, steps: int, *, everyone: bool) -> None:
        """Return when so much was acknowledged to all together, and something to `everyone`."""
        before = [client.progress for client in self._clients]
        writers = sum(not isinstance(client, Reader) for client in self._clients)  # they come first
        deadline = time.monotonic() + STUCK_S
        while True:
            steps_done = [c.progress - n for c, n in zip(self._clients, before, strict=True)]
            if sum(steps_done[:writers]) >= steps and (min(steps_done) > 0 or not everyone):
                return
            if self._collect() or time.monotonic() > deadline:
                stuck = [c.name for c, n in zip(self._clients, steps_done, strict=True) if not n]
                self.complaints += [f"{name} made no progress" for name in stuck]
                return
            time.sleep(0.005)

    def _delete_records(self) -> None:
        """Delete about half of what a partition holds; a crash may come before the answer."""
        place = TopicPartition("deleted", self.chance.randrange(PARTITIONS["deleted"]))
        told = list(self._history.acknowledged.values())  # at once: others write to it
        ends = [at.offset for at in told if at.partition == place]
        if not ends:
            return
        offset = self.chance.randrange(max(ends))
        self._history.deleted_to(place, offset)
        admin = AdminClient({"bootstrap.servers": self.broker.bootstrap, "log_level": 0})
        asked = admin.delete_records([Place(*place, offset)])
        if self.chance.random() < 0.5:
            try:
                [done] = asked.values()
                done.result(30)
            except KafkaException as error:
                self.complaints.append(f"records could not be deleted: {error}")
            self._deleted[place] = max(offset, self._deleted.get(place, 0))

    def _await_compaction(self) -> None:
        """Return in the middle of one, or right behind it, if there is much to compact."""
        partition = self.broker.data / "compacted-0"
        if sum(1 for _ in partition.glob("*.log")) < 3:
            return
        deadline = time.monotonic() + COMPACTION_S
        goals = (True, False) if self.chance.random() < 0.5 else (True,)
        for is_under_way in goals:
            while any(partition.glob("*.cleaned")) != is_under_way:
                if time.monotonic() > deadline:
                    return
                time.sleep(0.001)

    def _kill(self) -> None:
        """Kill the broker, and every now and then its successor before it serves."""
        self.broker.kill()
        self.kills += 1
        while self.chance.random() < 0.2:
            self.broker.restart(wait=False)
            time.sleep(self.chance.random() * 0.4)
            self.broker.kill()
            self.kills += 1
        self.broker.restart()

    def _collect(self) -> list[str]:
        for client in self._clients:
            found, client.complaints = client.complaints, []
            self.complaints += found
        return self.complaints

    def _judge(self) -> None:
        """Hold what can be read at the end against what clients were told."""
        self.acknowledged = len(self._history.acknowledged)
        starts = self._read_to_the_end(self._history, LOGS, "read_uncommitted")
        for place, offset in self._deleted.items():
            if starts[place] < offset:
                self.complaints.append(f"{place}: what was deleted below {offset} is back")
        for place in _places("retained"):
            self._history.deleted_to(place, starts[place])
            self.retained += starts[place]
        self._read_to_the_end(self._history, ("transactions",), "read_committed")
        for client in self._clients:
            if isinstance(client, Transactor):
                self.complaints += torn(client.transactions, self._history.values_read())
        last = History()
        self._read_to_the_end(last, ("compacted",), "read_uncommitted")
        told = [
            value
            for value, at in self._history.acknowledged.items()
            if at.partition.topic == "compacted"
        ]
        self.compacted = len(told) - len(last.values_read())
        self.complaints += stale(told, last.values_read())
        self.complaints += map(str, self._history.anomalies())
        code = self.broker.stop()
        if code:
            self.complaints.append(f"the broker ended with {code}: {self.broker.tail()}")
        if "Traceback" in self.broker.log.read_text():
            self.complaints.append(f"the broker printed a traceback, see {self.broker.log}")
        self.complaints += faults(self.broker.data, compacted=["compacted"])

    def _read_to_the_end(
        self, history: History, topics: Sequence[str], isolation: str
    ) -> dict[TopicPartition, int]:
        rest = self.broker.bootstrap, history, self._chance()
        reader = Reader("last", _places(*topics), isolation, *rest)
        reader.read_to_the_end()
        return reader.starts


def stale(told: Iterable[bytes], seen: Iterable[bytes]) -> list[str]:
    """Complaints of keys in the compacted topic whose latest acknowledged value is not there."""
    latest: list[dict[int, int]] = []
    for values in (told, seen):
        numbers = sorted(int(value.split(b":")[1]) for value in values)
        latest.append({number % KEYS: number for number in numbers})
    return [
        f"the key of number {number} ends with number {latest[1].get(key)}"
        for key, number in latest[0].items()
        if latest[1].get(key, -1) < number
    ]


def torn(transactions: Iterable[Sequence[bytes]], seen: set[bytes]) -> list[str]:
    """Complaints of transactions of which some records were seen and others not."""
    return [
        f"a transaction is torn: {visible} of {len(values)} records from {values[0][:40]!r} on"
        for values in transactions
        if (visible := len(seen.intersection(values))) not in (0, len(values))
    ]


def _places(*topics: str) -> list[TopicPartition]:
    return [TopicPartition(topic, index) for topic in topics for index in range(PARTITIONS[topic])]


def run_round(directory: Path, seed: str, kills: int, durability: str = "sync") -> Round:
    """One round in `directory`; its `complaints` say what went wrong."""
    program = ("-c", BUSY_BROKER)
    with MqBroker.start(directory, durability=durability, program=program) as broker:
        each = Round(broker, random.Random(seed))
        each.run(kills)
        return each


def run(seed: int, count: int, survived: int, note: Callable[[int], None]) -> list[str]:
    """Rounds until `count` kills are survived; the complaints of the first that was not."""
    began = time.monotonic()
    while survived < count:
        kills = min(KILLS_PER_ROUND, count - survived)
        directory = Path(tempfile.mkdtemp(prefix="mq-kill-loop-"))
        done = run_round(directory, f"{seed}/{survived}", kills)
        survived += done.kills
        print(
            f"seed {seed}: {survived} of {count} kills, {done.acknowledged} records acknowledged, "
            f"{done.compacted} compacted, {done.retained} expired in this round, "
            f"{time.monotonic() - began:.0f} s",
            flush=True,
        )
        if done.complaints:
            return [*done.complaints, f"the directory is kept: {directory}"]
        shutil.rmtree(directory)
        note(survived)
    return []


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line: see the module's docstring."""
    parser = argparse.ArgumentParser(prog="python -m tools.kill_loop")
    parser.add_argument("--count", type=int, default=1000, help="kills in all")
    parser.add_argument("--seed", type=int, help="default: another one for every run")
    parser.add_argument("--resume", type=Path, help="go on where this file says, and keep it")
    given = parser.parse_args(arguments)
    seed, survived = given.seed or random.SystemRandom().randrange(2**32), 0
    if given.resume and given.resume.exists():
        kept = json.loads(given.resume.read_text())
        seed, survived = kept["seed"], kept["survived"]
    print(f"seed {seed}: {survived} of {given.count} kills survived so far", flush=True)

    def note(kills: int) -> None:
        if given.resume:
            given.resume.write_text(json.dumps({"seed": seed, "survived": kills}) + "\n")

    complaints = run(seed, given.count, survived, note)
    print(*complaints or [f"seed {seed}: {given.count} kills survived"], sep="\n")
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())

"""The power goes under a loaded broker, again and again, on a real file system.

    python -m tools.power_loop --count 200 --seed 7

The broker's data is on an ext4 of its own (`tools.loop_disk`). While producers write, the kernel
shuts the file system down, so that nothing more reaches the disk; broker and mount go, the mount
comes back as after a power loss, and the broker starts on what is left. After every tenth cut, and
the last, everything that was acknowledged so far is looked for. Where the system does not allow
such mounts, this says so and ends with 3: that is not a pass.
"""

from __future__ import annotations

import argparse
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from mq.record import TopicPartition
from mq.testing.history import History
from tools.kill_load import Reader, Sender
from tools.loop_disk import LOG_FLUSHED, LOG_LOST, LoopDisk, LoopDiskError
from tools.mq_broker import MqBroker

NOT_RUN = 3
PARTITIONS = 3
SENDERS = 2
DISK_MIB = 512
STUCK_S = 60.0
SHOWN = 20  # anomalies; they come in heaps
LOOKED_AT_EVERY = 10


def run(directory: Path, seed: int, count: int) -> list[str]:
    """Cut the power `count` times; complaints about what was found afterwards.

    Raises:
        LoopDiskError: this cannot be done here.
    """
    chance = random.Random(seed)
    with (
        LoopDisk(directory, DISK_MIB) as disk,
        MqBroker.start(directory, data=disk.path / "data") as broker,
    ):
        return _Cuts(disk, broker, chance).run(count)


class _Cuts:
    """One data directory that loses power."""

    def __init__(self, disk: LoopDisk, broker: MqBroker, chance: random.Random) -> None:
        self._disk = disk
        self._broker = broker
        self._chance = chance
        self._history = History()
        self._kept = Path(tempfile.mkdtemp(prefix="mq-power-loop-")) / "data"
        self._places = [TopicPartition("cut", index) for index in range(PARTITIONS)]

    def run(self, count: int) -> list[str]:
        admin = AdminClient({"bootstrap.servers": self._broker.bootstrap, "log_level": 0})
        config = {"segment.bytes": "1048576"}  # the least there is: segments roll every few cuts
        admin.create_topics([NewTopic("cut", PARTITIONS, config=config)])["cut"].result(30)
        rest = self._broker.bootstrap, self._history
        senders = [
            Sender(f"sender-{i}", "cut", PARTITIONS, *rest, random.Random(self._chance.random()))
            for i in range(SENDERS)
        ]
        for sender in senders:
            sender.start()
        complaints: list[str] = []
        try:
            for number in range(1, count + 1):
                complaints += self._await_progress(senders)
                if not complaints:
                    self._cut()
                    if number % LOOKED_AT_EVERY == 0:
                        complaints += self._look()
                        said = f"{number} of {count} cuts, {len(self._history.acknowledged)}"
                        print(f"{said} records acknowledged so far", flush=True)
                if complaints:
                    kept = shutil.copytree(self._broker.data, self._kept)
                    return [*complaints, f"the data directory is kept: {kept}"]
        finally:
            for sender in senders:
                sender.ended.set()
            for sender in senders:
                sender.join()
        return [*self._look(), *(text for sender in senders for text in sender.complaints)]

    def _await_progress(self, senders: list[Sender]) -> list[str]:
        wanted = [each.progress + self._chance.randrange(1, 300) for each in senders]
        deadline = time.monotonic() + STUCK_S
        while any(each.progress < n for each, n in zip(senders, wanted, strict=True)):
            complaints = [text for sender in senders for text in sender.complaints]
            if complaints or time.monotonic() > deadline:
                return complaints or ["nothing more is acknowledged", self._broker.tail()]
            time.sleep(0.002)
        return []

    def _cut(self) -> None:
        """The power goes: first the process stands still, as it has to, then the disk.

        A process that went on would be told that its last syncs were done: ext4 answers so where
        it has just thrown the transaction away.
        """
        self._broker.freeze()
        self._disk.cut_power(self._chance.choice((LOG_LOST, LOG_LOST, LOG_FLUSHED)))
        self._broker.kill()
        self._disk.unmount()
        self._disk.mount()
        self._broker.restart()

    def _look(self) -> list[str]:
        """What is wrong with what can be read now."""
        rest = self._broker.bootstrap, self._history, self._chance
        Reader("reader", self._places, "read_uncommitted", *rest).read_to_the_end()
        anomalies = self._history.anomalies()
        more = [f"and {len(anomalies) - SHOWN} more"] if len(anomalies) > SHOWN else []
        return [*map(str, anomalies[:SHOWN]), *more]


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line: see the module's docstring."""
    parser = argparse.ArgumentParser(prog="python -m tools.power_loop")
    parser.add_argument("--count", type=int, default=200, help="how often the power goes")
    parser.add_argument("--seed", type=int, help="default: another one for every run")
    given = parser.parse_args(arguments)
    seed = random.SystemRandom().randrange(2**32) if given.seed is None else given.seed
    print(f"seed {seed}: {given.count} cuts of the power", flush=True)
    directory = Path(tempfile.mkdtemp(prefix="mq-power-loop-"))
    try:
        complaints = run(directory, seed, given.count)
    except LoopDiskError as error:
        print(f"not run here: {error}")
        return NOT_RUN
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    print(*complaints or [f"seed {seed}: {given.count} cuts of the power, nothing lost"], sep="\n")
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())

"""One flipped bit is found or harmless, and an auxiliary file that is lost changes nothing."""

from __future__ import annotations

import logging
import random
from collections.abc import Iterator
from itertools import islice

import pytest

from mq.testing.disk import Disk
from mq.testing.flipped_bits import Flip, Outcome, flip, flips, judge, without
from mq.testing.owner import Owner
from mq.testing.pending import Image
from mq.testing.promises import Promises
from mq.wire.batch import batches

pytestmark = pytest.mark.slow

FLIPS = 300  # of the thousands of bytes; each run of the tests looks at the same ones
LOSSES = 40

# What no batch has under its checksum: base offset, and the leader epoch behind the length.
UNSUMMED = (*range(8), *range(12, 16))

LOG_STARTS = "log-start-offset-checkpoint"


@pytest.fixture(autouse=True)
def no_log_lines() -> Iterator[None]:
    """Damage is what is wanted here."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


def life(end: str) -> tuple[Image, Promises]:
    """What is left of a life that has seen a bit of everything."""
    disk, promises = Disk(), Promises()
    owner = Owner(disk, promises)
    owner.prepare()
    for _ in range(3):
        owner.append("a")
        owner.append("b")
        owner.commit()
    owner.append("a", size=700)
    owner.append("a", count=3)
    owner.commit()
    owner.roll("a")
    owner.append("a")
    owner.commit()
    owner.delete_records("a")
    owner.checkpoint()
    owner.append("a")
    owner.append("b")
    owner.commit()
    getattr(owner, end)()
    return disk.image(), promises


@pytest.fixture(scope="module", params=["stop", "kill"])
def left(request: pytest.FixtureRequest) -> tuple[Image, Promises]:
    return life(request.param)


def test_undamaged_it_keeps_every_promise(left: tuple[Image, Promises]) -> None:
    assert judge(*left) == (Outcome.HARMLESS, "")


def test_a_flipped_bit_is_found_or_harmless(left: tuple[Image, Promises]) -> None:
    image, promises = left
    some = random.Random(3).sample([each for each in flips(image) if matters(image, each)], FLIPS)
    outcomes = {each: judge(flip(image, each), promises) for each in some}
    assert {
        each: told for each, (outcome, told) in outcomes.items() if outcome is Outcome.UNSEEN
    } == {}
    assert {outcome for outcome, _ in outcomes.values()} == {Outcome.FOUND, Outcome.HARMLESS}


def matters(image: Image, where: Flip) -> bool:
    """Whether the bit is of a byte that somebody could find out about.

    Not the empty parts of the journal. Not the bytes of a batch that no checksum covers: where a
    start does not scan, nobody can tell. And not the log starts, which have a second copy but no
    checksum: a wrong one that can be read hides records or brings deleted ones back.
    """
    data = image[where.path] or b""
    if "journal" in where.path:
        return any(data[where.byte : where.byte + 16])
    if where.path.endswith(LOG_STARTS):
        return False
    if where.path.endswith(".log"):
        for position, header in batches(data):
            if position <= where.byte < position + header.length:
                return where.byte - position not in UNSUMMED
    return True


def test_auxiliary_files_may_be_lost_in_any_combination(left: tuple[Image, Promises]) -> None:
    image, promises = left
    kinds = (".index", ".timeindex", ".txnindex", ".snapshot", "recovery-point-offset-checkpoint",
             "replication-offset-checkpoint", "leader-epoch-checkpoint", LOG_STARTS)  # fmt: skip
    files = [path for path in sorted(image) if path.endswith(kinds)]
    chance = random.Random(4)
    combinations = [files, *([each] for each in files)]
    combinations += islice(
        iter(lambda: chance.sample(files, chance.randint(2, len(files))), None), LOSSES
    )
    for some in combinations:
        spared = chance.choice((LOG_STARTS, "leader-epoch-checkpoint"))  # the log start has two
        lost = [path for path in some if not path.endswith(spared)]
        assert judge(without(image, *lost), promises) == (Outcome.HARMLESS, ""), lost

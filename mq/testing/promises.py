"""What an owner of logs has promised, and whether what a crash left keeps it.

There is a ledger for each partition of each topic id. It knows every batch that was ever written
and not cut since, below which offset they were acknowledged, and between which bounds the log may
start. A promise is given when its acknowledgement would leave the broker, never earlier; what is
under way may be there or not, but only whole and only in its place:

* every acknowledged batch is at its offset, byte for byte;
* what else is there is a prefix of what was written: nothing invented, nothing behind a hole;
* the log start does not come back, and never goes further than somebody wanted;
* each producer is known by its last batches, so that a repetition is taken for one;
* leader epochs never fall, and tell the truth about the batches; whoever was shown a batch never
  sees another one at the same offset and epoch;
* a crash is never taken for damage.

Knows nothing of disks.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, NamedTuple
from uuid import UUID

from mq.errors import KafkaError
from mq.log.partition import Partition
from mq.wire.batch import BatchHeader, batches, read_header

__all__ = ["BrokenPromise", "Ledger", "Promises", "Written"]

# Where in a batch the part begins that the broker never changes: behind offset, length and epoch.
_FIXED_FROM: Final = 16

_READ_BYTES: Final = 1 << 20

# How many of a producer's batches the broker remembers (see ``mq.log.producers``).
_REMEMBERED: Final = 5


class BrokenPromise(AssertionError):
    """What a crash left is not what had been promised."""


class Written(NamedTuple):
    """A batch as its producer sent it, and its place."""

    header: BatchHeader
    end_offset: int
    data: bytes

    @property
    def base_offset(self) -> int:
        """Where it begins."""
        return self.header.base_offset


@dataclass(slots=True)
class Ledger:
    """The promises about one partition.

    Attributes:
        written: what is in the log, or may be.
        acknowledged: everything below is promised.
        start, start_wanted: the log start that was promised, and the furthest that was asked for.
        epoch: the highest leader epoch that anybody was told.
        shown: every batch that a reader could have seen, by base offset and epoch.
    """

    name: str
    topic_id: UUID
    written: list[Written] = field(default_factory=list)
    acknowledged: int = 0
    start: int = 0
    start_wanted: int = 0
    epoch: int = 0
    shown: dict[tuple[int, int], bytes] = field(default_factory=dict)

    @property
    def end_offset(self) -> int:
        """After the last batch that was written."""
        return self.written[-1].end_offset if self.written else 0


class Promises:
    """All ledgers. ``version`` changes with every promise."""

    def __init__(self) -> None:
        self.ledgers: dict[UUID, Ledger] = {}
        self.version = 0

    def of(self, partition: Partition) -> Ledger:
        """The ledger of a partition; a new one promises nothing."""
        ledger = self.ledgers.get(partition.topic_id)
        if ledger is None:
            ledger = Ledger(partition.topic, partition.topic_id)
            self.ledgers[partition.topic_id] = ledger
        return ledger

    # --- giving ----------------------------------------------------------------------------------

    def write(self, partition: Partition, data: bytes, end_offset: int) -> None:
        """A batch was appended, and is the last one now; readers see it if all else is seen."""
        ledger = self.of(partition)
        header = read_header(data)._replace(base_offset=ledger.end_offset)
        written = Written(header, end_offset, data)
        ledger.written.append(written)
        if partition.high_watermark >= end_offset:
            self._show(ledger, written, partition.leader_epoch)
        self.version += 1

    def acknowledge(self, partition: Partition, end_offset: int) -> None:
        """Everything below ``end_offset`` is promised."""
        ledger = self.of(partition)
        if end_offset > ledger.acknowledged:
            ledger.acknowledged = end_offset
            self.version += 1

    def want_start(self, partition: Partition, offset: int) -> None:
        """The log start is about to rise, to ``offset`` at most."""
        ledger = self.of(partition)
        ledger.start_wanted = max(offset, ledger.start_wanted)

    def promise_start(self, partition: Partition) -> None:
        """The log start that the partition has now was acknowledged."""
        ledger = self.of(partition)
        ledger.start = ledger.start_wanted = partition.log_start_offset
        self.version += 1

    def _show(self, ledger: Ledger, written: Written, epoch: int) -> None:
        before = ledger.shown.setdefault((written.base_offset, epoch), written.data)
        if before != written.data:
            raise BrokenPromise(
                f"{ledger.name}: readers saw two batches at {written.base_offset} in epoch {epoch}"
            )

    def renew(self, partition: Partition) -> None:
        """Begin another life: all that a start has found is promised from now on."""
        ledger = self.of(partition)
        ledger.written = [w for w in ledger.written if w.end_offset <= partition.log_end_offset]
        ledger.acknowledged = partition.log_end_offset
        ledger.start = ledger.start_wanted = partition.log_start_offset
        ledger.epoch = partition.leader_epoch
        for written in ledger.written:
            if written.base_offset >= partition.log_start_offset:
                self._show(ledger, written, partition.epoch_at(written.base_offset))
        self.version += 1

    # --- keeping ---------------------------------------------------------------------------------

    def check(self, partition: Partition) -> None:
        """Whether a partition, just opened, keeps what was promised about it.

        Raises:
            BrokenPromise: it does not.
        """
        ledger = self.ledgers.get(partition.topic_id)
        if ledger is None:
            ledger = Ledger(partition.topic, partition.topic_id)
        recovered = partition.recovered
        claim(
            not (recovered.lost_synced or recovered.set_aside),
            "{} takes a crash for damage: {}",
            partition,
            recovered,
        )
        _check_bounds(partition, ledger)
        found = _check_content(partition, ledger)
        _check_epochs(partition, ledger, found)
        _check_producers(partition, ledger)


def claim(holds: bool, text: str, *values: object) -> None:
    """Raise :class:`BrokenPromise`, with the values put into its text, unless it holds."""
    if not holds:
        raise BrokenPromise(text.format(*values))


def _check_bounds(partition: Partition, ledger: Ledger) -> None:
    start, end = partition.log_start_offset, partition.log_end_offset
    promised = ledger.acknowledged
    claim(end >= promised, "{} ends below {}, which was acknowledged", partition, promised)
    ends = {0, start, *(written.end_offset for written in ledger.written)}
    claim(end in ends, "{} ends where no batch did", partition)
    legal = ledger.start, ledger.start_wanted
    claim(legal[0] <= start <= legal[1], "{} begins outside of {}", partition, legal)
    claim(start <= end == partition.high_watermark, "{} shows less than it holds", partition)


def _check_content(partition: Partition, ledger: Ledger) -> list[BatchHeader]:
    """The headers of all batches above the log start, which are what was written there."""
    found: list[BatchHeader] = []
    by_offset = {written.base_offset: written for written in ledger.written}
    offset = partition.log_start_offset
    while offset < partition.log_end_offset:
        try:
            data = partition.read_batches(offset, _READ_BYTES)
        except KafkaError as error:
            raise BrokenPromise(f"{partition} cannot be read at {offset}: {error}") from error
        claim(bool(data), "{} gives nothing at {}", partition, offset)
        for position, header in batches(data):
            written = by_offset.get(header.base_offset)
            claim(
                written is not None
                and header.last_offset + 1 == written.end_offset
                and data[position + _FIXED_FROM : position + header.length]
                == written.data[_FIXED_FROM:],
                "{} holds at {} what was never written there",
                partition,
                header.base_offset,
            )
            claim(header.base_offset <= offset, "{} has a hole at {}", partition, offset)
            found.append(header)
            offset = header.last_offset + 1
    return found


def _check_epochs(partition: Partition, ledger: Ledger, found: list[BatchHeader]) -> None:
    epoch = partition.leader_epoch
    claim(epoch >= ledger.epoch, "{} fell from epoch {} to {}", partition, ledger.epoch, epoch)
    for header in found:
        told = partition.epoch_at(max(header.base_offset, partition.log_start_offset))
        claim(
            told == header.leader_epoch,
            "{} says epoch {} of the batch at {} with epoch {}",
            partition,
            told,
            header.base_offset,
            header.leader_epoch,
        )
    shown = max((base for base, in_epoch in ledger.shown if in_epoch == epoch), default=-1)
    claim(
        shown < partition.log_end_offset,
        "{} does not raise its epoch, in which readers saw offset {}",
        partition,
        shown,
    )


def _check_producers(partition: Partition, ledger: Ledger) -> None:
    """A repetition of a late batch is taken for one, and what was cut is not remembered."""
    late: dict[int, list[Written]] = {}
    for written in ledger.written:
        if written.header.producer_id >= 0 and written.end_offset <= partition.log_end_offset:
            late.setdefault(written.header.producer_id, []).append(written)
    for producer_id, batches_of_it in late.items():
        state = partition.producers.get(producer_id)
        last = batches_of_it[-1].header
        claim(
            state is None or state.last_sequence == last.base_sequence + last.last_offset_delta,
            "{} knows another last batch of producer {} than was stored",
            partition,
            producer_id,
        )
        for written in batches_of_it[-_REMEMBERED:]:
            if written.base_offset >= partition.log_start_offset:
                _check_repetition(partition, written)


def _check_repetition(partition: Partition, written: Written) -> None:
    try:
        again = partition.append(written.data, now_ms=written.header.max_timestamp)
    except KafkaError as error:
        raise BrokenPromise(f"{partition} refuses a repetition: {error}") from error
    claim(
        again.duplicate and again.base_offset == written.header.base_offset,
        "{} does not know the batch at {} again",
        partition,
        written.base_offset,
    )

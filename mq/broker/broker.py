"""The broker: the one owner of all state, on one event loop.

Requests meet state here and nowhere else. Handlers (:mod:`mq.broker.apis`) ask this object what
exists, append through it, and answer through it when what they say is on stable storage; since all
run on one loop, each sees the state between two requests, and there is not a lock in the house.

Where things live: what exists in :mod:`~mq.broker.catalog`, logs in :mod:`~mq.broker.partitions`,
groups in :mod:`~mq.broker.group_owner`, those who wait in :mod:`~mq.broker.syncs` and
:mod:`~mq.broker.waiting`. The broker knows requests and state, but no sockets.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Protocol
from uuid import UUID, uuid4

from mq.broker.call import Call
from mq.broker.catalog import (
    METADATA_TOPIC,
    NODE_ID,
    OFFSETS_TOPIC,
    PRODUCER_ID_BLOCK,
    TRANSACTION_TOPIC,
    Catalog,
    Topic,
)
from mq.broker.clock import Clock
from mq.broker.group_owner import GroupOwner
from mq.broker.housekeeping import Housekeeping
from mq.broker.partitions import Partitions
from mq.broker.settings import Settings
from mq.broker.syncs import AfterSync, Syncs
from mq.broker.transaction_owner import TransactionOwner
from mq.broker.waiting import FetchWaiters, Timer
from mq.coordinators.effects import Now
from mq.coordinators.group_config import GroupConfig
from mq.coordinators.transaction_config import TransactionConfig
from mq.errors import ConfigurationError, ErrorCode, KafkaError, MqError
from mq.log.config import LogConfig
from mq.log.directory import DataDirectory
from mq.log.partition import Appended, Partition
from mq.log.transactions import Marker
from mq.record import TopicPartition
from mq.wire.batch import BatchHeader, BatchRecord, batches, decode_batch, encode_batch
from mq.wire.fields import Message, Response
from mq.wire.state_record import decode_metadata, encode_metadata

__all__ = ["Broker", "Loop"]

# The id that KRaft gives the metadata topic in every cluster.
_METADATA_TOPIC_ID: Final = UUID(int=1)

_REPLAY_BYTES: Final = 1024 * 1024


class Loop(Protocol):
    """What the broker needs of the event loop that it lives on."""

    def call_later(self, delay: float, callback: Callable[..., object], *args: Any) -> Timer: ...

    def call_soon(self, callback: Callable[..., object], *args: Any) -> object: ...

    def call_soon_threadsafe(self, callback: Callable[..., object], *args: Any) -> object: ...


class HasErrorCode(Protocol):
    """One result of several in a response."""

    error_code: int


class Broker:
    """Everything a handler can reach.

    Args:
        directory: the open data directory.
        loop: the event loop; every method is called on it.
        settings: the broker's settings.
        failed: called once if the disk fails. No more is appended then; the process should end.
    """

    def __init__(
        self,
        directory: DataDirectory,
        loop: Loop,
        settings: Settings,
        failed: Callable[[Exception], None],
    ) -> None:
        self.settings = settings
        self.catalog = Catalog()
        self.partitions = Partitions(directory, self.catalog)
        self.fetches = FetchWaiters(loop.call_later)
        self.advertised_apis: Sequence[tuple[int, int, int]] = ()
        self.call_later = loop.call_later
        self._directory = directory
        self._clock = Clock()
        self._producer_ids = range(0)
        self.metadata_log = self._open_metadata_log()
        commit = directory.group_commit()
        self._syncs = Syncs(loop, commit, advanced=self.fetches.advanced, failed=failed)
        self._replay_catalog()
        self.partitions.reconcile()
        self.groups = GroupOwner(self, self._group_config())
        self.groups.replay()
        self.transactions = TransactionOwner(self, self._transaction_config())
        self.transactions.replay()
        self._housekeeping = Housekeeping(
            directory, settings, loop, self._clock.now_ms, self._syncs.fail
        )
        self.partitions.remove = self._housekeeping.remove

    @property
    def cluster_id(self) -> str:
        return self._directory.cluster_id

    @property
    def log_dir(self) -> Path:
        """Where the logs are: the one directory of ``log.dirs``."""
        return self._directory.path

    def now(self) -> Now:
        """This moment; what it says of the wall clock does not follow jumps."""
        return self._clock.now()

    # --- records ---------------------------------------------------------------------------------

    def append(
        self,
        partition: Partition,
        records: bytes | memoryview,
        *,
        client: bool = True,
        transaction_version: int = 0,
    ) -> Appended:
        """Append batches; whoever is told of it must be told :meth:`after_syncs`.

        Raises:
            KafkaError: nothing was appended, and why.
        """
        self._syncs.check()
        appended = partition.append(
            records,
            now_ms=time.time_ns() // 1_000_000,
            client=client,
            transaction_version=transaction_version,
        )
        self._syncs.appended(partition)
        return appended

    def append_marker(self, partition: Partition, marker: Marker) -> None:
        """Append the end of a transaction; whoever is told of it must be told :meth:`after_syncs`.

        Raises:
            KafkaError: nothing was appended, and why.
        """
        self._syncs.check()
        partition.append_marker(marker, now_ms=time.time_ns() // 1_000_000)
        self._syncs.appended(partition)

    def after_syncs(self, partitions: Iterable[Partition], then: AfterSync) -> None:
        """Call ``then`` when all that ``partitions`` hold now is on stable storage.

        What the catalog says is waited for as well: a record must not be acknowledged while a crash
        could take its topic back.
        """
        self._syncs.after((*partitions, self.metadata_log), then)

    def batches_of(self, partition: Partition) -> Iterator[tuple[BatchHeader, bytes]]:
        """Every batch of a partition, from its start to its end, to be replayed at a start.

        Raises:
            ConfigurationError: the log is damaged.
        """
        offset = partition.log_start_offset
        while offset < partition.log_end_offset:
            following = offset
            try:
                data = partition.read_batches(offset, _REPLAY_BYTES)
                found = list(batches(data))
            except KafkaError as error:
                raise self.damaged(partition, offset) from error
            for position, header in found:
                yield header, data[position : position + header.length]
                following = header.last_offset + 1
            if following == offset:
                raise self.damaged(partition, offset)
            offset = following

    def records_of(self, partition: Partition) -> Iterator[BatchRecord]:
        """Every record of a partition in which there are no transactions, as :meth:`batches_of`."""
        for header, batch in self.batches_of(partition):
            try:
                yield from decode_batch(batch)
            except KafkaError as error:
                raise self.damaged(partition, header.base_offset) from error

    # --- the catalog -----------------------------------------------------------------------------

    def reply_when_known(self, call: Call[Any], response: Response) -> None:
        """Answer with what the catalog says, once that is on stable storage."""

        def outcome(failed: Mapping[Partition, ErrorCode]) -> None:
            if failed:
                call.refuse("the disk failed")
            else:
                call.reply(response)

        self._syncs.after((self.metadata_log,), outcome)

    def change(
        self,
        call: Call[Any],
        records: Sequence[Message],
        response: Response,
        results: Sequence[HasErrorCode],
    ) -> None:
        """Change the catalog and answer, once that is on stable storage, with ``response``.

        If it cannot be stored, all ``results`` in it that were to succeed have failed.
        """

        def outcome(code: ErrorCode) -> None:
            for result in results:
                result.error_code = result.error_code or code
            call.reply(response)

        try:
            self._commit(records)
        except KafkaError as error:
            outcome(error.code)
        else:
            log = self.metadata_log
            self._syncs.after((log,), lambda failed: outcome(failed.get(log, ErrorCode.NONE)))

    def create_topic(
        self, name: str, partitions: int, configs: Mapping[str, str] | None = None
    ) -> Topic:
        """Create a topic that somebody used before anybody created it.

        Raises:
            KafkaError: why not.
        """
        self._commit(self.catalog.create_topic(name, uuid4(), partitions, configs or {}))
        return self.catalog.topics[name]

    def offsets_topic(self) -> Topic:
        """The topic in which groups are kept, made if it does not exist.

        Raises:
            KafkaError: KAFKA_STORAGE_ERROR.
        """
        settings = self.settings
        return self._state_topic(
            OFFSETS_TOPIC, settings.offsets_topic_partitions, settings.offsets_topic_segment_bytes
        )

    def transaction_topic(self) -> Topic:
        """The topic in which transactions are kept, made if it does not exist.

        Raises:
            KafkaError: KAFKA_STORAGE_ERROR.
        """
        settings = self.settings
        return self._state_topic(
            TRANSACTION_TOPIC,
            settings.transaction_state_partitions,
            settings.transaction_state_segment_bytes,
        )

    def _state_topic(self, name: str, partitions: int, segment_bytes: int) -> Topic:
        configs = {
            "cleanup.policy": "compact",
            "compression.type": "producer",
            "segment.bytes": str(segment_bytes),
        }
        return self.catalog.topics.get(name) or self.create_topic(name, partitions, configs)

    def skip_producer_ids(self, highest: int) -> None:
        """Never give a producer id up to ``highest``: a crash may have forgotten that it was given.

        Raises:
            KafkaError: KAFKA_STORAGE_ERROR.
        """
        while self.catalog.next_producer_id <= highest:
            self._commit(self.catalog.reserve_producer_ids())

    def take_producer_id(self) -> int:
        """A producer id that was never given before; to be told :meth:`reply_when_known`.

        Raises:
            KafkaError: KAFKA_STORAGE_ERROR.
        """
        if not self._producer_ids:
            first = self.catalog.next_producer_id
            self._commit(self.catalog.reserve_producer_ids())
            self._producer_ids = range(first, first + PRODUCER_ID_BLOCK)
        taken = self._producer_ids[0]
        self._producer_ids = self._producer_ids[1:]
        return taken

    def described_settings(self) -> dict[str, str]:
        """The broker's settings as tools ask for them."""
        return {
            "log.dirs": str(self.log_dir),
            "node.id": str(NODE_ID),
            **self.settings.described(),
            **self._group_config().described(),
        }

    def _commit(self, records: Sequence[Message]) -> None:
        """Append to the metadata log, then apply: in this order, or neither."""
        if not records:
            return
        now = self.now().wall_ms
        values = [BatchRecord(None, encode_metadata(record), timestamp=now) for record in records]
        self.append(self.metadata_log, encode_batch(values), client=False)
        for record in records:
            self._apply(record)

    def _apply(self, record: Message) -> None:
        change = self.catalog.apply(record)
        if change is None:
            return
        if change.removed:
            self._forget(change.topic)
        else:
            self.partitions.configure(change.topic)

    def _forget(self, topic: Topic) -> None:
        """A topic was removed: its waiters hear of it now, its files go after the sync."""
        gone = list(self.partitions.existing(topic))
        for partition in gone:
            self._syncs.gone(partition)
            self.fetches.gone(partition)
        self._syncs.after((self.metadata_log,), self._delete_later(gone))
        self.groups.topic_removed(topic)

    def _delete_later(self, partitions: Sequence[Partition]) -> AfterSync:
        def outcome(failed: Mapping[Partition, ErrorCode]) -> None:
            if not failed:
                self.partitions.delete(*partitions)

        return outcome

    # --- beginning and ending --------------------------------------------------------------------

    def _open_metadata_log(self) -> Partition:
        place, directory = TopicPartition(METADATA_TOPIC, 0), self._directory
        found = directory.partitions.get(place)
        if found is not None and place in directory.damaged:
            raise self.damaged(found, found.log_end_offset)
        if found is None or found.log_end_offset == 0:
            for stray in directory.partitions.values():
                if stray.log_end_offset > 0:
                    raise ConfigurationError(
                        f"{stray.path} holds records of a topic that nothing in {directory.path} "
                        "describes: choose another directory, or restore this one from a backup"
                    )
        forever = LogConfig(retention_ms=-1)
        log = directory.create_partition(METADATA_TOPIC, 0, _METADATA_TOPIC_ID, forever)
        # Whatever the durability: a topic that a crash forgets takes all its records with it.
        log.durable = True
        return log

    def _replay_catalog(self) -> None:
        for stored in self.records_of(self.metadata_log):
            try:
                record = decode_metadata(stored.value or b"")
                if record is not None:
                    self.catalog.apply(record)
            except (MqError, KeyError) as error:
                raise self.damaged(self.metadata_log, stored.offset) from error
        self._commit(self.catalog.finalize_features())

    def damaged(self, partition: Partition, offset: int) -> ConfigurationError:
        """The error to start with on state that cannot be understood: guessing would lose more."""
        return ConfigurationError(
            f"{partition.path} is damaged at offset {offset}: restore it from a backup"
        )

    def _group_config(self) -> GroupConfig:
        topic, settings = self.catalog.topics.get(OFFSETS_TOPIC), self.settings
        return GroupConfig(
            offsets_topic_partitions=(
                topic.partitions if topic else settings.offsets_topic_partitions
            ),
            consumer_session_timeout_ms=settings.group_consumer_session_timeout_ms,
            consumer_heartbeat_interval_ms=settings.group_consumer_heartbeat_interval_ms,
        )

    def _transaction_config(self) -> TransactionConfig:
        topic, settings = self.catalog.topics.get(TRANSACTION_TOPIC), self.settings
        partitions = topic.partitions if topic else settings.transaction_state_partitions
        return TransactionConfig(
            state_topic_partitions=partitions,
            max_timeout_ms=settings.transaction_max_timeout_ms,
            id_expiration_ms=settings.transactional_id_expiration_ms,
        )

    def finish(self, then: Callable[[], None]) -> None:
        """Answer every fetch that waits for records, and call ``then`` when all syncs are done."""
        self.fetches.release_all()
        self._syncs.when_idle(then)

    def abandon(self) -> None:
        """End after the disk has failed: nothing more is synced, or said about the disk."""
        self._housekeeping.close()

    def close(self) -> None:
        """End, after what was appended is synced. The data directory is not closed."""
        self._housekeeping.close()
        self.groups.close()
        self.transactions.close()
        self._syncs.close()

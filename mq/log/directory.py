"""A data directory: all partitions of one broker, laid out as Kafka lays out a log directory.

One process at a time holds the directory, by a lock on ``.lock``. A stop in order leaves
``.kafka_cleanshutdown``, and the next start then scans nothing; it removes the marker before
anything else happens, so that every other end counts as a crash.

The three ``*-offset-checkpoint`` files tell a start after a crash where to look. They may lag
behind, in which case it looks at more than it needs to. They name partitions, not topic ids: what
they say of a deleted one must be gone before a namesake begins.
"""

from __future__ import annotations

import logging
import re
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Literal

from mq.errors import ConfigurationError
from mq.log import backlog, checkpoints
from mq.log.backlog import Backlog
from mq.log.config import LogConfig
from mq.log.files import File, Files, OpenFiles, open_files_max
from mq.log.flusher import GroupCommit
from mq.log.journal import JOURNAL_BYTES, Journal, remove, sync_all
from mq.log.loader import LOST_TOPIC_ID, LastStop, Load, create_partition
from mq.log.partition import METADATA_FILE, Partition
from mq.log.storage import Storage, storage_errors
from mq.log.unsynced import SyncFailed, sync_together
from mq.record import TopicPartition

__all__ = ["DataDirectory", "DirectoryInUse"]

NODE_ID: Final = 1

LOCK_FILE: Final = ".lock"
CLEAN_SHUTDOWN_FILE: Final = ".kafka_cleanshutdown"
PROPERTIES_FILE: Final = "meta.properties"
RECOVERY_POINTS_FILE: Final = "recovery-point-offset-checkpoint"
LOG_STARTS_FILE: Final = "log-start-offset-checkpoint"
HIGH_WATERMARKS_FILE: Final = "replication-offset-checkpoint"
CLEANED_FILE: Final = "cleaner-offset-checkpoint"

_PARTITION: Final = re.compile(r"(.+)-(\d+)")
_DELETED: Final = re.compile(r".+-\d+\.[0-9a-f]{32}-delete")
_NAME_BYTES_MAX: Final = 255

logger = logging.getLogger(__name__)


class DirectoryInUse(ConfigurationError):
    """Another process holds the directory. Wait for its end, or choose another directory."""


class DataDirectory:
    """An open data directory. One thread owns it; :meth:`checkpoint` may run beside it.

    Attributes:
        path: where it is.
        cluster_id, directory_id: who it is, in Kafka's spelling.
        durable: whether the high watermark waits for syncs (durability ``sync``).
        partitions: all that there are.
        damaged: partitions found without something that had been synced; no crash does that.
        journal: the journal, unless durability is ``os``.
        on_checkpoint_due: called, on any thread, when :meth:`checkpoint` is due before its time.
    """

    def __init__(
        self, path: Path, files: Files, lock: File, *, durable: bool, journal_bytes: int
    ) -> None:
        """Use :meth:`open`."""
        self.path = path
        self.durable = durable
        self.cluster_id = ""
        self.directory_id = ""
        self.partitions: dict[TopicPartition, Partition] = {}
        self.damaged: set[TopicPartition] = set()
        self._files = files
        self._lock: File | None = lock
        self.journal: Journal[Partition] | None = (
            Journal(files, path, journal_bytes) if durable else None
        )
        if self.journal is not None:
            self.journal.on_full = self._checkpoint_due
        self.on_checkpoint_due: Callable[[], None] = lambda: None
        self._generation = 0  # the newest one of the journals of former lives
        self._checkpointing = threading.Lock()
        self._checkpointed: set[TopicPartition] = set()  # whom the files may speak of
        self._cleaned: dict[TopicPartition, int] = {}  # as written
        self._storage = Storage(
            files, OpenFiles(files, open_files_max()), durable, self._write_checkpoints
        )

    @classmethod
    def open(
        cls,
        path: Path,
        *,
        now_ms: int,
        durability: Literal["sync", "os"] = "sync",
        files: Files | None = None,
        config: LogConfig | None = None,
        journal_bytes: int = JOURNAL_BYTES,
    ) -> DataDirectory:
        """Take the directory, making it if it is not there, and repair what a crash left.

        Args:
            now_ms: the broker's clock.
            durability: ``sync``, readers see what is on stable storage; ``os``, what is appended.
            files: the disk.
            config: of all partitions, until their owner gives each its own.
            journal_bytes: the size of each file of the journal, a multiple of its blocks.

        Raises:
            ConfigurationError: another process holds it, it is damaged beyond repair, or the
                system refuses; the message says which.
        """
        files = files or Files()
        with _opening(path):
            _make(files, path)
            lock = files.lock(path / LOCK_FILE)
            if lock is None:
                raise DirectoryInUse(
                    f"{path} is in use by another broker; stop that one or choose another directory"
                )
            durable = durability == "sync"
            directory = cls(path, files, lock, durable=durable, journal_bytes=journal_bytes)
            try:
                directory._identify(now_ms)
                directory._load(config or LogConfig(), now_ms)
            except BaseException:
                directory.abandon()  # whoever keeps the error must not keep the lock
                raise
        return directory

    # --- partitions ------------------------------------------------------------------------------

    def create_partition(
        self, topic: str, index: int, topic_id: uuid.UUID, config: LogConfig
    ) -> Partition:
        """The partition of a topic, made if it is not there.

        One that has lost its topic id (a crash right after it was made) is taken over. One that was
        to be deleted, but still has its name, is deleted now.

        Raises:
            ConfigurationError: one of another topic id is there, which nobody has deleted. Perhaps
                only its id is damaged.
            KafkaError: KAFKA_STORAGE_ERROR.
        """
        name = TopicPartition(topic, index)
        existing = self.partitions.get(name)
        with storage_errors(f"create {name}"):
            if existing is not None and existing.deleted:
                self.delete_partition(name)
                existing = None
            if existing is None:
                self._forget_namesake(name)
                existing = create_partition(
                    self._storage, self.path / str(name), name, topic_id, config
                )
                self.partitions[name] = existing
            elif existing.topic_id not in (topic_id, LOST_TOPIC_ID):
                raise ConfigurationError(
                    f"{existing.path / METADATA_FILE} is damaged, or of another topic; if the "
                    "directory is the right one, remove that file and start again"
                )
            elif existing.topic_id == LOST_TOPIC_ID:
                data = checkpoints.encode_topic_id(topic_id)
                self._files.replace(existing.path / METADATA_FILE, data)
                existing.topic_id = topic_id
        existing.config = config
        return existing

    def delete_partition(self, name: TopicPartition) -> None:
        """Delete a partition: :meth:`retire_partitions` and :meth:`remove`."""
        (path,) = self.retire_partitions([name])
        with storage_errors(f"delete {name}"):
            self.remove(path)

    def retire_partitions(self, names: Sequence[TopicPartition]) -> list[Path]:
        """Delete partitions, durably, but for their files; who reads from them may go on.

        Returns:
            Where the files are, to be given to :meth:`remove`; else a start removes them.

        Raises:
            KeyError: there is none of this name.
            KafkaError: KAFKA_STORAGE_ERROR. If a partition is still among ``partitions``, its
                files have their names still, and it is to be deleted again.
        """
        with storage_errors(f"delete {', '.join(map(str, names))}"):
            try:
                return [self._rename_away(name, "delete") for name in names]
            finally:
                self._sync_names()

    def remove(self, path: Path) -> None:
        """Remove what is left of a deleted partition, which may take a while; on any thread.

        Raises:
            OSError: some of it is left.
        """
        for name in self._files.names(path):
            self._files.unlink(path / name)
        self._files.rmdir(path)

    def set_aside(self, name: TopicPartition) -> Path:
        """Give up a partition but keep its files, under a name that Kafka calls stray.

        Returns:
            The directory's new path; nothing here ever touches it again.

        Raises:
            KeyError, KafkaError: as :meth:`retire_partitions`.
        """
        with storage_errors(f"set {name} aside"):
            path = self._rename_away(name, "stray")
            self._sync_names()
            return path

    def _rename_away(self, name: TopicPartition, why: str) -> Path:
        partition = self.partitions[name]
        partition.mark_deleted()  # first: a sync under way misses the directory once it is renamed
        ending = f"-{name.partition}.{uuid.uuid4().hex}-{why}"
        path = self.path / (name.topic[: _NAME_BYTES_MAX - len(ending)] + ending)
        self._files.rename(partition.path, path)
        del self.partitions[name]
        return path

    def _sync_names(self) -> None:
        """Make renames durable. A failure is final: a crash could put the old in a new one's place.

        Raises:
            SyncFailed: that.
        """
        try:
            self._files.sync_directory(self.path)
        except OSError as error:
            self._storage.crowd.error = SyncFailed(*error.args)
            raise self._storage.crowd.error from error

    def _forget_namesake(self, name: TopicPartition) -> None:
        """Rid the checkpoints of a deleted partition: its offsets must not apply to a new one.

        Here and not at the deletion: topics of many partitions go without a write for each. A crash
        between the two leaves no directory of the name, and the start forgets what has none.
        """
        with self._checkpointing:  # one under way may be about to write what was deleted
            is_mentioned = name in self._checkpointed
        if is_mentioned:
            self._write_checkpoints()

    # --- checkpoints and the end -----------------------------------------------------------------

    def group_commit(self) -> GroupCommit:
        """What makes the partitions durable; only one may be used, on one thread at a time.

        Whoever asks for it takes the directory as it is: the journal of former lives is dead.

        Raises:
            ConfigurationError: the disk refuses.
        """
        with _opening(self.path):
            if self.damaged:  # recovery points beyond the end would vouch for what is to come
                self._write_checkpoints()
            if self.journal is None:
                remove(self._files, self.path)
            else:
                self.journal.begin(self._generation + 1)
        return GroupCommit(self.journal, self._storage.crowd, self._checkpoint_due)

    def _checkpoint_due(self) -> None:
        self.on_checkpoint_due()

    def prepare(self) -> None:
        """Make the journal's files if they are not there; any thread may call this.

        Raises:
            OSError: that failed. It may be tried again; until then all goes on without a journal.
        """
        if self.journal is not None:
            self.journal.prepare(self._generation + 1)

    def checkpoint(self) -> None:
        """Write down how far everything is durable, so that a start after a crash scans little.

        To be called every minute or so, and when the journal asks for it; one thread may. Before
        that, it syncs what stands in a full file of the journal and frees it; with durability
        ``os`` it syncs segments that were sealed.

        Raises:
            SyncFailed: nothing may be written any more.
            OSError: it failed otherwise, and may be tried again.
        """
        if self.journal is not None:
            self.journal.checkpoint()
        else:
            sync_all(list(self.partitions.values()))
        self._write_checkpoints()

    def close(self) -> None:
        """Stop in order: sync everything, leave the marker, let go of the directory.

        Raises:
            OSError: it failed; the next start recovers as from a crash.
        """
        try:
            finished = [partition.finish() for partition in self.partitions.values()]
            if self._lock is not None:
                sync_together(self._files, self._lock, finished)
            self._write_checkpoints()
            marker = checkpoints.encode_clean_shutdown(-1)
            self._files.replace(self.path / CLEAN_SHUTDOWN_FILE, marker)
        finally:
            self.abandon()

    def abandon(self) -> None:
        """Let go of the directory as a crash would, without the marker of a stop in order."""
        self._lock = None

    def _write_checkpoints(self) -> None:
        with self._checkpointing:
            partitions = list(self.partitions.items())
            log_starts = {
                name: partition.log_start_offset
                for name, partition in partitions
                if partition.log_start_offset
                > min(partition.first_offset, partition.recovery_point)
            }
            # The log starts last: one above the high watermark would be taken for damage.
            points = {name: partition.recovery_point for name, partition in partitions}
            high_watermarks = {name: partition.high_watermark for name, partition in partitions}
            cleaned = {name: partition.cleaned_offset for name, partition in partitions}
            self._checkpointed.update(points)
            for file, offsets in (
                (RECOVERY_POINTS_FILE, points),
                (HIGH_WATERMARKS_FILE, high_watermarks),
                (LOG_STARTS_FILE, log_starts),
            ):
                self._files.replace(self.path / file, checkpoints.encode_offsets(offsets))
            for name, partition in partitions:
                partition.checkpointed_offset = points[name]
            self._write_cleaned({name: offset for name, offset in cleaned.items() if offset})
            self._checkpointed = set(points)

    def _write_cleaned(self, cleaned: dict[TopicPartition, int]) -> None:
        """What compaction has been through, which seldom changes and mostly is nothing."""
        if cleaned != self._cleaned:
            data = checkpoints.encode_offsets(cleaned)
            self._files.replace(self.path / CLEANED_FILE, data)
            self._cleaned = cleaned

    # --- the start -------------------------------------------------------------------------------

    def _identify(self, now_ms: int) -> None:
        """Read who this directory is; make that up if it is new."""
        path = self.path / PROPERTIES_FILE
        data = self._files.read(path)
        if data is None:
            properties = {
                "node.id": str(NODE_ID),
                "directory.id": checkpoints.encode_uuid(uuid.uuid4()),
                "version": "1",
                "cluster.id": checkpoints.encode_uuid(uuid.uuid4()),
            }
            written_at = datetime.fromtimestamp(now_ms / 1000, UTC)
            comment = written_at.strftime("%a %b %d %H:%M:%S UTC %Y")
            self._files.replace(path, checkpoints.encode_properties(properties, comment))
        else:
            try:
                properties = checkpoints.decode_properties(data)
            except ValueError as error:
                raise ConfigurationError(f"{path} is damaged: {error}") from error
        node = properties.get("node.id")
        if node != str(NODE_ID):
            raise ConfigurationError(
                f"{self.path} belongs to another broker (node.id {node}): choose another directory"
            )
        self.cluster_id = properties["cluster.id"]
        self.directory_id = properties.get("directory.id", "")

    def _load(self, config: LogConfig, now_ms: int) -> None:
        clean = self._files.exists(self.path / CLEAN_SHUTDOWN_FILE)
        stored_points = self._read_offsets(RECOVERY_POINTS_FILE)
        stored_starts = self._read_offsets(LOG_STARTS_FILE)
        points, log_starts = stored_points or {}, stored_starts or {}
        high_watermarks = self._read_offsets(HIGH_WATERMARKS_FILE) or {}
        self._cleaned = self._read_offsets(CLEANED_FILE) or {}
        self._checkpointed = {*points, *log_starts, *self._cleaned}
        backlogs = self._read_journal(clean=clean)
        self._files.unlink(self.path / CLEAN_SHUTDOWN_FILE)
        self._files.sync_directory(self.path)
        self._make_lost(backlogs)
        loads: dict[TopicPartition, Load] = {}
        for directory in self._files.directories(self.path):
            if _DELETED.fullmatch(directory):
                self.remove(self.path / directory)
            elif match := _PARTITION.fullmatch(directory):
                name = TopicPartition(match[1], int(match[2]))
                point, log_start = points.get(name), log_starts.get(name, 0)
                if point is not None and log_start > max(point, high_watermarks.get(name, 0)):
                    logger.warning("%s: the log start %d cannot be, is ignored", name, log_start)
                    log_start = 0
                # A log begins above 0 only where both files say so; one that is lost says nothing.
                is_told = not clean and None not in (stored_points, stored_starts)
                begin_max = max(point or 0, log_start) if is_told else None
                known_start = None if stored_starts is None else log_start
                stop = LastStop(clean, point or 0, known_start, begin_max)
                path, missing = self.path / directory, backlogs.get(name)
                loads[name] = Load(self._storage, path, stop, now_ms, missing)
                loads[name].run()
        self._finish(loads, config)
        if not self.damaged:  # else the owner may refuse to start, and the next start is to know
            self._write_checkpoints()

    def _finish(self, loads: Mapping[TopicPartition, Load], config: LogConfig) -> None:
        """Sync what was found, all at once, and let the partitions be seen."""
        assert self._lock is not None
        self._files.sync_all(
            self._lock,
            [path for load in loads.values() for path in load.unsynced],
            [path for load in loads.values() for path in load.directories],
        )
        for name, load in loads.items():
            partition = self.partitions[name] = load.finish(name, config)
            partition.cleaned_offset = self._cleaned.get(name, 0)
            if partition.recovered.lost_synced:
                self.damaged.add(name)

    def _read_journal(self, *, clean: bool) -> dict[TopicPartition, Backlog]:
        """What the journal holds that segments may have lost."""
        if clean:
            self._generation = backlog.newest_generation(self._files, self.path)
            return {}
        found = backlog.read(self._files, self.path)
        self._generation = found.generation
        if found.damaged:
            logger.error("the journal in %s is damaged: it may miss entries", self.path)
        return found.backlogs

    def _make_lost(self, backlogs: Mapping[TopicPartition, Backlog]) -> None:
        """Make directories that were new when the crash took them; the journal has what is in them.

        Where the journal shows that they were durable, the partition was deleted before the crash.
        """
        for name, entries in backlogs.items():
            path = self.path / str(name)
            if entries.is_all and not self._files.exists(path):
                self._files.mkdir(path)
                data = checkpoints.encode_topic_id(entries.topic_id)
                self._files.sync(self._files.write(path / METADATA_FILE, data))
        self._files.sync_directory(self.path)

    def _read_offsets(self, file: str) -> dict[TopicPartition, int] | None:
        data = self._files.read(self.path / file)
        if data is None:
            return None
        try:
            return checkpoints.decode_offsets(data)
        except ValueError:
            logger.warning("%s is damaged and not used", self.path / file)
            return None


@contextmanager
def _opening(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise ConfigurationError(f"cannot open the data directory {path}: {reason}") from error


def _make(files: Files, path: Path) -> None:
    """Make a directory and those above it where they are missing, durably."""
    missing = [each for each in (path, *path.parents) if not files.exists(each)]
    files.mkdir(path)
    for made in missing:
        files.sync_directory(made.parent)

"""From files to a partition: opens what a stop in order left, repairs what a crash left.

The steps of a load: leftovers of interrupted work are removed or completed; segments are listed;
the active one proves by its indexes that it was closed in order, or everything from the recovery
point on is checked and cut (see ``recovery``), and what the journal holds is put behind it (see
``catching_up``); the newest usable snapshot of producers, or a bookmark, is completed from the
batches after it. Any file but a ``.log`` may be missing, stale or damaged: the log tells the same.

What was scanned is synced before the partition is handed out: the crash may have left it in the
page cache only, and what a reader is told must not be taken back later.
"""

from __future__ import annotations

import logging
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from mq.log import bookmarks, checkpoints, damage
from mq.log.backlog import Backlog
from mq.log.bookmarks import Bookmark, Bookmarks, CorruptBookmarkError
from mq.log.catching_up import CatchUp
from mq.log.config import LogConfig
from mq.log.epochs import LeaderEpochs
from mq.log.leftovers import clear_leftovers
from mq.log.partition import EPOCHS_FILE, METADATA_FILE, Partition
from mq.log.producers import CorruptSnapshotError, Producers
from mq.log.recovery import (
    Recovered,
    Replay,
    first_to_verify,
    sort_names,
)
from mq.log.scan import Span, scan
from mq.log.segment import Segment, file_name
from mq.log.storage import Loaded, Storage
from mq.log.unsynced import Unsynced
from mq.record import TopicPartition
from mq.wire.batch import BatchHeader

__all__ = ["LOST_TOPIC_ID", "LastStop", "Load", "create_partition", "load_partition"]

LOST_TOPIC_ID: Final = uuid.UUID(int=0)

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class LastStop:
    """What the data directory's own files say of a partition.

    Attributes:
        clean: the last stop was in order.
        recovery_point: what lies below was synced, indexes of sealed segments included.
        log_start_offset: records below are deleted; None if the file that says so was lost. Then
            the first leader epoch tells, which begins at the log start where records were deleted.
        begin_max: the log begins at or below this offset; None if that is not known.
    """

    clean: bool
    recovery_point: int = 0
    log_start_offset: int | None = 0
    begin_max: int | None = None


def create_partition(
    storage: Storage,
    path: Path,
    name: TopicPartition,
    topic_id: uuid.UUID,
    config: LogConfig,
) -> Partition:
    """An empty partition. Its files become durable with the first sync, before anything counts.

    Raises:
        OSError: the files cannot be made.
    """
    files = storage.files
    storage.crowd.make_room()
    files.mkdir(path)
    epochs = LeaderEpochs([(0, 0)])
    made = (
        files.write(path / METADATA_FILE, checkpoints.encode_topic_id(topic_id)),
        files.write(path / EPOCHS_FILE, checkpoints.encode_epochs(epochs.entries)),
    )
    active = Segment.create(files, storage.open_files, path, 0)
    unsynced = Unsynced(storage.crowd, 0, (*made, active.file), (path, path.parent))
    marks = Bookmarks(files, path, ())
    recovered = Recovered(clean=False)
    loaded = Loaded([active], Producers(), epochs, 0, 0, topic_id, recovered, unsynced, marks)
    return Partition(storage, path, name, config, loaded)


def load_partition(
    storage: Storage,
    path: Path,
    name: TopicPartition,
    config: LogConfig,
    stop: LastStop,
    now_ms: int,
) -> Partition:
    """The partition in the directory ``path``, repaired where it needs to be; see :class:`Load`.

    Raises:
        OSError: the disk refuses.
    """
    load = Load(storage, path, stop, now_ms)
    load.run()
    storage.files.sync_each(load.unsynced, load.directories)
    return load.finish(name, config)


@dataclass(slots=True)
class Load:
    """One load: ``run``, then sync what it names, then ``finish``. Many can be synced together.

    The other fields with defaults are what its steps have found.

    Attributes:
        backlog: what the journal holds of a partition of this name.
        unsynced, directories: what is to be synced before anybody sees the partition.
    """

    storage: Storage
    path: Path
    stop: LastStop
    now_ms: int
    backlog: Backlog | None = None
    unsynced: list[Path] = field(default_factory=list)
    directories: list[Path] = field(default_factory=list)
    loaded: Loaded | None = None
    topic_id: uuid.UUID = LOST_TOPIC_ID
    log_start: int = 0
    segments: list[Segment] = field(default_factory=list)
    snapshots: list[int] = field(default_factory=list)
    bookmarks: list[int] = field(default_factory=list)
    epochs: LeaderEpochs = field(default_factory=LeaderEpochs)
    stored_epochs: list[tuple[int, int]] | None = None
    end_offset: int = 0
    scanned_bytes: int = 0
    truncated_bytes: int = 0
    removed_segments: int = 0
    batches_behind: bool = False
    replayed_bytes: int = 0
    has_hole: bool = False
    has_lost_id: bool = False
    set_aside: set[str] = field(default_factory=set)

    def run(self) -> None:
        """Find out what is there, and repair it; nothing that this writes is synced yet.

        Raises:
            OSError: the disk refuses.
        """
        names = clear_leftovers(self.storage.files, self.path)
        self._identify()
        self._read_epochs()
        self._list(names)
        verify_from = self._open_active()
        clean = verify_from == len(self.segments)
        producers = self._replay(verify_from)
        lost_synced = (
            self.has_hole
            or self.end_offset < self.stop.recovery_point
            or (self.stop.clean and self.truncated_bytes > 0)
        )
        if self.end_offset < self.log_start:
            producers = self._begin_at_log_start()
        self._remove_snapshots()
        if not clean:
            self._make_durable(verify_from)
        log_start = max(self.log_start, self.segments[0].base_offset)
        self.epochs.assign(0, log_start)  # if the batches know of none
        self.epochs.begin_at(log_start)
        self.loaded = Loaded(
            self.segments,
            producers,
            self.epochs,
            log_start,
            self.end_offset,
            self.topic_id,
            self._recovered(clean=clean, lost_synced=lost_synced),
            Unsynced(self.storage.crowd, self.end_offset),
            Bookmarks(self.storage.files, self.path, self.bookmarks),
        )

    def finish(self, name: TopicPartition, config: LogConfig) -> Partition:
        """The partition, when all is synced.

        Raises:
            OSError: the disk refuses.
        """
        loaded = self.loaded
        assert loaded is not None
        partition = Partition(self.storage, self.path, name, config, loaded)
        recovered = loaded.recovered
        if recovered.truncated_bytes:
            text = "%s was cut at %d: %d bytes behind it were torn or out of place (%d segments)"
            lost = recovered.truncated_bytes, recovered.removed_segments
            logger.warning(text, name, loaded.log_end_offset, *lost)
        if recovered.lost_synced:
            logger.error("%s lost synced records: it ends at %d", self.path, loaded.log_end_offset)
        # Whoever saw records that are gone must find out. With durability "os" readers see what is
        # not synced, and a crash of the machine takes it without leaving a torn batch behind.
        is_shorter = recovered.truncated_bytes or recovered.lost_synced
        if is_shorter or not (recovered.clean or self.storage.durable):
            partition.begin_epoch()
        elif self.epochs.entries != self.stored_epochs:
            partition.save_epochs()
        return partition

    def _recovered(self, *, clean: bool, lost_synced: bool) -> Recovered:
        return Recovered(
            clean,
            self.scanned_bytes,
            self.truncated_bytes,
            self.removed_segments,
            self.stop.clean,
            lost_synced,
            self.batches_behind,
            tuple(sorted(self.set_aside)),
            self.replayed_bytes,
        )

    def _was_synced(self, offset: int) -> bool:
        """Whether what lay at ``offset``, if anything, is known to have been synced."""
        return self.stop.clean or offset < self.stop.recovery_point

    # --- what is there ---------------------------------------------------------------------------

    def _list(self, found: list[str]) -> None:
        """Find segments and snapshots; remove segments that were deleted but are still there."""
        files = self.storage.files
        names = sort_names(found)
        self.set_aside.update(name for name in found if name.endswith(damage.KIND))
        self.snapshots = names.snapshots
        self.bookmarks = names.bookmarks
        for orphan in names.orphans:
            files.unlink(self.path / orphan)
        for place, base in enumerate(names.logs):
            segment = self._segment(base)
            if names.logs[place + 1 : place + 2] and (names.logs[place + 1] <= self.log_start):
                segment.delete()
                self.directories = [self.path]  # before the checkpoint forgets the log start
            else:
                self.segments.append(segment)
        begin_max = self.stop.begin_max
        if self.segments and begin_max is not None and self.segments[0].base_offset > begin_max:
            # The crash took the names of the segments before, which nobody had deleted.
            self._lose_from(0, self.log_start)
        if not self.segments:
            self.segments.append(self._create(self.log_start))

    def _segment(self, base: int) -> Segment:
        files = self.storage.files
        size = files.size(self.path / file_name(base, "log"))
        return Segment(files, self.storage.open_files, self.path, base, size)

    def _create(self, base: int) -> Segment:
        return Segment.create(self.storage.files, self.storage.open_files, self.path, base)

    def _read_epochs(self) -> None:
        """Read the epochs, and the log start, which may be known from nowhere else."""
        self.log_start = self.stop.log_start_offset or 0
        data = self.storage.files.read(self.path / EPOCHS_FILE)
        try:
            self.epochs = LeaderEpochs(checkpoints.decode_epochs(data or b""))
        except ValueError:
            return
        if self.epochs.entries:  # else they are learned from the batches
            self.stored_epochs = self.epochs.entries
            if self.stop.log_start_offset is None:
                _, self.log_start = self.epochs.entries[0]

    def _identify(self) -> None:
        """Read the topic id. One that was lost is known to the journal, if anything counts here.

        Else the journal tells of a namesake that was deleted, and not even from its start.
        """
        path, backlog = self.path / METADATA_FILE, self.backlog
        try:
            self.topic_id = checkpoints.decode_topic_id(self.storage.files.read(path) or b"")
        except ValueError:
            if backlog is not None and backlog.first_offset <= self.stop.recovery_point:
                self.topic_id = backlog.topic_id
                self.has_lost_id = True
        if self.backlog is not None and self.backlog.topic_id != self.topic_id:
            self.backlog = None  # of a topic that was deleted

    # --- what it holds ---------------------------------------------------------------------------

    def _open_active(self) -> int:
        """Open the active segment; the place of the first segment to verify, or their number."""
        active = self.segments[-1]
        active.activate(self.now_ms)
        if not self.stop.clean:
            bases = [segment.base_offset for segment in self.segments]
            return first_to_verify(bases, self.stop.recovery_point)
        end_offset = active.restore()
        if end_offset is None:
            return len(self.segments) - 1
        self.end_offset = end_offset
        return len(self.segments)

    def _replay(self, verify_from: int) -> Producers:
        """Read what is not known yet out of the batches, and cut what is no part of the log."""
        segments = self.segments
        clean = verify_from == len(segments)
        limit = self.end_offset if clean else segments[verify_from].base_offset
        mark = None if clean else self._resume(segments[verify_from])
        producers, producers_offset = self._read_snapshot(limit) if mark is None else mark.state()
        learned = self.epochs if self.stored_epochs is None else None
        replay = Replay(producers, producers_offset, learned, self.now_ms)
        for place in range(self._first_to_read(verify_from, producers_offset), len(segments)):
            segment = segments[place]
            if place <= verify_from:
                replay.end_offset = segment.base_offset  # what was synced is taken as it is
            if place < verify_from:
                self._pass(segment, replay)
            elif not replay.follows(segment.base_offset):
                self._lose_from(place, replay.end_offset)
                break
            elif not self._verify(segment, replay, mark if place == verify_from else None):
                self._lose_from(place + 1, replay.end_offset)
                break
        if not clean:
            if self.backlog is not None:
                self._catch_up(self.backlog, replay)
            self.end_offset = replay.end_offset
        return producers

    def _catch_up(self, backlog: Backlog, replay: Replay) -> None:
        if self.has_lost_id:
            if replay.end_offset < backlog.synced_end:
                self.topic_id = LOST_TOPIC_ID  # of a namesake: it had more than there is here
                return
            data = checkpoints.encode_topic_id(self.topic_id)
            self.storage.files.replace(self.path / METADATA_FILE, data)
        work = CatchUp(
            self.storage.files, self.path, self.segments, self._create, replay, self.now_ms
        )
        work.run(backlog)
        self.replayed_bytes = work.written_bytes
        if work.set_aside is not None:
            self.has_hole = True
            self._was_set_aside(work.set_aside, replay.end_offset)

    def _first_to_read(self, verify_from: int, producers_offset: int) -> int:
        """The place of the first segment that holds something still unknown."""
        if self.stored_epochs is None:
            return 0
        if verify_from == len(self.segments) and producers_offset >= self.end_offset:
            return verify_from
        bases = [segment.base_offset for segment in self.segments]
        return min(verify_from, first_to_verify(bases, producers_offset))

    def _read_snapshot(self, limit: int) -> tuple[Producers, int]:
        """The producers of the newest usable snapshot up to ``limit``, and its offset."""
        first = self.segments[0].base_offset
        for offset in reversed(self.snapshots):
            if first <= offset <= limit:
                data = self.storage.files.read(self.path / file_name(offset, "snapshot"))
                try:
                    return Producers.decode(data or b""), offset
                except CorruptSnapshotError:
                    logger.warning("%s: the snapshot at %d is unusable", self.path.name, offset)
        return Producers(), first

    def _resume(self, segment: Segment) -> Bookmark | None:
        """Take up the segment of the recovery point where a bookmark below it is, if it can be."""
        if self.stop.clean or self.stored_epochs is None:
            return None
        for offset in reversed(self.bookmarks):
            if segment.base_offset < offset <= self.stop.recovery_point:
                data = self.storage.files.read(self.path / file_name(offset, bookmarks.KIND))
                try:
                    mark = Bookmark.decode(data or b"")
                except CorruptBookmarkError:
                    continue  # it is never synced
                if mark.end_offset == offset and segment.resume(mark):
                    return mark
        return None

    def _pass(self, segment: Segment, replay: Replay) -> None:
        for position, header in segment.scan():
            self.scanned_bytes += header.length
            replay.accept(header, _control(segment, position, header), gapless=False)

    def _verify(self, segment: Segment, replay: Replay, mark: Bookmark | None) -> bool:
        """Index a segment up to the first batch that is damaged; whether there was none.

        Args:
            mark: where the segment has been taken up, if not at its start.
        """
        files, gapless = self.storage.files, segment is self.segments[-1]
        size = files.size(segment.path("log"))
        if mark is None:
            segment.clear()
        else:
            replay.end_offset = mark.end_offset
        begin = segment.size
        span = Span(segment.base_offset, begin, size)
        trusted = 0 if self.stop.clean else self.stop.recovery_point  # else one word was broken
        for position, header in scan(files, segment.file, span, verify=True, trusted=trusted):
            if not replay.accept(header, _control(segment, position, header), gapless=gapless):
                break
            segment.add(header.last_offset, header.max_timestamp, header.length, self.now_ms)
            if replay.aborted is not None:
                segment.abort(replay.aborted)
        self.scanned_bytes += segment.size - begin
        if segment.size == size:
            return True
        self._cut(segment, size, replay.end_offset)
        return False

    def _cut(self, segment: Segment, size: int, end_offset: int) -> None:
        """Cut the log file off where its batches end; keep what had been synced."""
        files = self.storage.files
        tail = Span(end_offset, segment.size, size)
        epoch = self.epochs.epoch_at(end_offset)
        epochs = {epoch, *(later for later, _ in self.epochs.entries if later > epoch)}
        self.batches_behind = damage.holds_batch(files, segment.file, tail, epochs)
        if self._was_synced(end_offset):
            self._was_set_aside(damage.set_aside(files, segment, size), end_offset)
        files.truncate(segment.file, segment.size)
        self.truncated_bytes += size - segment.size

    def _was_set_aside(self, path: Path, end_offset: int) -> None:
        self.set_aside.add(path.name)
        logger.error(
            "%s is damaged at offset %d, below what had been synced: what lay behind is kept in %s",
            self.path.name,
            end_offset,
            path,
        )

    def _lose_from(self, place: int, end_offset: int) -> None:
        """Remove segments behind a hole at ``end_offset``; keep them if that had been synced."""
        for segment in self.segments[place:]:
            self.batches_behind |= any(True for _ in segment.scan(verify=True))
            if self._was_synced(end_offset):
                path = damage.set_aside_whole(self.storage.files, segment)
                self._was_set_aside(path, end_offset)
        self._remove_from(place)

    def _remove_from(self, place: int) -> None:
        doomed = self.segments[place:]
        del self.segments[place:]
        for segment in reversed(doomed):
            self.truncated_bytes += segment.size
            self.removed_segments += 1
            segment.delete()

    def _begin_at_log_start(self) -> Producers:
        """The crash took all that was not deleted before it: begin where the log may begin."""
        self._remove_from(0)
        self.end_offset = self.log_start
        self.segments.append(self._create(self.end_offset))
        return Producers()

    # --- what is left ----------------------------------------------------------------------------

    def _remove_snapshots(self) -> None:
        """Keep the snapshots where segments begin, and the newest; none of a lost future.

        Keep the bookmarks of the active segment.
        """
        known = [offset for offset in self.snapshots if offset <= self.end_offset]
        keep = {segment.base_offset for segment in self.segments} | set(known[-1:])
        for offset in self.snapshots:
            if offset not in keep:
                self.storage.files.unlink(self.path / file_name(offset, "snapshot"))
        begin, marks = self.segments[-1].base_offset, self.bookmarks
        self.bookmarks = [offset for offset in marks if begin < offset <= self.end_offset]
        for offset in set(marks) - set(self.bookmarks):
            self.storage.files.unlink(self.path / file_name(offset, bookmarks.KIND))

    def _make_durable(self, verify_from: int) -> None:
        """Have synced what was scanned, the indexes of its sealed segments, and the names."""
        active = self.segments[-1]
        active.activate(self.now_ms)
        self.unsynced.append(active.path("log"))
        metadata = self.path / METADATA_FILE
        if self.storage.files.exists(metadata):  # whose first sync the process may not have lived
            self.unsynced.append(metadata)
        for segment in self.segments[verify_from:-1]:
            written = segment.write_indexes()
            self.unsynced += (segment.path("log"), *(file.path for file in written))
            segment.seal()
        self.directories = [self.path]


def _control(segment: Segment, position: int, header: BatchHeader) -> bytes | None:
    """All of a control batch: what it says is told by its record."""
    return segment.read(position, header.length) if header.is_control else None

"""Counts that can be fed the same hit twice: an idempotent sink on SQLite.

The mark that a message was counted and the count itself are written in one transaction. A message
that comes again after a crash finds its mark and changes nothing.

A transaction that survives a power cut waits for the disk, so it is shared: while one is being
written, the hits that arrive wait together for the next.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path

import anyio
import anyio.to_thread

from examples.access_log.line import Hit

__all__ = ["Ledger"]

_SCHEMA = """
CREATE TABLE IF NOT EXISTS counted (id TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS hits (path TEXT PRIMARY KEY, total INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS bytes (hour TEXT PRIMARY KEY, total INTEGER NOT NULL) WITHOUT ROWID;
"""


class _Batch:
    """Hits that share a transaction, and its outcome."""

    def __init__(self) -> None:
        self.hits: list[tuple[str, Hit]] = []
        self.over = anyio.Event()
        self.error: sqlite3.Error | None = None


class Ledger:
    """Hits per path and bytes per hour, in one SQLite file that several processes may share."""

    def __init__(self, path: Path) -> None:
        self._database = sqlite3.connect(
            path, timeout=30, isolation_level=None, check_same_thread=False
        )
        self._database.execute("PRAGMA journal_mode = WAL")
        self._database.execute("PRAGMA synchronous = FULL")
        self._database.executescript(_SCHEMA)
        self._writing = anyio.Lock()
        self._next: _Batch | None = None

    async def count(self, message_id: str, hit: Hit) -> None:
        """Count the hit, unless a message of this id was counted before, and wait for the disk.

        Raises:
            sqlite3.Error: it could not be written; nothing of its transaction was.
        """
        batch = self._next
        if batch is None:
            batch = self._next = _Batch()
            batch.hits.append((message_id, hit))
            await self._write(batch)
        else:
            batch.hits.append((message_id, hit))
            await batch.over.wait()
        if batch.error is not None:
            raise batch.error

    async def _write(self, batch: _Batch) -> None:
        """The first of a batch writes for all: once the transaction before it is through."""
        with anyio.CancelScope(shield=True):
            async with self._writing:
                self._next = None
                try:
                    await anyio.to_thread.run_sync(self._transact, batch.hits)
                except sqlite3.Error as error:
                    batch.error = error
                batch.over.set()

    def _transact(self, hits: list[tuple[str, Hit]]) -> None:
        database = self._database
        database.execute("BEGIN IMMEDIATE")
        with database:
            for message_id, hit in hits:
                new = database.execute("INSERT OR IGNORE INTO counted VALUES (?)", (message_id,))
                if not new.rowcount:
                    continue
                for table, name, amount in (("hits", hit.path, 1), ("bytes", hit.hour, hit.size)):
                    database.execute(
                        f"INSERT INTO {table} VALUES (?, ?)"
                        " ON CONFLICT DO UPDATE SET total = total + excluded.total",
                        (name, amount),
                    )

    def counted(self) -> int:
        """How many messages were counted."""
        row: tuple[int] = self._database.execute("SELECT count(*) FROM counted").fetchone()
        return row[0]

    def rows(self) -> list[tuple[str, str, int]]:
        """All counts as (kind, name, total), in no particular order."""
        return self._database.execute(
            "SELECT 'hits', path, total FROM hits UNION ALL SELECT 'bytes', hour, total FROM bytes"
        ).fetchall()

    def close(self) -> None:
        self._database.close()

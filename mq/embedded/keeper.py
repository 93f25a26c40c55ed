"""The broker's side: accepts leases, and knows when the last has gone."""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import json
import os
import secrets
import socket
import stat
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from mq.embedded.directory import Announcement, listen
from mq.errors import ConfigurationError, MqError

__all__ = ["LeaseKeeper"]

LINGER_S: Final = 2.0
"""How long a broker outlives its last lease: long enough for the next command of a shell script."""

QUESTION_TIMEOUT_S: Final = 5.0
"""How long whoever connects to the lease port may take to show the token."""


PROGRESS_S: Final = 1.0
"""How often a starting broker says that it gets on."""

PROGRESS_CPU_S: Final = 0.002
"""Processor time that counts as work: more than saying so takes."""


class LeaseKeeper:
    """The broker's side: accepts leases, and knows when the last has gone.

    ``LeaseKeeper(data)`` is for a broker that somebody started by hand: it can be leased but never
    ends by itself. ``LeaseKeeper.embedded(data)`` takes the starter's lease from standard input.
    The broker calls :meth:`announce` once it serves requests, or :meth:`refuse` when it cannot, and
    ends when :meth:`wait_released` returns. A successor may be started while it still closes its
    files; that one has to wait for the directory's lock.
    """

    def __init__(self, data: Path, starter: socket.socket | None = None) -> None:
        self._data = data.absolute()
        self._token = secrets.token_hex(16)
        self._starter = starter
        self._embedded = starter is not None
        self._linger_s = _linger_s(os.environ)
        self._leases: set[asyncio.StreamWriter] = set()
        self._released = asyncio.Event()
        self._ending: asyncio.TimerHandle | None = None
        self._server: asyncio.Server | None = None
        self._first: asyncio.Task[None] | None = None
        self._address = ""

    @classmethod
    def embedded(cls, data: Path) -> LeaseKeeper:
        """The keeper of a broker whose standard input is its starter's lease.

        Raises:
            ConfigurationError: standard input is no socket; nobody but :func:`attach` can do this.
        """
        if not stat.S_ISSOCK(os.fstat(0).st_mode):
            raise ConfigurationError("--embedded is for mq itself; use mq broker --data DIRECTORY")
        starter = socket.socket(fileno=os.dup(0))
        nowhere = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nowhere, 0)
        os.close(nowhere)
        return cls(data, starter)

    @contextlib.contextmanager
    def starting(self) -> Iterator[None]:
        """Inside, tell the starter each second that the start gets on, as long as it does.

        A start may have a large log to recover, so what counts is work, and not time: that this
        process has used its processor.
        """
        if self._starter is None:
            yield
            return
        done = threading.Event()
        reporter = threading.Thread(
            target=_report_progress, args=(self._starter, done), name="mq-progress", daemon=True
        )
        reporter.start()
        try:
            yield
        finally:
            done.set()
            reporter.join()

    def refuse(self, error: MqError) -> None:
        """Tell the starter why there will be no broker."""
        if self._starter:
            with contextlib.suppress(OSError):  # the starter was killed: nobody to tell
                self._starter.sendall(_line({"error": str(error), "exit_code": error.exit_code}))

    async def announce(self, address: str) -> None:
        """Write ``broker.json`` and accept leases. ``address`` must be served already."""
        self._address = address
        listener = listen(0)
        self._server = await asyncio.start_server(self._accept, sock=listener, limit=1024)
        host, port = listener.getsockname()
        Announcement(address, f"{host}:{port}", self._token, os.getpid(), self._embedded).write(
            self._data
        )
        if self._starter:
            reader, writer = await asyncio.open_connection(sock=self._starter)
            self._first = asyncio.create_task(self._keep(reader, writer))

    async def wait_released(self) -> None:
        """Return once the last lease has been gone for the linger; none is accepted after."""
        await self._released.wait()

    def hurry(self) -> None:
        """The process was asked to end: do so with the last lease, without lingering."""
        self._linger_s = 0
        if self._embedded and not self._leases:
            self._release()

    def close(self) -> None:
        """Accept no more leases and drop those that are held."""
        if self._server:
            self._server.close()
        for writer in self._leases.copy():
            writer.close()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        token = b""
        with contextlib.suppress(OSError, ValueError, TimeoutError):
            token = await asyncio.wait_for(reader.readline(), QUESTION_TIMEOUT_S)
        if hmac.compare_digest(token.strip(), self._token.encode()) and not self._released.is_set():
            await self._keep(reader, writer)
        writer.close()

    async def _keep(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._leases.add(writer)
        if self._ending:
            self._ending.cancel()
        writer.write(_line({"address": self._address, "embedded": self._embedded}))
        try:
            while await reader.read(64):
                pass
        except OSError:
            pass  # the holder was killed; so ends a lease
        finally:
            writer.close()
            self._leases.discard(writer)
            if self._embedded and not self._leases:
                loop = asyncio.get_running_loop()
                self._ending = loop.call_later(self._linger_s, self._release)

    def _release(self) -> None:
        if self._server:
            self._server.close()
        self._released.set()


def _linger_s(environ: Mapping[str, str]) -> float:
    try:
        return float(environ.get("MQ_LINGER") or LINGER_S)
    except ValueError as error:
        raise ConfigurationError("MQ_LINGER must be a number of seconds") from error


def _report_progress(starter: socket.socket, done: threading.Event) -> None:
    reported_s = time.process_time()
    while not done.wait(PROGRESS_S):
        worked_s = time.process_time()
        if worked_s - reported_s < PROGRESS_CPU_S:
            continue
        reported_s = worked_s
        try:
            starter.sendall(_line({"progress_s": worked_s}))
        except OSError:  # the starter was killed; others may wait for this broker
            return


def _line(answer: Mapping[str, object]) -> bytes:
    return json.dumps(answer).encode() + b"\n"

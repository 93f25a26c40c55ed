"""The broker as a process: options, start, signals, end.

Whatever is wrong with the surroundings (a directory in use, a taken port, an address that
strangers could reach) is one sentence and an exit code before anything is served. SIGTERM and
SIGINT end in order: no more requests are read, what was appended is synced and answered, and the
directory is marked as closed cleanly. A second signal ends at once, as a crash would. Neither
loses anything that was acknowledged.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import gc
import ipaddress
import logging
import os
import resource
import signal
import socket
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

from mq.broker.broker import Broker
from mq.broker.connection import Address
from mq.broker.dispatcher import Dispatcher
from mq.broker.server import Limits, Server
from mq.broker.settings import Settings
from mq.embedded import LeaseKeeper, bind
from mq.errors import ConfigurationError, MqError
from mq.log.directory import DataDirectory, DirectoryInUse

__all__ = ["BrokerOptions", "parse_address", "run"]

logger = logging.getLogger("mq.broker")

DEFAULT_LISTEN: Final = Address("127.0.0.1", 9092)

_BACKLOG: Final = 1024
_DRAIN_S: Final = 10.0
_FLUSH_S: Final = 2.0
_LOCK_WAIT_S: Final = 10.0
_OPEN_FILES_WANTED: Final = 65_536

_FREED_BYTES_KEPT: Final = 16 * 1024 * 1024
_M_TRIM_THRESHOLD: Final = -1  # as in glibc's malloc.h
_M_MMAP_THRESHOLD: Final = -3

# How long one thread may keep the interpreter while another waits for it, here the flusher that
# returns from a sync while the loop is busy: at the default of 5 ms a sync of 0.2 ms takes 6, at
# 0.2 ms it takes 0.5 (measured).
_SWITCH_INTERVAL_S: Final = 0.0002


@dataclass(frozen=True, slots=True)
class BrokerOptions:
    """How to run a broker.

    Attributes:
        data: the data directory.
        listen: addresses to bind; port 0 lets the system choose.
        advertise: for each address of ``listen`` in turn, where clients should come back to; where
            there is none, that is the address that they dialled.
        durability: whether acks=all means on stable storage, or in the hands of the system (Kafka's
            own meaning).
        insecure: allow addresses that are not this machine's own, though anyone may connect.
        embedded: live as long as somebody holds a lease; see :mod:`mq.embedded`.
    """

    data: Path
    listen: tuple[Address, ...] = ()
    advertise: tuple[Address, ...] = ()
    durability: Literal["sync", "os"] = "sync"
    insecure: bool = False
    embedded: bool = False
    settings: Settings = field(default_factory=Settings)


def run(options: BrokerOptions) -> int:
    """Serve until told to end. Returns the exit code; what went wrong has been said on stderr."""
    sys.setswitchinterval(_SWITCH_INTERVAL_S)
    _raise_open_files_limit()
    _keep_freed_memory()
    try:
        with asyncio.Runner(loop_factory=_new_event_loop) as runner:
            return runner.run(_main(options))
    except MqError as error:
        print(f"mq broker: {error}", file=sys.stderr)  # noqa: T201 - the one sentence
        return error.exit_code
    except KeyboardInterrupt:  # before the signals had their handlers
        return 130


def parse_address(text: str) -> Address:
    """``host:port``, with a host of IPv6 in brackets.

    Raises:
        ConfigurationError: it is not.
    """
    host, colon, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not colon or not host or not port.isdecimal() or int(port) > 65_535:
        raise ConfigurationError(f"{text!r} is not an address: write HOST:PORT")
    return Address(host, int(port))


def _new_event_loop() -> asyncio.AbstractEventLoop:
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
    return loop


def _keep_freed_memory() -> None:
    """Have the allocator keep what was freed, for the next request of a megabyte is on its way.

    By default glibc returns such blocks to the system at once and gets them back page by page,
    which is more than half of the system time of a broker that is written to (measured).
    """
    with contextlib.suppress(OSError, AttributeError):  # not glibc: then as it is
        libc = ctypes.CDLL(None)
        libc.mallopt(_M_MMAP_THRESHOLD, _FREED_BYTES_KEPT)
        libc.mallopt(_M_TRIM_THRESHOLD, _FREED_BYTES_KEPT)


def _raise_open_files_limit() -> None:
    """Every connection and every open segment is a descriptor; take as many as we are let."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _OPEN_FILES_WANTED if hard == resource.RLIM_INFINITY else min(hard, _OPEN_FILES_WANTED)
    if soft < wanted:
        with contextlib.suppress(OSError, ValueError):  # then the soft limit is what there is
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


async def _main(options: BrokerOptions) -> int:
    keeper = LeaseKeeper.embedded(options.data) if options.embedded else LeaseKeeper(options.data)
    try:
        with keeper.starting():
            process = _Process(options, keeper)
    except MqError as error:
        keeper.refuse(error)
        raise
    return await process.serve()


class _Process:
    """A broker with its listeners, from the start to the end."""

    def __init__(self, options: BrokerOptions, keeper: LeaseKeeper) -> None:
        loop = asyncio.get_running_loop()
        self._options = options
        self._keeper = keeper
        self._ending: asyncio.Future[None] = loop.create_future()
        self._failure: Exception | None = None
        self._signals = 0
        self._listeners = _bind_all(options)
        self._directory = _open_directory(options)
        self._broker = Broker(self._directory, loop, options.settings, self._disk_failed)
        limits = Limits(frame_bytes=options.settings.socket_request_max_bytes)
        self._server = Server(Dispatcher(self._broker).serve, limits=limits)

    async def serve(self) -> int:
        """Serve until the end; returns the exit code."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._signalled)
        addresses = [
            self._server.listen(listener, advertised) for listener, advertised in self._listeners
        ]
        await self._keeper.announce(str(addresses[0]))
        logger.info(
            "serving %s from %s, durability %s",
            ", ".join(map(str, addresses)),
            self._options.data,
            self._options.durability,
        )
        gc.freeze()  # what exists now lives as long as the process: never look at it again
        released = asyncio.ensure_future(self._keeper.wait_released())
        await asyncio.wait((released, self._ending), return_when=asyncio.FIRST_COMPLETED)
        released.cancel()
        return await self._end()

    def _signalled(self) -> None:
        self._signals += 1
        if self._signals > 1:
            os._exit(1)
        if self._options.embedded:
            logger.info("asked to end: will do so after the last lease")
            self._keeper.hurry()
        else:
            self._stop()

    def _disk_failed(self, error: Exception) -> None:
        self._failure = error
        self._stop()

    def _stop(self) -> None:
        if not self._ending.done():
            self._ending.set_result(None)

    async def _end(self) -> int:
        self._server.stop_listening()
        drained = asyncio.Event()
        self._broker.finish(drained.set)
        with contextlib.suppress(TimeoutError):  # a disk that slow is as good as a crash
            await asyncio.wait_for(drained.wait(), _DRAIN_S)
        await self._server.wait_flushed(_FLUSH_S)
        self._keeper.close()
        self._server.close()
        if self._failure is not None:
            self._broker.abandon()
        else:
            self._broker.close()  # its last syncs may fail, too
        if self._failure is None:
            try:
                self._directory.close()
            except OSError as error:
                self._failure = error
        if self._failure is not None:
            self._directory.abandon()
            logger.critical(
                "stopped: data in %s could not be synced (%s); what was acknowledged is safe, "
                "start again once the disk works",
                self._options.data,
                self._failure,
            )
            return 1
        logger.info("stopped")
        return 0


def _open_directory(options: BrokerOptions) -> DataDirectory:
    """Open the data directory; a predecessor that is just ending gets time to let go of it."""
    deadline = time.monotonic() + (_LOCK_WAIT_S if options.embedded else 0)
    while True:
        try:
            return DataDirectory.open(
                options.data, durability=options.durability, now_ms=time.time_ns() // 1_000_000
            )
        except DirectoryInUse:
            if time.monotonic() >= deadline:
                raise
            time.sleep(0.02)


def _bind_all(options: BrokerOptions) -> list[tuple[socket.socket, Address | None]]:
    if options.embedded:
        return [(bind(options.data), None)]
    addresses = options.listen or (DEFAULT_LISTEN,)
    if len(options.advertise) > len(addresses):
        raise ConfigurationError("there are more addresses to advertise than to listen on")
    advertised: list[Address | None] = [*options.advertise]
    advertised += [None] * (len(addresses) - len(advertised))
    return [
        (listener, where)
        for address, where in zip(addresses, advertised, strict=True)
        for listener in _bind(address, insecure=options.insecure)
    ]


def _bind(address: Address, *, insecure: bool) -> Sequence[socket.socket]:
    try:
        found = socket.getaddrinfo(*address, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        raise ConfigurationError(f"{address} cannot be listened on: {error.strerror}") from error
    listeners = []
    for family, _, _, _, place in dict.fromkeys(found):
        if not insecure and not ipaddress.ip_address(place[0]).is_loopback:
            raise ConfigurationError(
                f"{address} can be reached from other machines, and anyone who reaches it may do "
                "anything: listen on 127.0.0.1, or say --insecure if the network is to be trusted"
            )
        listener = socket.socket(family, socket.SOCK_STREAM)
        listeners.append(listener)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            listener.bind(place)
            listener.listen(_BACKLOG)
        except OSError as error:
            raise ConfigurationError(
                f"{address} cannot be listened on: {error.strerror}; is another broker running?"
            ) from error
    return listeners

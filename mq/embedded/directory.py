"""What the two sides leave for each other in the directory: ``broker.json`` and a port.

``broker.json`` survives its broker, because the port in it is the directory's own. So its presence
says nothing about whether a broker runs; only a lease that is granted does.
"""

from __future__ import annotations

import errno
import json
import os
import socket
import time
import zlib
from pathlib import Path
from typing import Final, NamedTuple, Self

from mq.errors import ConfigurationError

__all__ = ["Announcement", "bind", "listen", "prepare", "split"]

PORTS: Final = range(20_000, 30_000)
"""Where a directory's port is sought: below the ports that systems lend to outgoing connections."""

PORTS_TRIED: Final = 50
"""Neighbours to try when the first is taken, before the system may choose any port."""

PREDECESSOR_S: Final = 1.0
"""How long a broker that is just ending may still hold the port."""


class Announcement(NamedTuple):
    """The content of ``broker.json``: how to reach the broker, and how to lease it."""

    address: str
    lease: str
    token: str
    pid: int
    embedded: bool

    @classmethod
    def read(cls, data: Path) -> Self | None:
        """The last announcement made in ``data``; None if there is none that can be read."""
        try:
            announced = cls(**json.loads((data / "broker.json").read_text(encoding="utf-8")))
            split(announced.address), split(announced.lease)
        except (OSError, ValueError, TypeError, AttributeError):
            return None
        return announced

    def write(self, data: Path) -> None:
        """Replace ``broker.json`` in one step. The token in it is for the owner's eyes only."""
        draft = data / f"broker.json.{self.pid}"
        draft.touch(mode=0o600)
        draft.write_text(json.dumps(self._asdict()), encoding="utf-8")
        draft.replace(data / "broker.json")


def split(address: str) -> tuple[str, int]:
    """``host:port`` as sockets want it. Raises ValueError where there is no port."""
    host, _, port = address.rpartition(":")
    return host, int(port)


def prepare(data: Path) -> None:
    """Make the directory, invisible to git.

    Raises:
        ConfigurationError: it cannot be made or written to.
    """
    try:
        data.mkdir(parents=True, exist_ok=True)
        ignore = data / ".gitignore"
        if not ignore.exists():
            ignore.write_text("*\n")
    except OSError as error:
        raise ConfigurationError(f"{data} cannot hold data: {error.strerror}") from error


def bind(data: Path) -> socket.socket:
    """A listening socket on the directory's own port, which stays the same for ever.

    The first time a free port is sought, beginning at one that follows from the directory's path,
    so that even a directory that was deleted and made again is likely to get its port back.

    Raises:
        ConfigurationError: the port is taken by another program.
    """
    remembered = Announcement.read(data)
    if remembered:
        return _listen_again(data, split(remembered.address)[1])
    first = zlib.crc32(bytes(data.absolute())) % len(PORTS)
    for port in PORTS[first : first + PORTS_TRIED]:
        try:
            return listen(port)
        except OSError as error:
            if error.errno not in (errno.EADDRINUSE, errno.EACCES):
                raise
    return listen(0)


def _listen_again(data: Path, port: int) -> socket.socket:
    deadline = time.monotonic() + PREDECESSOR_S
    while True:
        try:
            return listen(port)
        except OSError as error:
            if error.errno == errno.EADDRINUSE and time.monotonic() < deadline:
                time.sleep(0.02)
                continue
            raise ConfigurationError(
                f"port {port}, where the broker of {data} has always listened, is taken by another "
                f"program: stop that program, or delete {data / 'broker.json'} to get a new port"
            ) from error


def listen(port: int) -> socket.socket:
    """A listening socket on the loopback address; port 0 lets the system choose."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        if os.name == "posix":  # elsewhere the option would let two programs share a port
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        listener.listen(1024)
    except BaseException:
        listener.close()
        raise
    return listener

"""One child as its supervisor sees it: a process, a pipe, and what it has told so far."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Final

from mq.embedded import interpreter
from mq.worker import pipe

__all__ = ["ChildProcess"]

LAST_WORDS_S: Final = 1.0
"""How long to read what a dead child has sent; only a forked grandchild keeps the pipe open."""

LINE_BYTES_MAX: Final = 1 << 20
"""The longest message of a child: the list of the application's handlers."""


class ChildProcess:
    """A child that is about to be spawned, alive, or dead.

    It may be given orders, or be killed, at any time; before it lives they are kept for it.
    """

    def __init__(self, number: int) -> None:
        self.number = number
        self.members: dict[str, str] = {}
        """The groups it is in, each with its member id there."""
        self.reason: str | None = None
        """Why it ended, in its own words."""
        self._orders: list[pipe.ToChild] = []
        self._writer: asyncio.StreamWriter | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._killed = False

    async def live(
        self, target: str, log_level: str, hear: Callable[[ChildProcess, pipe.FromChild], None]
    ) -> int:
        """Spawn the process, let ``hear`` have what it says, and return its exit code."""
        ours, theirs = socket.socketpair()
        with theirs:
            process = await asyncio.create_subprocess_exec(
                *interpreter.command("mq.worker.child", target, log_level, str(self.number)),
                stdin=theirs.fileno(),
                env=interpreter.environment(),
                process_group=0,
            )
        self._process = process
        if self._killed:
            process.kill()
        reader, self._writer = await asyncio.open_connection(sock=ours, limit=LINE_BYTES_MAX)
        for order in self._orders:
            self._writer.write(pipe.encode(order))
        reading = asyncio.create_task(self._read(reader, hear))
        code = await process.wait()
        await asyncio.wait([reading], timeout=LAST_WORDS_S)
        reading.cancel()
        self._writer.close()
        return code

    async def _read(
        self, reader: asyncio.StreamReader, hear: Callable[[ChildProcess, pipe.FromChild], None]
    ) -> None:
        try:
            async for line in reader:
                message = pipe.decode_from_child(line)
                if isinstance(message, pipe.Joined):
                    self.members[message.group] = message.member_id
                elif isinstance(message, pipe.Failed):
                    self.reason = message.reason
                hear(self, message)
        except ConnectionError:
            pass  # it died with our orders unread

    def order(self, message: pipe.ToChild) -> None:
        """Send ``message``; a child that is dead already needs none."""
        if self._writer:
            self._writer.write(pipe.encode(message))
        else:
            self._orders.append(message)

    def kill(self) -> None:
        """End the process without another word."""
        self._killed = True
        if self._process and self._process.returncode is None:
            self._process.kill()

"""Steps on the event loop, for threads that work beside it.

State has one owner, the loop. A thread that waits for the disk looks at state, and changes it, by
handing the loop a step and waiting for what it returns. The loop may end while a thread waits.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import CancelledError, Future
from typing import Any, Protocol, TypeVar

__all__ = ["CancelledError", "Loop", "Steps"]

T = TypeVar("T")


class Loop(Protocol):
    """What of an event loop is needed here."""

    def call_soon_threadsafe(self, callback: Callable[..., object], *args: Any) -> object: ...


class Steps:
    """Runs the steps of one thread on a loop."""

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self._lock = threading.Lock()
        self._waiting: Future[Any] | None = None
        self._is_closed = False

    def __call__(self, step: Callable[[], T], /) -> T:
        """Run a step; what it returns or raises.

        Raises:
            CancelledError: it has not run and will not, as the loop is about to end.
        """
        future: Future[T] = Future()
        with self._lock:
            if self._is_closed:
                raise CancelledError
            self._waiting = future
        self._loop.call_soon_threadsafe(_perform, future, step)
        return future.result()

    def close(self) -> None:
        """Run no more steps; to be called on the loop."""
        with self._lock:
            self._is_closed = True
            if self._waiting is not None:
                self._waiting.cancel()


def _perform(future: Future[T], step: Callable[[], T]) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        result = step()
    except Exception as error:  # the thread's to deal with
        future.set_exception(error)
    else:
        future.set_result(result)

"""From any thread to the event loop, cheaply and without waiting for it.

anyio's own way blocks the thread until the loop has run the call. A thread that polls must not
depend on that: a handler that hogs the loop would cost the group membership. So this uses what each
event loop offers natively, and one wake-up serves a whole burst of calls.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from anyio.lowlevel import current_token

__all__ = ["Mailbox"]


class Mailbox:
    """Runs calls in their order on the event loop on which it was made.

    ``on_error`` hears of a call that raised; the calls behind it still run.
    """

    __slots__ = ("_calls", "_on_error", "_pending", "_schedule")

    def __init__(self, on_error: Callable[[BaseException], object]) -> None:
        self._calls: deque[tuple[Callable[..., object], tuple[Any, ...]]] = deque()
        self._on_error = on_error
        self._pending = False
        token: Any = current_token().native_token
        # asyncio's loops have the one, trio's tokens the other
        schedule = getattr(token, "call_soon_threadsafe", None)
        self._schedule: Callable[..., object] = schedule or token.run_sync_soon

    def post(self, call: Callable[..., object], *arguments: Any) -> None:
        """Have ``call(*arguments)`` run soon; from any thread. Nothing runs once the loop ended."""
        self._calls.append((call, arguments))
        if self._pending:
            return
        self._pending = True
        try:
            self._schedule(self._run)
        except RuntimeError:  # asyncio: the loop is closed; trio.RunFinishedError is one too
            pass

    def _run(self) -> None:
        self._pending = False  # before the calls: what is posted from here on asks again
        calls = self._calls
        while calls:
            call, arguments = calls.popleft()
            try:
                call(*arguments)
            except BaseException as error:
                self._on_error(error)
